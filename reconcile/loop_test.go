package reconcile_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestLoopWakesForTheMoment checks that a certificate is renewed at its due time, not
// at the next pull.
func TestLoopWakesForTheMoment(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		defer w.Keep(repo, reconcile.LoopOptions{Interval: 24 * time.Hour})()
		synctest.Wait()
		first := w.Ledger.Record(t, "api")
		time.Sleep(time.Until(*first.RenewAt) + 2*time.Second)
		synctest.Wait()
		second := w.Ledger.Record(t, "api")
		if second.Live.Serial == first.Live.Serial {
			t.Fatalf("two seconds after %s it is not renewed", first.RenewAt)
		}
		if n, _ := w.Ca.Ordered(); n != 2 {
			t.Errorf("%d orders", n)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}

// TestLoopFollowsTheWindow checks that a 160-hour certificate, whose window is 3.2
// hours wide, is ordered inside the window with replaces.
func TestLoopFollowsTheWindow(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		w.Ca.Lifetime = 160 * time.Hour
		issued := time.Now()
		w.Ca.Info = func(string) (start, end, again time.Time) { // by mistake, the CA returns the same window for the next certificate
			middle := issued.Add(80 * time.Hour)
			return middle.Add(-96 * time.Minute), middle.Add(96 * time.Minute), time.Now().Add(6 * time.Hour)
		}
		stop := w.Keep(repo, reconcile.LoopOptions{Interval: time.Hour})
		time.Sleep(78 * time.Hour)
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != 1 {
			t.Errorf("%d orders before the window", n)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		stop()
		if n, replaces := w.Ca.Ordered(); n != 2 || replaces == "" {
			t.Errorf("%d orders in the window, replaces %q", n, replaces)
		}
		es := w.Ledger.Events(t)
		if e := es[len(es)-1]; e.Reason != ledger.ReasonWindow || e.Exempt != ledger.ExemptARI {
			t.Errorf("event: %+v", e)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}

// TestLoopAfterDowntime checks that certificates that became due during a downtime are
// renewed in waves.
func TestLoopAfterDowntime(t *testing.T) {
	var cs []*spec.Certificate
	for i := range 100 {
		name := "c" + string(rune('a'+i/10)) + string(rune('a'+i%10))
		cs = append(cs, reconciletest.Certificate(name, name+".example.com"))
	}
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		stop := w.Keep(repo, reconcile.LoopOptions{})
		synctest.Wait()
		stop()
		time.Sleep(61 * times.Day)
		defer w.Keep(repo, reconcile.LoopOptions{})()
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n-100 != plan.LeastWave {
			t.Errorf("%d renewals in the first wave, want %d", n-100, plan.LeastWave)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != 200 {
			t.Errorf("%d renewals after ten minutes, want 100", n-100)
		}
	}, cs...)
}

// TestLoopTellsAnOutage checks that an outage and its end are recorded once each.
func TestLoopTellsAnOutage(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		defer w.Keep(repo, reconcile.LoopOptions{})()
		synctest.Wait()
		w.Vault.Mu.Lock()
		w.Vault.Fail = func(string, string) error { return reconciletest.ConflictError{Err: errors.New("Vault is sealed")} }
		w.Vault.Mu.Unlock()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if outages := w.OutageEvents(t); len(outages) != 1 || outages[0] != ledger.Failed {
			t.Errorf("told while it lasts: %v", outages)
		}
		w.Vault.Mu.Lock()
		w.Vault.Fail = nil
		w.Vault.Mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if outages := w.OutageEvents(t); len(outages) != 2 || outages[0] != ledger.Failed || outages[1] != ledger.Success {
			t.Errorf("told: %v", outages)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}

// TestLoopDailyOnceADay checks that the daily work runs once a day, however often the
// process starts.
func TestLoopDailyOnceADay(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		moments := reconciletest.MemMoments{}
		w.Opts.Moments = moments
		n := 0
		daily := func(context.Context, *spec.Spec, ledger.Revision) { n++ }
		for range 5 { // restarts
			stop := w.Keep(repo, reconcile.LoopOptions{Daily: daily})
			time.Sleep(time.Hour)
			stop()
		}
		if n != 1 {
			t.Errorf("it ran %d times within five hours and five starts", n)
		}
		defer w.Keep(repo, reconcile.LoopOptions{Daily: daily})()
		time.Sleep(3 * times.Day)
		synctest.Wait()
		if n != 4 {
			t.Errorf("it ran %d times within three days more, want 3", n-1)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}

// brokenMoments simulates stored times on a disk that can be neither read nor written.
type brokenMoments struct{}

func (brokenMoments) Load() (map[string]time.Time, error) {
	return nil, errors.New("moments.json: permission denied")
}

func (brokenMoments) Save(map[string]time.Time) error {
	return errors.New("moments.json: no space left on device")
}

// TestLoopWithoutMoments checks that the loop continues without its stored times and
// reports the problem.
func TestLoopWithoutMoments(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		w.Opts.Moments = brokenMoments{}
		said, given := 0, 0
		defer w.Keep(repo, reconcile.LoopOptions{Passed: func(p reconcile.Pass) {
			if p.Err != nil {
				said++
			}
			if p.Report == nil {
				given++
			}
		}})()
		time.Sleep(3 * times.Day)
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
		if said == 0 || given != 0 {
			t.Errorf("%d passes said so, %d were given up", said, given)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}

// TestLoopNudgedWithoutEnd checks that an endless stream of nudges causes only
// occasional pulls.
func TestLoopNudgedWithoutEnd(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		nudge := make(chan struct{}, 1)
		defer w.Keep(repo, reconcile.LoopOptions{Interval: time.Hour, Nudge: nudge})()
		synctest.Wait()
		for range 600 {
			select {
			case nudge <- struct{}{}:
			default:
			}
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		repo.Mu.Lock()
		defer repo.Mu.Unlock()
		if repo.Pulls < 10 || repo.Pulls > 13 {
			t.Errorf("%d pulls within a minute", repo.Pulls)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}

// TestLoopWithAThousandNewOnes checks that a certificate about to expire does not wait
// until all new ones are issued.
func TestLoopWithAThousandNewOnes(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		var first reconcile.Pass
		stop := w.Keep(repo, reconcile.LoopOptions{Passed: func(p reconcile.Pass) {
			if first.Report == nil {
				first = p
			}
		}})
		synctest.Wait()
		if n := len(first.Report.Results); n != plan.LeastCrowd {
			t.Errorf("%d in the first pass, want %d", n, plan.LeastCrowd)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		stop()
		if n, _ := w.Ca.Ordered(); n != 350 {
			t.Errorf("%d after five minutes, want all", n)
		}
	}, reconciletest.Crowd(350, "example.com")...)
}

// TestLoopWakesForWhatCameMeanwhile checks that a hold that ended during a pass does
// not wait for the next pull.
func TestLoopWakesForWhatCameMeanwhile(t *testing.T) {
	w := reconciletest.NewWorld(t)
	l := reconcile.NewLoop(w.Reconciler(), &reconciletest.MemRepo{}, reconcile.LoopOptions{Interval: time.Hour})
	l.PullAt = w.At.Add(time.Hour)
	l.Planned.Actions = []plan.Action{{Kind: ledger.KindHold, NotBefore: w.At.Add(-time.Minute)}, {Kind: ledger.KindNone}}
	if at := l.NextWake(reconcile.Pass{Report: &apply.Report{}}); !at.Equal(w.At.Add(reconcile.ShortestNap)) {
		t.Errorf("it wakes %s from now", at.Sub(w.At))
	}
}
