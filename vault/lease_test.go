package vault

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a clock that the test advances.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestLease(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	at := &clock{at: time.Now()}
	lease := func(holder string) *Lease {
		l := NewLease(kv, "secret", "certroll/lease", holder, time.Minute)
		l.now = at.now
		return l
	}
	// In containers every process has the same host name and PID.
	a, b := lease("certroll pid 1"), lease("certroll pid 1")
	acquire := func(l *Lease, want bool) time.Time {
		t.Helper()
		held, by, until, err := l.Acquire(t.Context())
		if err != nil || held != want || by != "certroll pid 1" {
			t.Fatalf("held %v by %q until %s, error %v; want held %v", held, by, until, err, want)
		}
		return until
	}
	acquire(a, true)
	if until := acquire(b, false); until.Sub(at.now()) < time.Minute {
		t.Errorf("the other one is told %s", until)
	}
	at.turn(30 * time.Second)
	acquire(a, true)
	at.turn(50 * time.Second)
	acquire(b, false) // A renewed the lease

	at.turn(16 * time.Second) // A was killed
	acquire(b, true)
	acquire(a, false) // A comes back and must not assume that it still has the lease
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	acquire(a, false) // and A's release must not release B's lease

	if err := b.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	acquire(a, true)
	call(t, v, http.MethodDelete, "secret/data/certroll/lease", nil, nil) // an operator deletes the lease
	acquire(b, true)
	acquire(a, false)
}

// TestLeaseOfAClockAhead: a process that is killed while its clock runs ahead does not lock others out until that time.
// A live process keeps the lease that it renews.
func TestLeaseOfAClockAhead(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	right, ahead := &clock{at: time.Now()}, &clock{at: time.Now().AddDate(1, 0, 0)}
	a, b := NewLease(kv, "secret", "certroll/ahead", "a", time.Minute), NewLease(kv, "secret", "certroll/ahead", "b", time.Minute)
	a.now, b.now = ahead.now, right.now
	acquire := func(l *Lease, want bool) {
		t.Helper()
		held, _, until, err := l.Acquire(t.Context())
		if err != nil || held != want || until.Sub(l.now()) > time.Minute+skew {
			t.Fatalf("held %v until %s, error %v; want held %v", held, until, err, want)
		}
	}
	for range 3 {
		acquire(a, true)
		acquire(b, false)
		right.turn(50 * time.Second)
		ahead.turn(50 * time.Second)
	}
	acquire(b, false)
	right.turn(16 * time.Second)
	acquire(b, true)
}

// TestLeaseRace: of many concurrent callers exactly one acquires the lease.
func TestLeaseRace(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	for round := range 5 {
		at := &clock{at: time.Now().Add(time.Duration(round) * time.Hour)}
		var wg sync.WaitGroup
		won := make(chan string, 8)
		for i := range 8 {
			l := NewLease(kv, "secret", "certroll/race", strings.Repeat("x", i+1), time.Minute)
			l.now = at.now
			wg.Go(func() {
				held, by, _, err := l.Acquire(t.Context())
				if err != nil {
					t.Error(err)
				}
				if held {
					won <- by
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Errorf("%d of 8 got the lease", len(won))
		}
	}
}

func TestLeaseUnreadable(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	call(t, v, http.MethodPost, "secret/data/certroll/lease", map[string]any{"data": map[string]string{"holder": "x", "until": "soon"}}, nil)
	_, _, _, err := NewLease(kv, "secret", "certroll/lease", "me", time.Minute).Acquire(t.Context())
	mustSay(t, err, v, "secret/certroll/lease", `"soon"`, "vault kv metadata delete")
}

// TestDocuments: two replicas that start together both get the document that was written first.
func TestDocuments(t *testing.T) {
	v := server(t)
	docs := NewDocuments(NewKV(newClient(t, v, v.Token)), "secret", "certroll/accounts")
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			doc, err := docs.Create(t.Context(), "ca", map[string]string{"private_key": strings.Repeat("k", i+1)})
			if err != nil {
				t.Error(err)
			}
			got[i] = doc["private_key"]
		})
	}
	wg.Wait()
	for _, key := range got {
		if key != got[0] || key == "" {
			t.Errorf("the keys differ: %q", got)
		}
	}
	if err := docs.Update(t.Context(), "ca", map[string]string{"private_key": got[0], "account_url": "u"}); err != nil {
		t.Fatal(err)
	}
	if doc, err := docs.Load(t.Context(), "ca"); doc["account_url"] != "u" || err != nil {
		t.Errorf("document: %v %v", doc, err)
	}
	// The client creates a document again after someone deleted it by hand.
	call(t, v, http.MethodDelete, "secret/data/certroll/accounts/ca", nil, nil)
	if doc, err := docs.Create(t.Context(), "ca", map[string]string{"private_key": "new"}); doc["private_key"] != "new" || err != nil {
		t.Errorf("document: %v %v", doc, err)
	}
}

// TestWaitsForTheServerEndWithTheirCaller: one call waits for a silent server and a second call waits for the first.
// The second wait ends with its own context.
func TestWaitsForTheServerEndWithTheirCaller(t *testing.T) {
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-answer
		w.WriteHeader(http.StatusForbidden)
	}))
	defer s.Close()
	defer close(answer)
	c, err := New(Options{Address: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	c.api.SetToken("a-token") // without a token the client sends no lookup
	l := NewLease(NewKV(c), "secret", "certroll/lease", "us", time.Minute)
	for name, call := range map[string]func(context.Context) error{
		"acquire": func(ctx context.Context) error { _, _, _, err := l.Acquire(ctx); return err },
		"login": func(ctx context.Context) error {
			c.deaths.anotherToken(ctx, c.api.Token(), nil)
			return ctx.Err()
		},
	} {
		first, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = call(first) }()
		select {
		case <-asked:
		case <-ended:
			t.Fatalf("%s: it asked nothing", name)
		}
		second, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		waited := make(chan error, 1)
		go func() { waited <- call(second) }()
		select {
		case err := <-waited:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want the context's end", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the wait does not end with its caller", name)
		}
		cancel()
		stop()
		<-ended
	}
}
