package ca

import (
	"context"
	"time"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/wait"
)

// The pace of asking the CA: quick at first, for one that is quick, then
// slower. A Retry-After may ask for more time within these bounds.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Watch is a series of polls that must come to an end by a deadline.
type Watch struct {
	now   func() time.Time
	pace  *wait.Pace
	began time.Time
	limit time.Duration
}

// NewWatch makes a Watch that ends when limit is over.
func NewWatch(now func() time.Time, limit time.Duration) *Watch {
	return &Watch{now: now, pace: wait.NewPace(firstPause, lastPause), began: now(), limit: limit}
}

// Wait pauses before the next poll. The last answer's Retry-After is a hint: some
// CAs name a day for what they decide within seconds, and leaving earlier than our
// own deadline would take the challenge's answer away while the CA looks for it.
// The hint therefore lengthens a pause up to lastPause, and the last poll is at
// the deadline. what says what has not come, should the time be up.
func (w *Watch) Wait(ctx context.Context, doing, what string, seen Answer) error {
	waited := w.now().Sub(w.began)
	if waited >= w.limit {
		return &problem.Error{OfClass: problem.ClassCAUnavailable, Doing: doing, Said: "the CA " + what + " after " + wait.Measured(waited),
			Advice: "the next attempt continues the same order"}
	}
	pause := w.pace.Pause()
	if asked, ok := problem.RetryAfter(seen.RetryAfter, w.now()); ok {
		pause = max(pause, min(asked, lastPause))
	}
	if err := wait.Sleep(ctx, min(pause, w.limit-waited)); err != nil {
		return problem.Interrupted(ctx, doing)
	}
	return nil
}
