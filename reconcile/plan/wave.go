package plan

import (
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

const (
	// WaveEvery is the time between two waves.
	WaveEvery = time.Minute
	// LeastWave is the smallest size of a wave. A larger installation has waves of a
	// hundredth of its certificates, so that certificates that fall due at once take at
	// most 100 minutes.
	LeastWave = 16
	// LeastCrowd is the smallest size of a wave of urgent orders; a larger installation has
	// waves of a tenth. Thousands of attempts side by side would leave no room for
	// certificates that become due meanwhile.
	LeastCrowd = 100
)

// InWaves spreads many orders that fall due at once, as after a week of downtime or after a
// change of the issuer of all certificates: nearest to expiry first, one wave a minute.
// Orders that a person or another machine waits for start at once, or in waves of their own
// if there are hundreds.
//
// A wave is what begins within any minute by the observed state, so that passes in quick
// succession, or a restart, do not start a second wave in the same minute.
//
// Only run uses waves: a single apply starts everything that is due.
func (p Plan) InWaves() {
	actions, now := p.Actions, p.At
	begun := begunLately(actions, p.Observed, now)
	var patient, others []*Action
	for i := range actions {
		switch a := &actions[i]; {
		case a.AtWork != nil: // goes on
		case a.patient(now):
			patient = append(patient, a)
		case a.Kind.Orders():
			others = append(others, a)
		}
	}
	spread(patient, max(LeastWave, len(actions)/100), begun[true], now)
	spread(others, max(LeastCrowd, len(actions)/10), begun[false], now)
}

// wave is the set of orders that began within the last minute.
type wave struct {
	n    int
	from time.Time // start of the first
}

// with returns the wave with one more order that began at a time.
func (w wave) with(at time.Time) wave {
	if w.n++; w.n == 1 || at.Before(w.from) {
		w.from = at
	}
	return w
}

// spread starts as many orders as the current wave has room for, and holds the rest for the
// waves after it.
func spread(due []*Action, size int, under wave, now time.Time) {
	// Room that orders of the last minute have taken is gone, whichever pass started them.
	room := max(size-under.n, 0)
	if len(due) <= room {
		return
	}
	from := now
	if under.n > 0 {
		from = under.from
	}
	slices.SortFunc(due, ByDeadline(now))
	for i, a := range due[room:] {
		at := from.Add(time.Duration(i/size+1) * WaveEvery)
		a.hold(ledger.ReasonSpread, at, fmt.Sprintf("%d certificates are due at once: they go in waves of %d a minute, nearest to expiry first (%s)", len(due), size, a.Detail))
	}
}

// begunLately counts the orders that began within the last minute; key true: patient ones.
// It counts attempts under way, attempts with an event, and attempts of which a killed run
// left only the pending secret. A certificate counts once.
func begunLately(actions []Action, obs *Observed, now time.Time) map[bool]wave {
	began := map[string]ledger.Event{}
	for i := range obs.History {
		if e := obs.History[i]; e.Operation.Orders() && now.Sub(e.Time) < WaveEvery {
			// An event has the time of the attempt's end; its start counts for the wave.
			e.Time = e.Time.Add(-time.Duration(e.Duration * float64(time.Second)))
			began[e.Certificate] = e
		}
	}
	begun := map[bool]wave{}
	for i := range actions {
		a := &actions[i]
		e, patient := began[a.Certificate], a.patient(now)
		at := times.Later(e.Time, obs.Pending[a.Certificate].Since)
		// The event is at least as new as the pending secret, and its reason is the
		// attempt's.
		if at.Equal(e.Time) {
			patient = e.Reason.IsPatient()
		}
		if w := a.AtWork; w != nil {
			at, patient = w.Since, a.Reason.IsPatient()
		}
		if now.Sub(at) < WaveEvery && !at.After(now) {
			begun[patient] = begun[patient].with(at)
		}
	}
	return begun
}

// patient reports whether the action can wait some minutes without harm.
func (a *Action) patient(now time.Time) bool {
	l := a.Secret.Live
	return a.Kind.Orders() && a.Reason.IsPatient() && l != nil && l.RenewalEnd().Sub(now) > l.Lifetime()/10
}
