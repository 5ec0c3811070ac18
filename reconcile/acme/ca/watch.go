package ca

import (
	"context"
	"time"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/wait"
	"certroll/reconcile/ledger"
	"certroll/spec/await"
)

// The pauses between polls of the CA: short at first for fast CAs, then longer.
// Retry-After may lengthen a pause up to lastPause.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Watch is a series of polls with a deadline.
type Watch struct {
	now   func() time.Time
	pace  *wait.Pace
	began time.Time
	limit time.Duration
}

// NewWatch makes a Watch that ends after limit.
func NewWatch(now func() time.Time, limit time.Duration) *Watch {
	return &Watch{now: now, pace: wait.NewPace(firstPause, lastPause), began: now(), limit: limit}
}

// Wait pauses before the next poll, and fails after the limit. It treats Retry-After as
// a hint: some CAs name a day for a decision that takes seconds (ZeroSSL: 86400). If
// certroll left before its own deadline, it would remove the challenge's answer while
// the CA looks for it. So the hint lengthens a pause up to lastPause, and the last poll
// is at the deadline. what is the rest of the sentence "the CA ..." for the error.
func (w *Watch) Wait(ctx context.Context, doing, what string, seen Answer) error {
	waited := w.now().Sub(w.began)
	if waited >= w.limit {
		return &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the CA " + what + " after " + wait.Measured(waited),
			Advice: "the next attempt continues the same order"}
	}
	pause := w.pace.Pause()
	if asked, ok := problem.RetryAfter(seen.RetryAfter, w.now()); ok {
		pause = max(pause, min(asked, lastPause))
	}
	if err := await.Sleep(ctx, min(pause, w.limit-waited)); err != nil {
		return problem.Interrupted(ctx, doing)
	}
	return nil
}
