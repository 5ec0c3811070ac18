package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"certroll/spec/bounded"
)

// These bound how long one call waits for a busy Vault. A quota (429) admits calls again
// soon. A Vault that is not ready (503) is mostly a standby without a leader, until an
// election ends.
const (
	patienceQuota = 3 * time.Minute  // 429
	patienceReady = 15 * time.Second // 503
	mostPause     = 30 * time.Second // also if Retry-After is longer
	firstPause    = 250 * time.Millisecond
	maxRefusal    = 64 << 10 // bytes of the body of a rejection
)

// patient sends requests as fast as Vault accepts them: after 429 and 503 it sends fewer
// at a time, and later. If a token proves dead, it logs in again and repeats the call
// with the new token.
type patient struct {
	next    http.RoundTripper
	timeout time.Duration // of one try, without waits
	pace    pace
	// login returns another token than the rejected one; ok is false if there is none.
	// refusal is the body of the answer.
	login func(ctx context.Context, refused string, refusal []byte) (token string, ok bool)
}

// RoundTrip implements http.RoundTripper.
func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		// The whole body is kept, because each try sends it again.
		if body, err = bounded.All(req.Body, maxRead); err != nil {
			return nil, err
		}
		_ = req.Body.Close()
	}
	began, again := time.Now(), false
	for try := 0; ; try++ {
		if err := p.pace.enter(req.Context()); err != nil {
			return nil, err
		}
		resp, err := p.try(req, body)
		p.pace.leave()
		if err != nil {
			return nil, err
		}
		patience := time.Duration(0)
		switch {
		case resp.StatusCode == http.StatusTooManyRequests:
			patience = patienceQuota
		// A sealed Vault needs a person: waiting does not help.
		case resp.StatusCode == http.StatusServiceUnavailable && !bytes.Contains(refusal(resp), []byte("sealed")):
			patience = patienceReady
		// Once per call: a second 403 with a new token means a missing capability.
		case resp.StatusCode == http.StatusForbidden && !again && !loggingIn(req):
			token, ok := p.login(req.Context(), req.Header.Get("X-Vault-Token"), refusal(resp))
			if again = ok; !ok {
				return resp, nil
			}
			req = req.Clone(req.Context())
			req.Header.Set("X-Vault-Token", token)
			_ = resp.Body.Close()
			continue
		case resp.StatusCode < 400:
			p.pace.taken()
		}
		if patience == 0 {
			return resp, nil
		}
		if pause := p.pace.refused(retryAfter(resp), try); time.Since(began)+pause > patience {
			return resp, nil
		}
		_ = resp.Body.Close()
	}
}

// loggingIn reports whether a request concerns a token itself. Such a request must not
// cause a login.
func loggingIn(req *http.Request) bool { return strings.Contains(req.URL.Path, "/v1/auth/") }

// try sends the request once. Its timeout includes the body of the answer.
func (p *patient) try(req *http.Request, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), p.timeout)
	one := req.Clone(ctx)
	if body != nil {
		one.Body = io.NopCloser(bytes.NewReader(body))
	}
	resp, err := p.next.RoundTrip(one)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &timedBody{resp.Body, cancel}
	return resp, nil
}

// timedBody releases the timeout of a request when its body is closed.
type timedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *timedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// refusal reads the body of a rejection and replaces it, so that the caller can read it
// again.
func refusal(resp *http.Response) []byte {
	b, err := bounded.All(resp.Body, maxRefusal)
	if err != nil {
		b = nil // a body of that size, or a cut one, is not Vault's
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return b
}

// retryAfter returns the answer's Retry-After in our own bounds; 0 if it has none (RFC
// 9110 section 10.2.3; Vault sends seconds).
func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After")))
	if err != nil || seconds <= 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 3600))*time.Second, mostPause)
}

// CloseIdleConnections forwards to the wrapped transport.
func (p *patient) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// pace bounds the concurrent requests. There is no bound until Vault rejects a request. A
// rejection halves the number; each successful round adds one.
type pace struct {
	mu      sync.Mutex
	limit   int // 0: unlimited
	active  int
	good    int // accepted requests since the last change of limit
	until   time.Time
	halved  time.Time
	changed chan struct{} // closed when there may be room; nil: no request waits
}

// unlimited is the limit at which the bound is dropped again.
const unlimited = 64

// enter waits for room.
func (p *pace) enter(ctx context.Context) error {
	for {
		p.mu.Lock()
		pause := time.Until(p.until)
		if pause <= 0 && (p.limit == 0 || p.active < p.limit) {
			p.active++
			p.mu.Unlock()
			return nil
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		if pause <= 0 {
			pause = mostPause // a running request leaves before that, by its timeout
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// leave gives the room back.
func (p *pace) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	p.wake()
}

// wake wakes all waiting requests. The caller holds p.mu.
func (p *pace) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// taken counts a request that Vault accepted.
func (p *pace) taken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit == 0 {
		return
	}
	if p.good++; p.good < 4*p.limit {
		return
	}
	p.good = 0
	if p.limit++; p.limit >= unlimited {
		p.limit = 0
	}
	p.wake()
}

// refused counts a rejection and returns the pause before the next try: Vault's
// Retry-After, otherwise twice as long at each try. Simultaneous rejections halve the
// limit only once.
func (p *pace) refused(after time.Duration, try int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := after
	if pause == 0 {
		pause = min(firstPause<<min(try, 10), mostPause/2)
	}
	now := time.Now()
	if until := now.Add(pause); until.After(p.until) {
		p.until = until
	}
	if now.Sub(p.halved) < pause {
		return pause
	}
	if p.halved = now; p.limit == 0 {
		// leave has already counted the rejected request out.
		p.limit = min(p.active+1, unlimited)
	}
	p.limit, p.good = max(1, p.limit/2), 0
	return pause
}

// noRetry keeps the api client from retrying after patient has already waited.
func noRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if errors.Is(err, context.DeadlineExceeded) {
		return false, err
	}
	if resp != nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		return false, nil
	}
	return api.DefaultRetryPolicy(ctx, resp, err)
}
