package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"certroll/reconcile"
	"certroll/spec/text"
)

const (
	// leastPatience, plus three intervals, is how long the loop may stand still. Waiting
	// for a DNS provider's propagation may take an hour, by the config repo or the
	// provider itself, and a restart would start that wait over.
	leastPatience = 90 * time.Minute
	// reachEvery is the minimum pause between requests to Vault, however often the
	// health check is called.
	reachEvery = 10 * time.Second
	// reachTimeout bounds such a request.
	reachTimeout = 5 * time.Second
)

// health is the state behind /healthz and /readyz. Both are unauthenticated, so they
// answer with certroll's own sentences only; the log has the details.
type health struct {
	mu       sync.Mutex
	patience time.Duration               // how long the loop may stand still
	turned   time.Time                   // when the loop, or what it waits for, last made progress
	seen     *bool                       // whether the last pass read Vault and the ledger; nil: no pass yet
	away     []string                    // the sides that the last pass could not use, as in certroll_reachable
	reach    func(context.Context) error // sends Vault a request; nil: not logged in yet
	since    time.Time                   // start of a slow decoding; zero: none

	asking  *semaphore.Weighted // guards the two below; it is held while Vault is asked
	askedAt time.Time
	answer  error
}

func newHealth(interval time.Duration) *health {
	h := &health{turned: time.Now(), asking: semaphore.NewWeighted(1)}
	h.expect(interval)
	return h
}

// expect sets the longest standstill for an interval of the loop.
func (h *health) expect(interval time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.patience = 3*interval + leastPatience
}

// turn records progress.
func (h *health) turn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turned = time.Now()
}

// decoding records the start of a slow decoding; zero: none.
func (h *health) decoding(since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = since
}

// connected records the login to Vault.
func (h *health) connected(reach func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reach = reach
}

// passed records the result of a pass.
func (h *health) passed(p reconcile.Pass) {
	h.mu.Lock()
	defer h.mu.Unlock()
	saw := p.After.Observed != nil
	h.turned, h.seen, h.away = time.Now(), &saw, nil
	for _, o := range p.Outages {
		h.away = append(h.away, o.Side)
	}
}

// alive answers whether the loop makes progress.
func (h *health) alive(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	still, patience := time.Since(h.turned), h.patience // monotonic: the time of a suspended machine does not count
	h.mu.Unlock()
	if still > patience {
		tell(w, fmt.Sprintf("the loop has not moved for %s, longer than any step takes; SIGQUIT prints where it hangs", still.Round(time.Second)))
		return
	}
	tell(w, "")
}

// ready answers whether certroll can work.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	tell(w, h.unready(r.Context()))
}

// unready returns why certroll cannot work; "" if it can.
func (h *health) unready(ctx context.Context) string {
	h.mu.Lock()
	seen, reach, since, away := h.seen, h.reach, h.since, h.away
	h.mu.Unlock()
	switch {
	case reach == nil:
		return "waiting for Vault: it is unreachable or rejected the login; see the log"
	case seen == nil && !since.IsZero():
		return fmt.Sprintf("the first pass has not ended yet: certroll has been decoding a revision for %s", time.Since(since).Round(time.Second))
	case seen == nil:
		return "the first pass has not ended yet"
	}
	switch err := h.asked(ctx, reach); {
	case err != nil:
		return vaultFault(err)
	case len(away) > 0:
		return "the last pass could not use " + strings.Join(away, ", ") + "; see the log"
	case !*seen:
		return "the last pass could not read Vault, the ledger or the config repo; see the log"
	}
	return ""
}

// vaultFault describes Vault's error without its text, since the caller is
// unauthenticated.
func vaultFault(err error) string {
	var sealed interface{ Sealed() bool }
	var dead interface{ DeadToken() bool }
	switch {
	case errors.As(err, &sealed) && sealed.Sealed():
		return "Vault is sealed; unseal it (vault operator unseal)"
	case errors.As(err, &dead) && dead.DeadToken():
		return "Vault rejects certroll's token; the log says what to do"
	default:
		return "Vault does not answer; see the log"
	}
}

// asked returns Vault's last result, and refreshes it after reachEvery.
func (h *health) asked(ctx context.Context, reach func(context.Context) error) error {
	if err := h.asking.Acquire(ctx, 1); err != nil {
		return err
	}
	defer h.asking.Release(1)
	if time.Since(h.askedAt) >= reachEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reachTimeout) // the next caller gets the same result
		defer cancel()
		h.answer, h.askedAt = reach(ctx), time.Now()
	}
	return h.answer
}

// tell answers with the reason, or with ok.
func tell(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if why != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		why = "ok"
	}
	_, _ = fmt.Fprintln(w, text.Lines(why)) // a client that is gone needs no answer
}
