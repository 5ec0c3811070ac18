package acme

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// through returns a client whose requests pass through answer first.
func (r *rig) through(answer func(next http.RoundTripper, req *http.Request) *http.Response) *Client {
	r.t.Helper()
	other := *r
	other.opts.Transport = func(next http.RoundTripper) http.RoundTripper {
		return &faulty{next: next, answer: func(req *http.Request) *http.Response { return answer(next, req) }}
	}
	return other.client()
}

// pass forwards a request and drops its answer.
func pass(t testing.TB, next http.RoundTripper, req *http.Request) {
	t.Helper()
	resp, err := next.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return
	}
	if resp.StatusCode >= http.StatusBadRequest {
		t.Errorf("the CA answered %s to %s", resp.Status, req.URL.Path)
	}
	_ = resp.Body.Close()
}

func isOrder(req *http.Request) bool    { return strings.Contains(req.URL.Path, "/my-order/") }
func isFinalize(req *http.Request) bool { return strings.Contains(req.URL.Path, "/finalize-order/") }

// TestOrderThatCannotBeHad checks that an order that cannot be fetched counts as gone
// only if the CA itself says so.
func TestOrderThatCannotBeHad(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	r.opts.Now = func() time.Time { return now }
	url := r.order(r.client(), "had.lab.test")
	_, csr := request(t, "had.lab.test")
	tests := map[string]struct {
		status int
		header map[string]string
		body   string
		class  ledger.Class
		gone   bool
		at     time.Time
	}{
		"forgotten":              {status: 404, body: problemBody("malformed", "No order for ID 1"), class: ledger.ClassCARejected, gone: true},
		"forgotten in plain":     {status: 404, body: "not found", class: ledger.ClassCARejected, gone: true},
		"gone for good":          {status: 410, body: "gone", class: ledger.ClassCARejected, gone: true},
		"of another account":     {status: 403, body: problemBody("unauthorized", "not yours"), class: ledger.ClassCARejected, gone: true},
		"a firewall":             {status: 403, body: "<html>blocked</html>", class: ledger.ClassCARejected},
		"a gateway's own JSON":   {status: 403, body: `{"message":"Forbidden"}`, class: ledger.ClassCARejected},
		"new terms":              {status: 403, body: problemBody("userActionRequired", "agree first"), class: ledger.ClassConfig},
		"limit":                  {status: 429, header: map[string]string{"Retry-After": "60"}, body: problemBody("rateLimited", "slow down"), class: ledger.ClassRateLimited, at: now.Add(time.Minute)},
		"busy":                   {status: 503, header: map[string]string{"Retry-After": "30"}, body: "busy", class: ledger.ClassCAUnavailable, at: now.Add(30 * time.Second)},
		"nothing at all":         {status: 500, body: "null", class: ledger.ClassCAUnavailable},
		"invalid without reason": {status: 200, body: `{"status":"invalid"}`, class: ledger.ClassCARejected, gone: true},
		"invalid with a reason":  {status: 200, body: `{"status":"invalid","error":` + problemBody("caa", "forbidden by CAA") + `}`, class: ledger.ClassCAA, gone: true},
		"a status unheard of":    {status: 200, body: `{"status":"sleeping"}`, class: ledger.ClassCAUnavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
				if isOrder(req) {
					return reply(test.status, test.header, test.body)
				}
				return nil
			})
			_, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, nil, nil)
			if e := fails(t, err, test.class, test.gone); !e.RetryAt().Equal(test.at) {
				t.Errorf("got %v, to be tried again at %s, want %s", e, e.RetryAt(), test.at)
			}
		})
	}
}

