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
	// leastCrowd is how many of those that somebody waits for go in one wave at
	// least; of many it is a tenth. A pass that did thousands would last for
	// hours, in which nothing else could become due.
	leastCrowd = 100
)

// inWaves holds back what is not urgent where much falls due at once, as after
// a week of downtime or with another issuer for all: nearest to expiry first,
// a wave a minute. What a person or another machine waits for goes at once, or
// where that is hundreds in waves of its own.
//
// It is for who runs on: a single apply does all that is due.
func inWaves(actions []Action, now time.Time) {
	var patient, others []*Action
	for i := range actions {
		switch a := &actions[i]; {
		case a.patient(now):
			patient = append(patient, a)
		case a.Kind.Orders():
			others = append(others, a)
		}
	}
	spread(patient, max(leastWave, len(actions)/100), now)
	spread(others, max(leastCrowd, len(actions)/10), now)
}

func spread(due []*Action, size int, now time.Time) {
	if len(due) <= size {
		return
	}
	slices.SortFunc(due, byDeadline(now))
	for i, a := range due[size:] {
		at := now.Add(time.Duration(i/size+1) * waveEvery)
		a.hold(ReasonSpread, at, fmt.Sprintf("%d certificates are due at once: they go in waves of %d a minute, nearest to expiry first (%s)", len(due), size, a.Detail))
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
