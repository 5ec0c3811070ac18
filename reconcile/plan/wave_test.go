package plan_test

import (
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
)

// renewals returns the due renewals of n certificates with thirty days left.
func renewals(n int, now time.Time) []plan.Action {
	var list []plan.Action
	for _, c := range reconciletest.Crowd(n, "example.com") {
		l := &ledger.Live{NotBefore: now.Add(-60 * times.Day), NotAfter: now.Add(30 * times.Day)}
		list = append(list, plan.Action{Kind: ledger.KindRenew, Certificate: c.Name, Reason: ledger.ReasonThreshold, Spec: c, Secret: plan.Secret{Owner: c.Name, Readable: true, Live: l}})
	}
	return list
}

func letGo(actions []plan.Action) (n int, next time.Time) {
	for _, a := range actions {
		if a.Kind == ledger.KindRenew {
			n++
		} else if next.IsZero() || a.NotBefore.Before(next) {
			next = a.NotBefore
		}
	}
	return n, next
}

// TestWavesArePerMinute checks that attempts begun within the last minute count for the
// current wave, whether an event or the pending secret of a killed run shows them.
func TestWavesArePerMinute(t *testing.T) {
	now := reconciletest.Start
	began := func(name string, before, took time.Duration) ledger.Event {
		return ledger.Event{Operation: ledger.KindRenew, Certificate: name, Reason: ledger.ReasonThreshold, Time: now.Add(took - before), Duration: took.Seconds()}
	}
	names := reconciletest.Crowd(60, "example.com")
	for name, tc := range map[string]struct {
		events  []ledger.Event
		pending map[string]plan.Pending
		n       int
		next    time.Duration
	}{
		"nothing before":            {nil, nil, plan.LeastWave, plan.WaveEvery},
		"two twenty seconds ago":    {[]ledger.Event{began(names[50].Name, 20*time.Second, 0), began(names[51].Name, 10*time.Second, time.Second)}, nil, plan.LeastWave - 2, 40 * time.Second},
		"of a slow CA, hours ago":   {[]ledger.Event{began(names[50].Name, 2*time.Hour, 2*time.Hour-time.Second)}, nil, plan.LeastWave, plan.WaveEvery},
		"a minute ago":              {[]ledger.Event{began(names[50].Name, time.Minute, 0)}, nil, plan.LeastWave, plan.WaveEvery},
		"told of twice":             {[]ledger.Event{began(names[50].Name, 30*time.Second, 0), began(names[50].Name, 15*time.Second, 0)}, nil, plan.LeastWave - 1, 45 * time.Second},
		"of nobody's certificate":   {[]ledger.Event{began("forged", 30*time.Second, 0)}, nil, plan.LeastWave, plan.WaveEvery},
		"by a clock that ran ahead": {[]ledger.Event{began(names[50].Name, -time.Hour, 0)}, nil, plan.LeastWave, plan.WaveEvery},
		"of a run that was killed":  {nil, map[string]plan.Pending{names[3].Name: {Since: now.Add(-5 * time.Second)}}, plan.LeastWave - 1, 55 * time.Second},
		"of an order of yesterday":  {nil, map[string]plan.Pending{names[3].Name: {Since: now.Add(-times.Day)}}, plan.LeastWave, plan.WaveEvery},
	} {
		t.Run(name, func(t *testing.T) {
			actions := renewals(60, now)
			plan.Plan{Actions: actions, Observed: &plan.Observed{History: tc.events, Pending: tc.pending}, At: now}.InWaves()
			if n, next := letGo(actions); n != tc.n || next.Sub(now) != tc.next {
				t.Errorf("%d go, the next ones after %s; want %d and %s", n, next.Sub(now), tc.n, tc.next)
			}
		})
	}
}

// TestNudgesLetNoWaveGo checks that neither nudges nor restarts start more certificates
// per minute than one wave.
func TestNudgesLetNoWaveGo(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		w.Settle()
		time.Sleep(61 * times.Day)
		nudge := make(chan struct{}, 1)
		o := reconcile.LoopOptions{Interval: time.Hour, Nudge: nudge}
		stop := w.Keep(repo, o)
		for n := range 10 { // 55 seconds
			synctest.Wait()
			if got, _ := w.Ca.Ordered(); got-60 != plan.LeastWave {
				t.Fatalf("%d renewals %d seconds after they fell due, want %d", got-60, n*6, plan.LeastWave)
			}
			if n == 5 {
				stop()
				stop = w.Keep(repo, o)
			}
			time.Sleep(5500 * time.Millisecond)
			nudge <- struct{}{}
		}
		time.Sleep(4 * time.Minute)
		stop()
		if got, _ := w.Ca.Ordered(); got != 120 {
			t.Errorf("%d renewals after five minutes, want all 60", got-60)
		}
	}, reconciletest.Crowd(60, "example.com")...)
}
