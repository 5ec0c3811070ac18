package acme

import (
	"context"
	"encoding/base64"
	"strconv"
	"time"
)

// The pace of asking the CA: quick at first, for one that is quick, then
// slower. What Retry-After says goes before.
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
	client   *Client
	pace     *pace
	deadline time.Time
	limit    time.Duration
}

func (c *Client) newWatch(limit time.Duration) *watch {
	return &watch{client: c, pace: newPace(firstPause, lastPause), deadline: c.now().Add(limit), limit: limit}
}

// wait pauses before the next poll, for as long as the last answer asked for.
// what says what has not come, should the time be up.
func (w *watch) wait(ctx context.Context, doing, what string, seen answer) error {
	pause := w.pace.pause()
	if asked, ok := parseRetryAfter(seen.retryAfter, w.client.now()); ok && asked > 0 {
		pause = max(asked, firstPause) // "0" and a date gone by leave it to us
	}
	if next := w.client.now().Add(pause); next.After(w.deadline) {
		return &Error{class: ClassCAUnavailable, doing: doing, retry: w.client.retryAt(seen.retryAfter, ""),
			said: "the CA " + what + " after " + w.limit.String(), advice: "the next attempt takes the same order up again"}
	}
	if err := sleep(ctx, pause); err != nil {
		return interrupted(ctx, doing)
	}
	return nil
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
