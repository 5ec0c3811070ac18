package throttle

import (
	"time"
)

// Bucket is a token bucket by the generic cell rate algorithm: instead of
// counting tokens it keeps the one moment from which the bucket would be full
// again, so that it needs no clock of its own and no goroutine to refill it.
//
//	full = when all tokens are back
//	       now ───────────────── full
//	       └── at most (burst-1) refills: a token is there ──┘
type Bucket struct {
	Burst  int
	Refill time.Duration
	full   time.Time
}

// Next is the earliest moment from at on when a token is there.
func (b *Bucket) Next(at time.Time) time.Time {
	if free := b.full.Add(-time.Duration(b.Burst-1) * b.Refill); free.After(at) {
		return free
	}
	return at
}

// Take uses one token at a moment. Taking more than there are is allowed: what
// the audit log says happened, happened, and makes the next one wait longer.
func (b *Bucket) Take(at time.Time) {
	if b.full.Before(at) {
		b.full = at
	}
	b.full = b.full.Add(b.Refill)
}

// used is how many tokens are gone at a moment; one that is on its way back is
// gone in part.
func (b *Bucket) used(at time.Time) float64 {
	if !b.full.After(at) {
		return 0
	}
	return float64(b.full.Sub(at)) / float64(b.Refill)
}
