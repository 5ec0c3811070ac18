package publish

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNameLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNames(time.Now)
		var wg sync.WaitGroup
		start := time.Now()
		for _, name := range []string{"a.example.com.", "A.example.com.", "b.example.com."} {
			wg.Go(func() {
				unlock, err := n.lock(t.Context(), name, "", nil)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Second)
				unlock()
			})
		}
		wg.Wait()
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("it took %s, want 2s: one name in turns, the other beside it", d)
		}
		if left := n.locks.Len(); left != 0 {
			t.Errorf("%d locks are remembered though nobody holds them", left)
		}
	})
}

func TestNameLockInterrupted(t *testing.T) {
	n := newNames(time.Now)
	unlock, err := n.lock(t.Context(), "a", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.lock(ctx, "a", "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an interruption", err)
	}
	unlock()
	if unlock, err = n.lock(t.Context(), "a", "", nil); err != nil {
		t.Errorf("the lock was lost: %v", err)
	} else {
		unlock()
	}
}

func TestQuiet(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	n := newNames(func() time.Time { return now })
	n.lookedAt("Shared.example.com.", time.Minute)
	if d := n.quiet("shared.example.com."); d != time.Minute {
		t.Errorf("got %s, want 1m", d)
	}
	if d := n.quiet("other.example.com."); d > 0 {
		t.Errorf("another name is quiet for %s", d)
	}
	now = now.Add(time.Minute)
	if d := n.quiet("shared.example.com."); d > 0 {
		t.Errorf("after its time the name is quiet for %s", d)
	}
	n.lookedAt("other.example.com.", -1)
	now = now.Add(time.Second)
	n.lookedAt("third.example.com.", time.Second)
	if len(n.quiets) != 1 {
		t.Errorf("%d names are remembered, want 1", len(n.quiets))
	}
}

// TestOwnNamesAreNotWaitedFor checks that the names of one order, which share a record
// name, report no wait for each other, and one wait for another order.
func TestOwnNamesAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNames(time.Now)
		var mu sync.Mutex
		waits := 0
		order := func() (wg *sync.WaitGroup) {
			wg = new(sync.WaitGroup)
			for range 3 {
				wg.Go(func() {
					unlock, err := n.lock(t.Context(), "a", "order/1", func() { mu.Lock(); defer mu.Unlock(); waits++ })
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Second)
					unlock()
				})
			}
			return wg
		}
		began := time.Now()
		order().Wait()
		if took := time.Since(began); waits != 0 || took != 3*time.Second {
			t.Errorf("one order alone reported %d waits and took %s, want none and one name after the other", waits, took)
		}
		unlock, err := n.lock(t.Context(), "a", "order/2", nil)
		if err != nil {
			t.Fatal(err)
		}
		wg := order()
		synctest.Wait()
		if waits != 1 {
			t.Errorf("%d waits are reported while another order has the name, want 1", waits)
		}
		unlock()
		wg.Wait()
		if left := n.locks.Len(); left != 0 {
			t.Errorf("%d locks are remembered though nobody holds them", left)
		}
	})
}

// TestWaitIsReported checks that the publisher reports when a wait for another
// publication at the name begins and ends.
func TestWaitIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNames(time.Now)
		unlock, err := n.lock(t.Context(), "a", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		take := func() {
			done, err := InTurn(func(step, detail string) { said = append(said, step+" "+detail) }, "waiting", func(waiting func()) (func(), error) {
				return n.lock(t.Context(), "a", "other", waiting)
			})
			if err != nil {
				t.Error(err)
				return
			}
			done()
		}
		time.AfterFunc(time.Minute, unlock)
		take()
		take() // the name is free again
		if want := []string{"turn waiting", "turn "}; !slices.Equal(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
	})
}
