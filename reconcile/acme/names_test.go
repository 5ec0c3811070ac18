package acme

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"certroll/spec"
)

func TestNameLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNames(time.Now)
		var wg sync.WaitGroup
		start := time.Now()
		for _, name := range []string{"a.example.com.", "A.example.com.", "b.example.com."} {
			wg.Go(func() {
				unlock, err := n.lock(t.Context(), name)
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
	unlock, err := n.lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.lock(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an interruption", err)
	}
	unlock()
	if unlock, err = n.lock(t.Context(), "a"); err != nil {
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

// The pace is ours where the CA asks for none, or for nonsense.
func TestPace(t *testing.T) {
	for name, test := range map[string]struct {
		retryAfter  string
		least, most int
	}{
		"not told":       {"", 10, 25},
		"told nothing":   {"0", 10, 25},
		"a date gone by": {"Mon, 01 Nov 1999 12:00:00 GMT", 10, 25},
		"in a second":    {"1", 10, 20},
		"in ten seconds": {"10", 12, 12},
		"in two minutes": {"120", 12, 12},
		"in a day":       {"86400", 12, 12},
		"in ten years":   {"Mon, 01 Nov 2100 12:00:00 GMT", 12, 12},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			w := newWatch(time.Now, time.Minute)
			polls := 0
			var err error
			for err == nil {
				if err = w.wait(t.Context(), "asking", "is slow", answer{retryAfter: test.retryAfter}); err == nil {
					polls++
				}
			}
			if d := time.Since(began); d != time.Minute {
				t.Errorf("%s: given up after %s, want the whole minute", name, d)
			}
			if !strings.Contains(err.Error(), "is slow after 1m0s") || !retryOf(err).IsZero() {
				t.Errorf("%s: got %v, to be tried again at %s", name, err, retryOf(err))
			}
			if polls < test.least || polls > test.most {
				t.Errorf("%s: %d polls in a minute, want %d to %d", name, polls, test.least, test.most)
			}
		})
	}
}

func retryOf(err error) time.Time { return asError("", err).RetryAt() }

func TestNameservers(t *testing.T) {
	a := &spec.DNSAccount{Propagation: spec.Propagation{Nameservers: []string{"192.0.2.1", "192.0.2.2:5353", "2001:db8::1", "[2001:db8::2]:53", "ns.example.com"}}}
	want := []string{"192.0.2.1:53", "192.0.2.2:5353", "[2001:db8::1]:53", "[2001:db8::2]:53", "ns.example.com:53"}
	got := nameservers(a)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %s, want %s", got[i], want[i])
		}
	}
	if len(nameservers(&spec.DNSAccount{})) == 0 {
		t.Error("the system's resolvers are none")
	}
}

func TestLookIsComplete(t *testing.T) {
	yes, no, silent := view{ok: true}, view{}, view{silent: true}
	tests := map[string]struct {
		views []view
		want  bool
	}{
		"all see it":       {[]view{yes, yes}, true},
		"one does not":     {[]view{yes, no}, false},
		"one is silent":    {[]view{yes, silent}, true},
		"all are silent":   {[]view{silent, silent}, false},
		"nobody was asked": {nil, false},
	}
	for name, test := range tests {
		if got := (look{views: test.views}).complete(); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestServerName(t *testing.T) {
	for identifier, want := range map[string]string{
		"WWW.example.com": "www.example.com", "192.0.2.1": "1.2.0.192.in-addr.arpa",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := serverName(identifier); got != want {
			t.Errorf("%s: got %s, want %s", identifier, got, want)
		}
	}
}

func TestTokenSafe(t *testing.T) {
	for token, want := range map[string]bool{
		"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA": true, "": false, "../../etc/passwd": false, "a/b": false, "a.b": false, "a b": false,
	} {
		if got := tokenSafe(token); got != want {
			t.Errorf("%q: got %v, want %v", token, got, want)
		}
	}
}
