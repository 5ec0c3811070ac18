package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"certroll/reconcile"
	"certroll/spec/text"
)

const (
	// leastPatience is how long nothing may move, beside the interval: to wait
	// for a DNS provider's propagation may take an hour, by the config repo or by
	// the provider itself. Whoever is restarted in it waits from its beginning.
	leastPatience = 90 * time.Minute
	// reachEvery is how often Vault is asked at most, however often we are.
	reachEvery = 10 * time.Second
	// reachTimeout is how long its answer may take.
	reachTimeout = 5 * time.Second
)

// health is what /healthz and /readyz answer by. They say no more than a
// sentence of ours, since anybody may ask; the log says the rest.
type health struct {
	mu       sync.Mutex
	patience time.Duration               // how long nothing may move
	turned   time.Time                   // when the loop, or what it waits for, last moved
	seen     *bool                       // the last pass saw Vault and the ledger; nil: there was none
	away     []string                    // with what the last pass could not do its work, as certroll_reachable has it
	reach    func(context.Context) error // asks Vault; nil: there is no login yet
	since    time.Time                   // when the decoding of a revision began that takes long; zero: there is none

	asking  sync.Mutex
	askedAt time.Time
	answer  error
}

func newHealth(interval time.Duration) *health {
	h := &health{turned: time.Now()}
	h.expect(interval)
	return h
}

// expect notes how often the loop turns at least.
func (h *health) expect(interval time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.patience = 3*interval + leastPatience
}

// turn notes that something moved.
func (h *health) turn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turned = time.Now()
}

// decoding notes that a revision is being decoded since then; zero: none is.
func (h *health) decoding(since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = since
}

// connected notes that there is a login to Vault.
func (h *health) connected(reach func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reach = reach
}

// passed takes up how a pass ended.
func (h *health) passed(p reconcile.Pass) {
	h.mu.Lock()
	defer h.mu.Unlock()
	saw := p.Standing != nil
	h.turned, h.seen, h.away = time.Now(), &saw, nil
	for _, o := range p.Outages {
		h.away = append(h.away, o.Side)
	}
}

// alive answers whether the loop turns.
func (h *health) alive(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	still, patience := time.Since(h.turned), h.patience // a machine that was suspended has not stood still
	h.mu.Unlock()
	if still > patience {
		tell(w, fmt.Sprintf("the loop has not moved for %s, longer than any step takes; SIGQUIT prints where it hangs", still.Round(time.Second)))
		return
	}
	tell(w, "")
}

// ready answers whether it can do its work.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	tell(w, h.unready(r.Context()))
}

// unready says why it cannot; "" where it can.
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
		return vaultTrouble(err)
	case len(away) > 0:
		return "the last pass could not use " + strings.Join(away, ", ") + "; see the log"
	case !*seen:
		return "the last pass could not read Vault, the ledger or the config repo; see the log"
	}
	return ""
}

// vaultTrouble says what Vault's error is, without its words: anybody may ask.
func vaultTrouble(err error) string {
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

// asked is what Vault said last, who is asked again where that is long ago.
func (h *health) asked(ctx context.Context, reach func(context.Context) error) error {
	h.asking.Lock()
	defer h.asking.Unlock()
	if time.Since(h.askedAt) >= reachEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reachTimeout) // the answer is the next one's too
		defer cancel()
		h.answer, h.askedAt = reach(ctx), time.Now()
	}
	return h.answer
}

// tell answers with why not, or that all is well.
func tell(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if why != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		why = "ok"
	}
	_, _ = fmt.Fprintln(w, text.Lines(why)) // who does not listen to it has gone
}