// TestProcessing checks a CA that is slow to issue: the client polls at the CA's
// interval and gives up at its own limit, and the order stays usable.
func TestProcessing(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	accounts := []*spec.DNSAccount{account("dns", r.server())}
	processing := func(polls int64, header map[string]string) (*Client, *[]time.Time) {
		var finalized atomic.Bool
		var left atomic.Int64
		left.Store(polls)
		times := &[]time.Time{}
		return r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
			switch {
			case isFinalize(req):
				finalized.Store(true)
			case isOrder(req) && finalized.Load():
				*times = append(*times, time.Now()) // one order, polled sequentially
				if left.Add(-1) >= 0 {
					return reply(200, header, `{"status":"processing"}`)
				}
			}
			return nil
		}), times
	}
	t.Run("asked when it said", func(t *testing.T) {
		c, times := processing(1, map[string]string{"Retry-After": "1"})
		r.issue(c, accounts, "patience.lab.test")
		if d := (*times)[1].Sub((*times)[0]); d < time.Second {
			t.Errorf("the order was looked at again after %s, want a second", d)
		}
	})
	t.Run("taken up in the middle", func(t *testing.T) {
		key, csr := request(t, "middle.lab.test")
		c := r.client()
		url := r.order(c, "middle.lab.test")
		if _, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, accounts, nil); err != nil {
			t.Fatal(err)
		}
		var polls atomic.Int64
		again := r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
			switch {
			case isOrder(req) && polls.Add(1) <= 2:
				return reply(200, nil, `{"status":"processing"}`)
			case isFinalize(req):
				t.Error("an order that is processed was finalized once more")
			}
			return nil
		})
		chain, _, _, err := again.Finish(t.Context(), r.issuer, url, csr, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.verify(chain, key, "middle.lab.test")
	})
	tests := map[string]struct {
		header map[string]string
		wait   time.Duration
	}{
		"for ever":               {},
		"asked to wait too long": {header: map[string]string{"Retry-After": "1800"}, wait: 30 * time.Minute},
		"asked to wait a day":    {header: map[string]string{"Retry-After": "86400"}, wait: time.Hour},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r.opts.FinalizeTimeout = 400 * time.Millisecond
			c, times := processing(1000, test.header)
			key, csr := request(t, "slow.lab.test")
			url := r.order(c, "slow.lab.test")
			_, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, accounts, nil)
			e := fails(t, err, ledger.ClassCAUnavailable, false)
			if !strings.Contains(e.Error(), "has not issued the certificate") || !e.Processing() {
				t.Errorf("the error does not say what has not come: %v", e)
			}
			if wait := time.Until(e.RetryAt()); test.wait > 0 && (wait < test.wait-time.Minute || wait > test.wait) || len(*times) < 2 {
				t.Errorf("got to be tried again at %s after %d polls, want in %s after two at least", e.RetryAt(), len(*times), test.wait)
			}
			chain, _, _, err := r.client().Finish(t.Context(), r.issuer, url, csr, nil, nil)
			if err != nil {
				t.Fatalf("taking the order up again: %v", err)
			}
			r.verify(chain, key, "slow.lab.test")
		})
	}
}

// TestOrderLagsBehind checks an order whose state lags: pending although every
// authorization is valid, or ready or pending although it was finalized. The client
// polls again, finalizes at most once more and creates no other order.
func TestOrderLagsBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	accounts := []*spec.DNSAccount{account("dns", r.server())}
	for name, test := range map[string]struct {
		after  func(*http.Request) bool // from this request on
		states []string
	}{
		"pending once all is valid":  {func(req *http.Request) bool { return strings.Contains(req.URL.Path, "/chalZ/") }, []string{"pending", "pending", "pending"}},
		"ready once it is finalized": {isFinalize, []string{"ready", "pending", "processing"}},
	} {
		t.Run(name, func(t *testing.T) {
			var begun atomic.Bool
			var asked, finalized atomic.Int64
			c := r.through(func(next http.RoundTripper, req *http.Request) *http.Response {
				if isFinalize(req) {
					finalized.Add(1)
				}
				if test.after(req) {
					begun.Store(true)
				}
				n := int(asked.Load())
				if !isOrder(req) || !begun.Load() || n >= len(test.states) {
					return nil
				}
				asked.Add(1)
				return edited(t, next, req, func(order map[string]any) {
					order["status"] = test.states[n]
					delete(order, "certificate")
				})
			})
			r.issue(c, accounts, "lags.lab.test")
			if asked.Load() != int64(len(test.states)) || finalized.Load() > 2 {
				t.Errorf("%d answers lagged behind, and it was finalized %d times", asked.Load(), finalized.Load())
			}
		})
	}
}

// edited forwards a request and edits the CA's answer.
func edited(t testing.TB, next http.RoundTripper, req *http.Request, edit func(map[string]any)) *http.Response {
	t.Helper()
	resp, err := next.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return reply(http.StatusInternalServerError, nil, "")
	}
	object := map[string]any{}
	err = json.NewDecoder(resp.Body).Decode(&object)
	_ = resp.Body.Close()
	if err != nil {
		t.Error(err)
	}
	edit(object)
	body, err := json.Marshal(object)
	if err != nil {
		t.Error(err)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp
}

