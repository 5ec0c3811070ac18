package eval

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// The bounds of evaluation. HCL has no endless loops, but it has nested loops, and
// functions that produce large results or run long for small arguments.
//
// A step is about 20 nanoseconds of one core. Steps are computed from the sizes of
// values, never measured, so that every machine accepts and rejects the same revisions.
// Only the deadline depends on the machine.
const (
	BaseWork    = 25_000_000 // steps of every revision
	WorkPerByte = 150        // additional steps for each byte of its files
	inForce     = 30         // factor for a revision that was in force before: a new bound must not stop renewals
	maxCall     = 15_000_000 // steps of one call, which nothing can interrupt
	lookAfter   = 200_000    // steps between two checks of the context
)

var (
	errWork    = errors.New("evaluating this revision takes too many steps")
	errStopped = errors.New("decoding was stopped")
)

// Budget is the number of steps that evaluating one revision may still cost. It ends an
// evaluation by a panic, which Meter.Run recovers, because HCL's loops do not stop at an
// error.
type Budget struct {
	mu          sync.Mutex // held while the expressions of fields are evaluated, at any time after decoding
	ctx         context.Context
	began       time.Time
	Steps, left int64
	unlooked    int64 // steps since the last check of the context
	ended       error // errWork or errStopped; then nothing is evaluated any more
	hints       int64 // steps left for suggestions for mistyped names
}

// maxHints bounds the cost of suggestions: a person needs only a few of them.
const maxHints = 5_000_000

// NewBudget returns the budget of a revision with size bytes of files. trusted means that
// the revision was in force before.
func NewBudget(ctx context.Context, size int, trusted bool) *Budget {
	all := int64(BaseWork) + int64(size)*WorkPerByte
	if trusted {
		all *= inForce
	}
	return &Budget{ctx: ctx, began: time.Now(), Steps: all, left: all, hints: maxHints}
}

// Lock reserves the budget for one evaluation of fields. Renders run concurrently and
// share the budget.
func (b *Budget) Lock() { b.mu.Lock() }

// Unlock releases the budget.
func (b *Budget) Unlock() { b.mu.Unlock() }

// Refill resets the steps for another evaluation of fields after decoding. The context of
// the decoding has ended by then, so Refill replaces it.
func (b *Budget) Refill() {
	b.ctx, b.left, b.unlooked, b.ended = context.Background(), b.Steps, 0, nil
}

// Afford takes n steps and reports whether they were left. It checks the context now and
// then.
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

// spend takes n steps, or panics to end the evaluation.
func (b *Budget) spend(n int64) {
	if !b.Afford(n) {
		panic(b.ended)
	}
}

// Stopped checks the context at once, between steps of the decoder that evaluate nothing.
func (b *Budget) Stopped() bool {
	if b.ended == nil && b.ctx.Err() != nil {
		b.ended = errStopped
	}
	return b.ended != nil
}

// Interrupted reports whether the context ended the evaluation.
func (b *Budget) Interrupted() bool { return errors.Is(b.ended, errStopped) }

// Expired reports whether the context reached its deadline.
func (b *Budget) Expired() bool {
	return errors.Is(context.Cause(b.ctx), context.DeadlineExceeded)
}

// Elapsed returns the time since decoding began.
func (b *Budget) Elapsed() time.Duration { return time.Since(b.began) }

// AffordHint takes n steps for a suggestion and reports whether they were left.
// Suggestions have their own steps: a typo must not exhaust the revision's.
func (b *Budget) AffordHint(n int64) bool {
	b.hints -= n
	return b.hints >= 0
}

// Aside runs do on a separate account with *left steps, and keeps the steps of the
// revision unchanged.
func (b *Budget) Aside(left *int64, do func() error) error {
	before, ended := b.left, b.ended
	b.left, b.ended = *left, nil
	defer func() {
		if b.ended != errStopped { //nolint:errorlint // a state, set nowhere else
			b.ended = ended
		}
		b.left, *left = before, b.left
	}()
	return do()
}

// Times multiplies two sizes, limited to a quarter of the largest int64, so that sums of
// a few results do not overflow.
func Times(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/4/a {
		return math.MaxInt64 / 4
	}
	return a * b
}
