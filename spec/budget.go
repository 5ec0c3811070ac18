package spec

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
	baseWork  = 25_000_000 // steps of any revision
	workPer   = 150        // steps more for each byte of its files
	inForce   = 30         // times as many for a revision that was in force before
	maxCall   = 15_000_000 // steps of one call, which nothing can interrupt
	lookAfter = 200_000    // steps between two looks at the context
)

var (
	errWork    = errors.New("evaluating this revision takes too many steps")
	errStopped = errors.New("decoding was stopped")
)

// budget is what evaluating one revision may still cost. It ends an evaluation
// by a panic, which meter.run recovers: a loop of HCL does not end at an error.
type budget struct {
	mu        sync.Mutex // held while the expressions of fields are evaluated, which happens at any time
	ctx       context.Context
	began     time.Time
	all, left int64
	unlooked  int64 // steps since the context was looked at
	ended     error // errWork or errStopped; nothing is evaluated any more
	hints     int64 // steps that suggestions for mistyped names may still cost
}

// maxHints bounds what suggestions cost: a person has use for a few of them.
const maxHints = 5_000_000

func newBudget(ctx context.Context, size int, trusted bool) *budget {
	all := int64(baseWork) + int64(size)*workPer
	if trusted {
		all *= inForce
	}
	return &budget{ctx: ctx, began: time.Now(), all: all, left: all, hints: maxHints}
}

// Lock is held while the expressions of fields are evaluated, which happens at any time.
func (b *budget) Lock() { b.mu.Lock() }

// Unlock ends what Lock began.
func (b *budget) Unlock() { b.mu.Unlock() }

// refill begins another evaluation, once decoding is over.
func (b *budget) refill() {
	b.ctx, b.left, b.unlooked, b.ended = context.Background(), b.all, 0, nil
}

// afford takes n steps, and tells whether they were to be had.
func (b *budget) afford(n int64) bool {
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
func (b *budget) spend(n int64) {
	if !b.afford(n) {
		panic(b.ended)
	}
}

// stopped looks at the context at once, between two steps of the decoder that
// are no evaluation.
func (b *budget) stopped() bool {
	if b.ended == nil && b.ctx.Err() != nil {
		b.ended = errStopped
	}
	return b.ended != nil
}

// interrupted tells whether it was the context that ended the evaluation.
func (b *budget) interrupted() bool { return errors.Is(b.ended, errStopped) }

// expired tells whether the context ended by its deadline.
func (b *budget) expired() bool {
	return errors.Is(context.Cause(b.ctx), context.DeadlineExceeded)
}

// elapsed is how long ago decoding began.
func (b *budget) elapsed() time.Duration { return time.Since(b.began) }

// affordHint takes n steps for a suggestion, and tells whether they were to be had.
func (b *budget) affordHint(n int64) bool {
	b.hints -= n
	return b.hints >= 0
}

// aside lets do evaluate on an account of its own, of which *left steps are left, and
// leaves the steps of the revision as they were.
func (b *budget) aside(left *int64, do func() error) error {
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

// times multiplies sizes, without overflow.
func times(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/4/a {
		return math.MaxInt64 / 4
	}
	return a * b
}