// TestFinalizeRefused checks what the client does if the CA's answer to finalize
// contradicts the state of the order.
func TestFinalizeRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	accounts := []*spec.DNSAccount{account("dns", r.server())}
	t.Run("though it was heard", func(t *testing.T) {
		c := r.through(func(next http.RoundTripper, req *http.Request) *http.Response {
			if !isFinalize(req) {
				return nil
			}
			pass(t, next, req)
			return reply(403, nil, problemBody("unauthorized", "the order is being finalized"))
		})
		r.issue(c, accounts, "heard.lab.test")
	})
	t.Run("not ready yet", func(t *testing.T) {
		var times atomic.Int64
		c := r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
			if isFinalize(req) && times.Add(1) == 1 {
				return reply(403, nil, problemBody("orderNotReady", "in a moment"))
			}
			return nil
		})
		r.issue(c, accounts, "moment.lab.test")
	})
	tests := map[string]struct {
		status int
		body   string
		class  ledger.Class
		gone   bool
		asked  bool // whether the client fetches the order afterwards
	}{
		"for the request's sake": {400, problemBody("badCSR", "weak key"), ledger.ClassCARejected, true, false},
		"for CAA's sake":         {403, problemBody("caa", "forbidden"), ledger.ClassCAA, false, true},
		"being busy":             {503, problemBody("serverInternal", "busy"), ledger.ClassCAUnavailable, false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var refused, asked atomic.Bool
			c := r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
				if isFinalize(req) {
					refused.Store(true)
					return reply(test.status, map[string]string{"Retry-After": "30"}, test.body)
				}
				asked.Store(asked.Load() || isOrder(req) && refused.Load())
				return nil
			})
			fails(t, r.finishFails(c, accounts, "refused.lab.test"), test.class, test.gone)
			if asked.Load() != test.asked {
				t.Errorf("the order was looked at after the refusal: %v, want %v", asked.Load(), test.asked)
			}
		})
	}
}

// TestTroubleWhileValidating checks that polls that fail during validation do not
// remove the challenge record: that would invalidate the order.
func TestTroubleWhileValidating(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	accounts := []*spec.DNSAccount{account("dns", r.server())}
	// during answers the first n polls of the authorization after the challenge
	// request; challenge may answer that request too.
	during := func(n int64, poll, challenge func() *http.Response) *Client {
		var asked atomic.Bool
		var polls atomic.Int64
		return r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
			switch {
			case strings.Contains(req.URL.Path, "/chalZ/"):
				asked.Store(true)
				return challenge()
			case strings.Contains(req.URL.Path, "/authZ/") && asked.Load() && polls.Add(1) <= n:
				return poll()
			}
			return nil
		})
	}
	none := func() *http.Response { return nil }
	t.Run("polls fail for a while", func(t *testing.T) {
		busy := func() *http.Response { return reply(503, nil, "<html>busy</html>") }
		r.issue(during(2, busy, none), accounts, "polls.lab.test")
		if !r.log.has("asking again") {
			t.Errorf("the trouble is not among the reports:\n%s", r.log)
		}
	})
	t.Run("polls fail for long", func(t *testing.T) {
		r.opts.ValidationTimeout = 400 * time.Millisecond
		defer func() { r.opts.ValidationTimeout = 0 }()
		busy := func() *http.Response { return reply(503, map[string]string{"Retry-After": "3600"}, "busy") }
		e := fails(t, r.finishFails(during(1000, busy, none), accounts, "long.lab.test"), ledger.ClassCAUnavailable, false)
		if !strings.Contains(e.Error(), "answered 503") || time.Until(e.RetryAt()) < 59*time.Minute {
			t.Errorf("got %v, to be tried again at %s; want the CA's answer, and in an hour", e, e.RetryAt())
		}
	})
	t.Run("a firewall answers for a while", func(t *testing.T) {
		blocked := func() *http.Response { return reply(403, nil, "<html>blocked</html>") }
		r.issue(during(2, blocked, none), accounts, "wall.lab.test")
	})
	t.Run("the challenge is refused", func(t *testing.T) {
		no := func() *http.Response { return reply(400, nil, problemBody("malformed", "not in the mood")) }
		e := fails(t, r.finishFails(during(0, none, no), accounts, "mood.lab.test"), ledger.ClassCARejected, false)
		if !strings.Contains(e.Error(), "not in the mood") {
			t.Errorf("the error lacks the CA's words: %v", e)
		}
	})
	r.clean()
}

// endsAll waits until at most as many goroutines run as before.
func endsAll(t *testing.T, before int) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			stacks := make([]byte, 1<<20)
			t.Logf("%d goroutines, want %d at most:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	})
	eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

// TestInterruptedAnywhere checks that a call that is interrupted at any point ends,
// removes its record and leaves no goroutine behind.
func TestInterruptedAnywhere(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.order(r.client(), "warm.lab.test") // already registered
	for _, step := range []string{"dns", "validate", "finalize", "download"} {
		t.Run(step, func(t *testing.T) {
			before := runtime.NumGoroutine()
			c := New(r.store, r.opts)
			name := step + ".lab.test"
			_, csr := request(t, name)
			url := r.order(c, name)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var once sync.Once
			_, _, _, err := c.Finish(ctx, r.issuer, url, csr, []*spec.DNSAccount{account("dns", r.server())}, func(s, _ string) {
				if s == step {
					once.Do(cancel)
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want an interruption", err)
			}
			fails(t, err, ledger.ClassInternal, false)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			r.clean()
			endsAll(t, before)
		})
	}
}
