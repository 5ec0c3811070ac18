package attempt

import (
	"slices"
	"strings"
	"sync"
)

// StepRecord is the step by which the CA's side reports the name that a TXT
// record goes to.
const StepRecord = "record"

// StepPublished is the step by which it reports each DNS account that answered for a
// name of the order.
const StepPublished = "published"

// StepChain is the step by which it reports that the chain is another one than the
// issuer block or the CA's default would have.
const StepChain = "chain"

// records are the names that the TXT records of an attempt went to. The names of
// an order are solved side by side.
type records struct {
	mu    sync.Mutex
	names []string
}

func (r *records) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
}

// all are the names, sorted.
func (r *records) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.names)
	slices.Sort(all)
	return all
}

// led are those of the names that no rule allows by itself.
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
