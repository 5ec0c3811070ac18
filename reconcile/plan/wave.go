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
	// LeastWave is how many certificates go in one wave at least; of many it is
	// a hundredth, so that whatever falls due at once takes no longer than 100
	// minutes.
	LeastWave = 16
	// LeastCrowd is how many of those that somebody waits for go in one wave at
	// least; of many it is a tenth. Thousands side by side would keep the places
	// from what becomes due meanwhile.
	LeastCrowd = 100
)

// InWaves holds back what is not urgent where much falls due at once, as after
// a week of downtime or with another issuer for all: nearest to expiry first,
// a wave a minute. What a person or another machine waits for goes at once, or
// where that is hundreds in waves of its own.
//
// A wave is what begins within any minute, by what was observed: passes that
// follow each other closely, and a restart, let no further wave go.
//
// It is for who runs on: a single apply does all that is due.
func InWaves(actions []Action, obs *Observed, now time.Time) {
	begun := begunLately(actions, obs, now)
	var patient, others []*Action
	for i := range actions {
		switch a := &actions[i]; {
		case a.AtWork != nil: // it goes on
		case a.patient(now):
			patient = append(patient, a)
		case a.Kind.Orders():
			others = append(others, a)
		}
	}
	spread(patient, max(LeastWave, len(actions)/100), begun[true], now)
	spread(others, max(LeastCrowd, len(actions)/10), begun[false], now)
}

// wave is what has begun within the last minute.
type wave struct {
	n    int
	from time.Time // when the first of them began
}

func (w wave) with(at time.Time) wave {
	if w.n++; w.n == 1 || at.Before(w.from) {
		w.from = at
	}
	return w
}

// spread lets go what is left of the wave that is under way, and holds the rest
// for the waves after it.
func spread(due []*Action, size int, under wave, now time.Time) {
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

// begunLately is which orders began within the last minute, patient ones by
// true: those under way, those that were told of, and those whose pending secret is
// all that a killed run left. A certificate counts once, whatever the ledger says of it.
func begunLately(actions []Action, obs *Observed, now time.Time) map[bool]wave {
	began := map[string]ledger.Event{}
	for i := range obs.History {
		if e := obs.History[i]; e.Operation.Orders() && now.Sub(e.Time) < WaveEvery {
			e.Time = e.Time.Add(-time.Duration(e.Duration * float64(time.Second)))
			began[e.Certificate] = e
		}
	}
	begun := map[bool]wave{}
	for i := range actions {
		a := &actions[i]
		e, patient := began[a.Certificate], a.patient(now)
		at := times.Later(e.Time, obs.Pending[a.Certificate].Since)
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

// patient tells whether an action loses nothing by some minutes more.
func (a *Action) patient(now time.Time) bool {
	l := a.Secret.Live
	return a.Kind.Orders() && a.Reason.IsPatient() && l != nil && l.RenewalEnd().Sub(now) > l.Lifetime()/10
}
