package attempt

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// StepRecord is the progress step by which the CA adapter reports the name of a TXT
// record that it writes.
const StepRecord = "record"

// StepPublished is the progress step by which the CA adapter reports a DNS account that
// answered for a name of the order.
const StepPublished = "published"

// StepChain is the progress step by which the CA adapter reports that the chain differs
// from the issuer block's choice or the CA's default.
const StepChain = "chain"

// StepTurn is the progress step by which the CA adapter reports that the attempt waits for
// another one, such as for its challenge at the same name; with no detail, that the wait
// is over.
const StepTurn = "turn"

// turns measures how long an attempt waits for others, within the CA adapter.
type turns struct {
	mu      sync.Mutex
	waiting int       // names that wait
	since   time.Time // when the first of them began
	total   time.Duration
	last    string // what the last wait was for
}

func (w *turns) begin(now time.Time, detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = detail
	if w.waiting++; w.waiting == 1 {
		w.since = now
	}
}

func (w *turns) end(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting--; w.waiting == 0 {
		w.total += now.Sub(w.since)
	}
}

// prevail reports whether an attempt that ran out of time did so for the sake of others:
// it has waited for half of its time.
func (w *turns) prevail(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	total := w.total
	if w.waiting > 0 {
		total += now.Sub(w.since)
	}
	return total >= AttemptTime/2
}

// noteWait describes a wait that does not count, because it precedes the work on the order.
func (w *turns) noteWait(detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = detail
}

// waitedFor describes the last wait.
func (w *turns) waitedFor() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// records collects names that the CA adapter reports, such as those of TXT records. The
// lock is needed because the names of an order are solved concurrently.
type records struct {
	mu    sync.Mutex
	names []string
}

// add adds a name once, without regard to case and a final dot, as in DNS.
func (r *records) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
}

// all returns the names, sorted.
func (r *records) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.names)
	slices.Sort(all)
	return all
}

// led returns the names to which a CNAME led, sorted: any other challenge name starts
// with "_acme-challenge." (RFC 8555 section 8.4) and needs no permission.
func (r *records) led() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	led := []string{}
	for _, name := range r.names {
		if !strings.HasPrefix(name, "_acme-challenge.") {
			led = append(led, name)
		}
	}
	slices.Sort(led)
	return led
}
