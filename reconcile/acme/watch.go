package acme

import (
	"context"
	"time"
)

// The pace of asking the CA: quick at first, for one that is quick, then
// slower. A Retry-After may ask for more time within these bounds.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// watch is a series of polls that must come to an end by a deadline.
type watch struct {
	now   func() time.Time
	pace  *pace
	began time.Time
	limit time.Duration
}

func newWatch(now func() time.Time, limit time.Duration) *watch {
	return &watch{now: now, pace: newPace(firstPause, lastPause), began: now(), limit: limit}
}

// wait pauses before the next poll. The last answer's Retry-After is a hint: some
// CAs name a day for what they decide within seconds, and leaving earlier than our
// own deadline would take the challenge's answer away while the CA looks for it.
// The hint therefore lengthens a pause up to lastPause, and the last poll is at
// the deadline. what says what has not come, should the time be up.
func (w *watch) wait(ctx context.Context, doing, what string, seen answer) error {
	waited := w.now().Sub(w.began)
	if waited >= w.limit {
		return &Error{class: ClassCAUnavailable, doing: doing, said: "the CA " + what + " after " + measured(waited),
			advice: "the next attempt continues the same order"}
	}
	pause := w.pace.pause()
	if asked, ok := parseRetryAfter(seen.retryAfter, w.now()); ok {
		pause = max(pause, min(asked, lastPause))
	}
	if err := sleep(ctx, min(pause, w.limit-waited)); err != nil {
		return interrupted(ctx, doing)
	}
	return nil
}
