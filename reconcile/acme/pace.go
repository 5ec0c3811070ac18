package acme

import (
	"context"
	"encoding/base64"
	"time"
)

// The pace of asking the CA: quick at first, for one that is quick, then
// slower. A Retry-After may ask for more time within these bounds.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// pace spaces repeated questions.
type pace struct{ next, cap time.Duration }

func newPace(first, most time.Duration) *pace { return &pace{next: min(first, most), cap: most} }

func (p *pace) pause() time.Duration {
	d := p.next
	p.next = min(p.next*8/5, p.cap)
	return d
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch is a series of polls that must come to an end by a deadline.
type watch struct {
	client *Client
	pace   *pace
	began  time.Time
	limit  time.Duration
}

func (c *Client) newWatch(limit time.Duration) *watch {
	return &watch{client: c, pace: newPace(firstPause, lastPause), began: c.now(), limit: limit}
}

// wait pauses before the next poll. The last answer's Retry-After is a hint: some
// CAs name a day for what they decide within seconds, and leaving earlier than our
// own deadline would take the challenge's answer away while the CA looks for it.
// The hint therefore lengthens a pause up to lastPause, and the last poll is at
// the deadline. what says what has not come, should the time be up.
func (w *watch) wait(ctx context.Context, doing, what string, seen answer) error {
	waited := w.client.now().Sub(w.began)
	if waited >= w.limit {
		return &Error{class: ClassCAUnavailable, doing: doing, said: "the CA " + what + " after " + measured(waited),
			advice: "the next attempt continues the same order"}
	}
	pause := w.pace.pause()
	if asked, ok := parseRetryAfter(seen.retryAfter, w.client.now()); ok {
		pause = max(pause, min(asked, lastPause))
	}
	if err := sleep(ctx, min(pause, w.limit-waited)); err != nil {
		return interrupted(ctx, doing)
	}
	return nil
}

// measured is a duration for messages: whole seconds, below one second whole
// milliseconds.
func measured(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
