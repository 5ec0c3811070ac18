package eval

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// The bounds of evaluation. HCL has no loops without end, but loops within
// loops, and functions that make much out of little or take long over it.
//
// A step is about 20 nanoseconds of one core. Steps are reckoned from the
// sizes of values, never measured, so that a revision is accepted or rejected
// alike on every machine; only the deadline depends on the machine.
const (
	BaseWork    = 25_000_000 // steps of any revision
	WorkPerByte = 150        // steps more for each byte of its files
	inForce     = 30         // times as many for a revision that was in force before
	maxCall     = 15_000_000 // steps of one call, which nothing can interrupt
	lookAfter   = 200_000    // steps between two looks at the context
)

var (
	errWork    = errors.New("evaluating this revision takes too many steps")
	errStopped = errors.New("decoding was stopped")
)

// Budget is what evaluating one revision may still cost. It ends an evaluation
// by a panic, which meter.run recovers: a loop of HCL does not end at an error.
type Budget struct {
	mu          sync.Mutex // held while the expressions of fields are evaluated, which happens at any time
	ctx         context.Context
	began       time.Time
	Steps, left int64
	unlooked    int64 // steps since the context was looked at
	ended       error // errWork or errStopped; nothing is evaluated any more
	hints       int64 // steps that suggestions for mistyped names may still cost
}

// maxHints bounds what suggestions cost: a person has use for a few of them.
const maxHints = 5_000_000

// NewBudget is what a revision of a size may cost. trusted: it was in force before.
func NewBudget(ctx context.Context, size int, trusted bool) *Budget {
	all := int64(BaseWork) + int64(size)*WorkPerByte
	if trusted {
		all *= inForce
	}
	return &Budget{ctx: ctx, began: time.Now(), Steps: all, left: all, hints: maxHints}
}

// Lock is held while the expressions of fields are evaluated, which happens at any time.
func (b *Budget) Lock() { b.mu.Lock() }

// Unlock ends what Lock began.
func (b *Budget) Unlock() { b.mu.Unlock() }

// Refill begins another evaluation, once decoding is over.
func (b *Budget) Refill() {
	b.ctx, b.left, b.unlooked, b.ended = context.Background(), b.Steps, 0, nil
}

// Afford takes n steps, and tells whether they were to be had.
func (b *Budget) Afford(n int64) bool {
	if b.ended != nil {
		return false
	}
	b.left -= n
	b.unlooked += n
	switch {
	case n < 0 || n > maxCall || b.left < 0:
		b.ended = errWork
	case b.unlooked >= lookAfter:
		b.unlooked = 0
		if b.ctx.Err() != nil {
			b.ended = errStopped
		}
	}
	return b.ended == nil
}

// spend takes n steps, or ends the evaluation.
func (b *Budget) spend(n int64) {
	if !b.Afford(n) {
		panic(b.ended)
	}
}

// Stopped looks at the context at once, between two steps of the decoder that
// are no evaluation.
func (b *Budget) Stopped() bool {
	if b.ended == nil && b.ctx.Err() != nil {
		b.ended = errStopped
	}
	return b.ended != nil
}

// Interrupted tells whether it was the context that ended the evaluation.
func (b *Budget) Interrupted() bool { return errors.Is(b.ended, errStopped) }

// Expired tells whether the context ended by its deadline.
func (b *Budget) Expired() bool {
	return errors.Is(context.Cause(b.ctx), context.DeadlineExceeded)
}

// Elapsed is how long ago decoding began.
func (b *Budget) Elapsed() time.Duration { return time.Since(b.began) }

// AffordHint takes n steps for a suggestion, and tells whether they were to be had.
func (b *Budget) AffordHint(n int64) bool {
	b.hints -= n
	return b.hints >= 0
}

// Aside lets do evaluate on an account of its own, of which *left steps are left, and
// leaves the steps of the revision as they were.
func (b *Budget) Aside(left *int64, do func() error) error {
	kept, ended := b.left, b.ended
	b.left, b.ended = *left, nil
	defer func() {
		if b.ended != errStopped { //nolint:errorlint // a state, set nowhere else
			b.ended = ended
		}
		b.left, *left = kept, b.left
	}()
	return do()
}

// Times multiplies sizes, without overflow.
func Times(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/4/a {
		return math.MaxInt64 / 4
	}
	return a * b
}
