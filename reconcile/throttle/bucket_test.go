package throttle_test

import (
	"testing"
	"time"

	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
)

func TestBucket(t *testing.T) {
	b := &throttle.Bucket{Burst: 3, Refill: time.Hour}
	at := reconciletest.Start
	// Three at once, then one an hour.
	want := []time.Duration{0, 0, 0, time.Hour, 2 * time.Hour}
	for i, w := range want {
		got := b.Next(at)
		if got.Sub(reconciletest.Start) != w {
			t.Errorf("token %d: there after %s, want %s", i+1, got.Sub(reconciletest.Start), w)
		}
		b.Take(got)
	}
	// Half a day later the bucket is full again, and holds no more than its burst.
	at = reconciletest.Start.Add(12 * time.Hour)
	for i, w := range []time.Duration{0, 0, 0, time.Hour} {
		got := b.Next(at)
		if got.Sub(at) != w {
			t.Errorf("later, token %d: there after %s, want %s", i+1, got.Sub(at), w)
		}
		b.Take(got)
	}
}

// TestBucketNeverExceedsItsRate draws as fast as allowed for a week: no window may
// contain more than the burst and the refill.
func TestBucketNeverExceedsItsRate(t *testing.T) {
	b := &throttle.Bucket{Burst: 50, Refill: 202 * time.Minute}
	var taken []time.Time
	for at := reconciletest.Start; at.Before(reconciletest.Start.Add(7 * times.Day)); at = b.Next(at) {
		b.Take(at)
		taken = append(taken, at)
	}
	for i := range taken {
		for j := i; j < len(taken); j++ {
			if most := b.Burst + int(taken[j].Sub(taken[i])/b.Refill); j-i+1 > most {
				t.Fatalf("%d tokens within %s, at most %d", j-i+1, taken[j].Sub(taken[i]), most)
			}
		}
	}
	if len(taken) < 50 {
		t.Errorf("only %d tokens in a week", len(taken))
	}
}
