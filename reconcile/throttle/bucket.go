package throttle

import (
	"time"
)

// Bucket is a token bucket by the generic cell rate algorithm. Boulder counts its limits
// the same way. Instead of tokens it stores the time at which the bucket is full again, so
// that it needs no clock and no goroutine for refills.
//
//	full = when all tokens are back
//	       now ───────────────── full
//	       └── at most (burst-1) refills: a token is there ──┘
type Bucket struct {
	Burst  int
	Refill time.Duration
	full   time.Time
}

// Next returns the earliest time from at on at which a token is available.
func (b *Bucket) Next(at time.Time) time.Time {
	if free := b.full.Add(-time.Duration(b.Burst-1) * b.Refill); free.After(at) {
		return free
	}
	return at
}

// Take uses one token at a time. It may overdraw the bucket: the audit log states what has
// happened, and an overdraft only makes the next order wait longer.
func (b *Bucket) Take(at time.Time) {
	if b.full.Before(at) {
		b.full = at
	}
	b.full = b.full.Add(b.Refill)
}

// used returns how many tokens are used at a time. A token that is being refilled counts in
// part.
func (b *Bucket) used(at time.Time) float64 {
	if !b.full.After(at) {
		return 0
	}
	return float64(b.full.Sub(at)) / float64(b.Refill)
}
