package wait

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"certroll/spec/await"
)

// Pace is a growing pause between polls.
type Pace struct{ next, cap time.Duration }

// NewPace makes a Pace that grows from first to most.
func NewPace(first, most time.Duration) *Pace { return &Pace{next: min(first, most), cap: most} }

// Pause returns the pause before the next poll and lengthens the one after it by 60 %.
func (p *Pace) Pause() time.Duration {
	d := p.next
	p.next = min(p.next*8/5, p.cap)
	return d
}

// Measured formats a duration for messages: whole seconds, or whole milliseconds below
// one second.
func Measured(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// Listen opens a TCP listener and retries for a second while the address is in use. A
// child process between fork and exec holds a copy of each of certroll's sockets, even
// of one that certroll has just closed.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	for try := 0; ; try++ {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || try == 20 {
			return ln, err
		}
		if err := await.Sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
