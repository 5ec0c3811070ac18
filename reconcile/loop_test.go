package reconcile

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// memRepo is a config repo that a test turns.
type memRepo struct {
	mu      sync.Mutex
	desired *spec.Spec
	err     error
	pulls   int
}

func (r *memRepo) Pull(context.Context) (*spec.Spec, ledger.Revision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pulls++
	return r.desired, ledger.Revision{Commit: "c0ffee", Author: "A. Owner <owner@example.com>"}, r.err
}

// keep runs a loop in a bubble for as long as the test lets it.
func (w *world) keep(repo Repo, o LoopOptions) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	loop := NewLoop(w.reconciler(), repo, o)
	go func() { defer close(done); loop.Run(ctx) }()
	return func() { cancel(); <-done }
}

// bubble is a world whose clock is the bubble's.
func bubble(t *testing.T, test func(w *world, repo *memRepo), certificates ...*spec.Certificate) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, certificates...)
		w.opts.Now, w.ca.now = time.Now, time.Now
		test(w, &memRepo{desired: w.desired})
	})
}

// TestLoopWakesForTheMoment: a certificate is renewed when its time comes, not
// when the next pull does.
func TestLoopWakesForTheMoment(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		defer w.keep(repo, LoopOptions{Interval: 24 * time.Hour})()
		synctest.Wait()
		first := w.ledger.record(t, "api")
		time.Sleep(time.Until(*first.RenewAt) + 2*time.Second)
		synctest.Wait()
		second := w.ledger.record(t, "api")
		if second.Live.Serial == first.Live.Serial {
			t.Fatalf("two seconds after %s it is not renewed", first.RenewAt)
		}
		if n, _ := w.ca.ordered(); n != 2 {
			t.Errorf("%d orders", n)
		}
	}, certificate("api", "api.example.com"))
}

// TestLoopFollowsTheWindow: a 160-hour certificate's window is 3.2 hours wide,
// and the order is sent inside it with replaces.
func TestLoopFollowsTheWindow(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		w.ca.lifetime = 160 * time.Hour
		issued := time.Now()
		w.ca.info = func(string) (start, end, again time.Time) { // the same for the next one, by mistake
			middle := issued.Add(80 * time.Hour)
			return middle.Add(-96 * time.Minute), middle.Add(96 * time.Minute), time.Now().Add(6 * time.Hour)
		}
		stop := w.keep(repo, LoopOptions{Interval: time.Hour})
		time.Sleep(78 * time.Hour)
		synctest.Wait()
		if n, _ := w.ca.ordered(); n != 1 {
			t.Errorf("%d orders before the window", n)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		stop()
		if n, replaces := w.ca.ordered(); n != 2 || replaces == "" {
			t.Errorf("%d orders in the window, replaces %q", n, replaces)
		}
		es := w.ledger.events(t)
		if e := es[len(es)-1]; e.Reason != ledger.ReasonWindow || e.Exempt != ledger.ExemptARI {
			t.Errorf("event: %+v", e)
		}
	}, certificate("api", "api.example.com"))
}

// TestLoopAfterDowntime: what fell due meanwhile goes in waves.
func TestLoopAfterDowntime(t *testing.T) {
	var cs []*spec.Certificate
	for i := range 100 {
		name := "c" + string(rune('a'+i/10)) + string(rune('a'+i%10))
		cs = append(cs, certificate(name, name+".example.com"))
	}
	bubble(t, func(w *world, repo *memRepo) {
		stop := w.keep(repo, LoopOptions{})
		synctest.Wait()
		stop()
		time.Sleep(61 * times.Day)
		defer w.keep(repo, LoopOptions{})()
		synctest.Wait()
		if n, _ := w.ca.ordered(); n-100 != plan.LeastWave {
			t.Errorf("%d renewals in the first wave, want %d", n-100, plan.LeastWave)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n, _ := w.ca.ordered(); n != 200 {
			t.Errorf("%d renewals after ten minutes, want 100", n-100)
		}
	}, cs...)
}

// TestLoopTellsAnOutage once, and its end.
func TestLoopTellsAnOutage(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		defer w.keep(repo, LoopOptions{})()
		synctest.Wait()
		w.vault.mu.Lock()
		w.vault.fail = func(string, string) error { return conflictError{errors.New("Vault is sealed")} }
		w.vault.mu.Unlock()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if told := w.toldOutages(t); len(told) != 1 || told[0] != ledger.Failed {
			t.Errorf("told while it lasts: %v", told)
		}
		w.vault.mu.Lock()
		w.vault.fail = nil
		w.vault.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if told := w.toldOutages(t); len(told) != 2 || told[0] != ledger.Failed || told[1] != ledger.Success {
			t.Errorf("told: %v", told)
		}
	}, certificate("api", "api.example.com"))
}

