package wait

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

// Pace spaces repeated questions.
type Pace struct{ next, cap time.Duration }

// NewPace makes a Pace whose pauses grow from first to most.
func NewPace(first, most time.Duration) *Pace { return &Pace{next: min(first, most), cap: most} }

// Pause is how long to wait before the next question.
func (p *Pace) Pause() time.Duration {
	d := p.next
	p.next = min(p.next*8/5, p.cap)
	return d
}

// Sleep waits, or returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
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

// Measured is a duration for messages: whole seconds, below one second whole
// milliseconds.
func Measured(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// Listen opens a listener, with a little patience where the address is in use:
// a process that is being started, as the DNS children are, holds a copy of
// each of our sockets until its own program runs, those closed since included.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	for try := 0; ; try++ {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || try == 20 {
			return ln, err
		}
		if err := Sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
