package reconcile

import (
	"fmt"
	"slices"
	"time"
)

const (
	// waveEvery is the time between two waves.
	waveEvery = time.Minute
	// leastWave is how many certificates go in one wave at least; of many it is
	// a hundredth, so that whatever falls due at once takes no longer than 100
	// minutes.
	leastWave = 16
)

// inWaves holds back what is not urgent where much falls due at once, as after
// a week of downtime or with another issuer for all: nearest to expiry first,
// a wave a minute. What a person or another machine waits for goes at once.
//
// It is for who runs on: a single apply does all that is due.
func inWaves(actions []Action, now time.Time) {
	var patient []*Action
	for i := range actions {
		if actions[i].patient(now) {
			patient = append(patient, &actions[i])
		}
	}
	size := max(leastWave, len(actions)/100)
	if len(patient) <= size {
		return
	}
	slices.SortFunc(patient, byDeadline(now))
	for i, a := range patient[size:] {
		at := now.Add(time.Duration(i/size+1) * waveEvery)
		a.hold(ReasonSpread, at, fmt.Sprintf("%d certificates are due at once: they go in waves of %d a minute, nearest to expiry first (%s)", len(patient), size, a.Detail))
	}
}

// patient tells whether an action loses nothing by some minutes more.
func (a *Action) patient(now time.Time) bool {
	switch a.Reason {
	case ReasonThreshold, ReasonWindow, ReasonKeyAge, ReasonChanged:
		l := a.Secret.Live
		return a.Kind.Orders() && l != nil && l.NotAfter.Sub(now) > l.Lifetime()/10
	default:
		return false
	}
}
