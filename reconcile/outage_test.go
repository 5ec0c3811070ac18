package reconcile

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/ledger"
)

// gitError is what a Git that cannot be reached says.
func gitError() error { return &caError{class: "git", text: "no route to host"} }

// toldOutages are the statuses of the events about whole passes.
func (w *world) toldOutages(t *testing.T) (told []ledger.Status) {
	t.Helper()
	for _, e := range w.ledger.events(t) {
		if e.Operation == ledger.KindPass {
			told = append(told, e.Status)
		}
	}
	return told
}

// TestAnOutageOfTheConfigRepoIsTold though nothing is to be done meanwhile, and
// the ledger, which may be elsewhere, can be reached.
func TestAnOutageOfTheConfigRepoIsTold(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		repo.err = gitError()
		defer w.keep(repo, LoopOptions{})()
		time.Sleep(time.Hour)
		synctest.Wait()
		if told := w.toldOutages(t); !slices.Equal(told, []ledger.Status{ledger.Failed}) {
			t.Errorf("told while it is away: %v", told)
		}
	}, certificate("api", "api.example.com"))
}

// TestAnOutageOfTheLedgerIsTold though the config repo can be reached.
func TestAnOutageOfTheLedgerIsTold(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		defer w.keep(repo, LoopOptions{})()
		synctest.Wait()
		w.ledger.away(gitError())
		repo.mu.Lock()
		repo.desired = desire(certificate("api", "api.example.com"), certificate("www", "www.example.com"))
		repo.mu.Unlock()
		time.Sleep(time.Hour)
		w.ledger.away(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if told := w.toldOutages(t); !slices.Equal(told, []ledger.Status{ledger.Failed, ledger.Success}) {
			t.Errorf("told after it: %v", told)
		}
	}, certificate("api", "api.example.com"))
}

// TestAnOutageThatAProcessDoesNotOutlive: the next one tells its end, and
// nothing where it lasts.
func TestAnOutageThatAProcessDoesNotOutlive(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		repo.err = gitError()
		stop := w.keep(repo, LoopOptions{})
		time.Sleep(time.Hour)
		stop()
		stop = w.keep(repo, LoopOptions{})
		time.Sleep(time.Hour)
		synctest.Wait()
		if told := w.toldOutages(t); !slices.Equal(told, []ledger.Status{ledger.Failed}) {
			t.Errorf("told while it lasts: %v", told)
		}
		stop()
		repo.mu.Lock()
		repo.err = nil
		repo.mu.Unlock()
		var first Pass
		defer w.keep(repo, LoopOptions{Passed: func(p Pass) { first = p }})()
		synctest.Wait()
		if told := w.toldOutages(t); !slices.Equal(told, []ledger.Status{ledger.Failed, ledger.Success}) || len(first.Outages) > 0 {
			t.Errorf("told when it is over: %v; these last: %+v", told, first.Outages)
		}
	}, certificate("api", "api.example.com"))
}

// away has the ledger fail, or come back.
func (l *memLedger) away(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}
