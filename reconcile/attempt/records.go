package attempt

import (
	"slices"
	"strings"
	"sync"
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