// TestLoopDailyOnceADay: however often the process starts.
func TestLoopDailyOnceADay(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		kept := memMoments{}
		w.opts.Moments = kept
		n := 0
		daily := func(context.Context, *spec.Spec, ledger.Revision) { n++ }
		for range 5 { // restarts
			stop := w.keep(repo, LoopOptions{Daily: daily})
			time.Sleep(time.Hour)
			stop()
		}
		if n != 1 {
			t.Errorf("it ran %d times within five hours and five starts", n)
		}
		defer w.keep(repo, LoopOptions{Daily: daily})()
		time.Sleep(3 * times.Day)
		synctest.Wait()
		if n != 4 {
			t.Errorf("it ran %d times within three days more, want 3", n-1)
		}
	}, certificate("api", "api.example.com"))
}

// brokenMoments are on a disk that can be neither read nor written.
type brokenMoments struct{}

func (brokenMoments) Load() (map[string]time.Time, error) {
	return nil, errors.New("moments.json: permission denied")
}

func (brokenMoments) Save(map[string]time.Time) error {
	return errors.New("moments.json: no space left on device")
}

// TestLoopWithoutMoments goes on all the same, and says what is wrong.
func TestLoopWithoutMoments(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		w.opts.Moments = brokenMoments{}
		said, given := 0, 0
		defer w.keep(repo, LoopOptions{Passed: func(p Pass) {
			if p.Err != nil {
				said++
			}
			if p.Report == nil {
				given++
			}
		}})()
		time.Sleep(3 * times.Day)
		synctest.Wait()
		if n, _ := w.ca.ordered(); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
		if said == 0 || given != 0 {
			t.Errorf("%d passes said so, %d were given up", said, given)
		}
	}, certificate("api", "api.example.com"))
}

type memMoments map[string]time.Time

func (m memMoments) Load() (map[string]time.Time, error) { return m, nil }

func (m memMoments) Save(next map[string]time.Time) error {
	for k, v := range next {
		m[k] = v
	}
	return nil
}

// TestLoopNudgedWithoutEnd pulls now and then, and no more.
func TestLoopNudgedWithoutEnd(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		nudge := make(chan struct{}, 1)
		defer w.keep(repo, LoopOptions{Interval: time.Hour, Nudge: nudge})()
		synctest.Wait()
		for range 600 {
			select {
			case nudge <- struct{}{}:
			default:
			}
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		repo.mu.Lock()
		defer repo.mu.Unlock()
		if repo.pulls < 10 || repo.pulls > 13 {
			t.Errorf("%d pulls within a minute", repo.pulls)
		}
	}, certificate("api", "api.example.com"))
}

// TestLoopWithAThousandNewOnes: what is about to expire does not wait until all
// of them are there.
func TestLoopWithAThousandNewOnes(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		var first Pass
		stop := w.keep(repo, LoopOptions{Passed: func(p Pass) {
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
		if n, _ := w.ca.ordered(); n != 350 {
			t.Errorf("%d after five minutes, want all", n)
		}
	}, crowd(350, "example.com")...)
}

// TestLoopWakesForWhatCameMeanwhile: a hold that ended while a pass lasted does
// not wait for the next pull.
func TestLoopWakesForWhatCameMeanwhile(t *testing.T) {
	w := newWorld(t)
	l := NewLoop(w.reconciler(), &memRepo{}, LoopOptions{Interval: time.Hour})
	l.pullAt = w.at.Add(time.Hour)
	l.planned = []plan.Action{{Kind: ledger.KindHold, NotBefore: w.at.Add(-time.Minute)}, {Kind: ledger.KindNone}}
	if at := l.nextWake(Pass{Report: &apply.Report{}}); !at.Equal(w.at.Add(shortestNap)) {
		t.Errorf("it wakes %s from now", at.Sub(w.at))
	}
}
