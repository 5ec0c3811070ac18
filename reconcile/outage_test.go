package reconcile_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
)

// TestAnOutageOfTheConfigRepoIsTold checks that an outage of the config repo is
// recorded even if nothing is due. The ledger may be elsewhere and reachable.
func TestAnOutageOfTheConfigRepoIsTold(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		repo.Err = reconciletest.GitError()
		defer w.Keep(repo, reconcile.LoopOptions{})()
		time.Sleep(time.Hour)
		synctest.Wait()
		if outages := w.OutageEvents(t); !slices.Equal(outages, []ledger.Status{ledger.Failed}) {
			t.Errorf("told while it is away: %v", outages)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}

// TestAnOutageOfTheLedgerIsTold checks that an outage of the ledger is recorded even if
// the config repo is reachable.
func TestAnOutageOfTheLedgerIsTold(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		defer w.Keep(repo, reconcile.LoopOptions{})()
		synctest.Wait()
		w.Ledger.Away(reconciletest.GitError())
		repo.Mu.Lock()
		repo.Desired = reconciletest.Desire(reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("www", "www.example.com"))
		repo.Mu.Unlock()
		time.Sleep(time.Hour)
		w.Ledger.Away(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if outages := w.OutageEvents(t); !slices.Equal(outages, []ledger.Status{ledger.Failed, ledger.Success}) {
			t.Errorf("told after it: %v", outages)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}

// TestAnOutageThatAProcessDoesNotOutlive checks that the next process records the end
// of an outage, and nothing while it lasts.
func TestAnOutageThatAProcessDoesNotOutlive(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		repo.Err = reconciletest.GitError()
		stop := w.Keep(repo, reconcile.LoopOptions{})
		time.Sleep(time.Hour)
		stop()
		stop = w.Keep(repo, reconcile.LoopOptions{})
		time.Sleep(time.Hour)
		synctest.Wait()
		if outages := w.OutageEvents(t); !slices.Equal(outages, []ledger.Status{ledger.Failed}) {
			t.Errorf("told while it lasts: %v", outages)
		}
		stop()
		repo.Mu.Lock()
		repo.Err = nil
		repo.Mu.Unlock()
		var first reconcile.Pass
		defer w.Keep(repo, reconcile.LoopOptions{Passed: func(p reconcile.Pass) { first = p }})()
		synctest.Wait()
		if outages := w.OutageEvents(t); !slices.Equal(outages, []ledger.Status{ledger.Failed, ledger.Success}) || len(first.Outages) > 0 {
			t.Errorf("told when it is over: %v; these last: %+v", outages, first.Outages)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}
