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

// How long one call puts up with a Vault that has no time for it. A quota lets
// calls through again soon; who is not ready mostly is a standby without a
// leader, which an election ends.
const (
	patienceQuota = 3 * time.Minute  // 429
	patienceReady = 15 * time.Second // 503
	mostPause     = 30 * time.Second // whatever Retry-After says
	firstPause    = 250 * time.Millisecond
	maxRefusal    = 64 << 10 // bytes of the body of a refusal
)

// patient sends requests as fast as Vault takes them: after 429 and 503 fewer
// at a time, and later. It logs in again where a token turns out to be dead, so
// that the call goes on with the new one.
type patient struct {
	next    http.RoundTripper
	timeout time.Duration // of one try, without waits
	pace    pace
	// login gives another token than the one that was refused; false where there
	// is none. refusal is the answer's body.
	login func(ctx context.Context, refused string, refusal []byte) (token string, ok bool)
}

// RoundTrip is http.RoundTripper's.
func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
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
		case resp.StatusCode == http.StatusServiceUnavailable && !bytes.Contains(refusal(resp), []byte("sealed")):
			patience = patienceReady
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

// loggingIn tells that a request is about a token itself.
func loggingIn(req *http.Request) bool { return strings.Contains(req.URL.Path, "/v1/auth/") }

// try sends the request once. Its time includes that of the answer's body.
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

// timedBody ends the time of a request with its body.
type timedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close is io.Closer's.
func (b *timedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// refusal is the body of a refusal, which can be read again.
func refusal(resp *http.Response) []byte {
	b, err := bounded.All(resp.Body, maxRefusal)
	if err != nil {
		b = nil // what is that long, or ends early, is not Vault's
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return b
}

// retryAfter is what the answer asks for, within our own bounds; 0 where it does
// not say (RFC 9110 section 10.2.3; Vault writes seconds).
func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After")))
	if err != nil || seconds <= 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 3600))*time.Second, mostPause)
}

// CloseIdleConnections lets http.Client do so.
func (p *patient) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// pace is how many requests may be on their way. There is no bound until Vault
// refuses one; then there are half as many, and one more for each round that all
// goes well.
type pace struct {
	mu      sync.Mutex
	limit   int // 0: none
	active  int
	good    int // taken since the limit was changed
	until   time.Time
	halved  time.Time
	changed chan struct{} // closed when somebody may have room; nil: nobody waits
}

// unlimited is where the bound ends that refusals set.
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
			pause = mostPause // a request ends before, within its timeout
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

func (p *pace) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	p.wake()
}

// wake must be called with mu held.
func (p *pace) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// taken notes a request that Vault took.
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

// refused notes a refusal, and returns how long nobody asks again: what Vault
// says, else twice as long at each try. Of many that are refused at the same time
// one alone halves the pace.
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
		p.limit = min(p.active+1, unlimited)
	}
	p.limit, p.good = max(1, p.limit/2), 0
	return pause
}

// noRetry leaves to patient what it has waited for already.
func noRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if errors.Is(err, context.DeadlineExceeded) {
		return false, err
	}
	if resp != nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		return false, nil
	}
	return api.DefaultRetryPolicy(ctx, resp, err)
}
