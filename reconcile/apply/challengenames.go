package apply

import (
	"slices"
	"strings"
	"sync"

	"certroll/spec"
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

// Bounded is a DNS account that may write where CNAMEs led at the last issue. Of
// a certificate that an earlier certroll issued nothing is known of that: its
// renewal must not stop, and from then on it is known.
func (a *Attempt) Bounded(account *spec.DNSAccount) *spec.DNSAccount {
	r := a.Action.Record
	if account == nil || !r.HasSecret() {
		return account
	}
	own := *account
	if r.ChallengeNames == nil {
		own.Reach.LedAnywhere = true
	} else {
		own.Reach.Led = *r.ChallengeNames
	}
	return &own
}

// ChallengeNames are those of the record after a success. An authorization that
// was valid already wrote nothing, so that what was known stays.
func (a *Attempt) ChallengeNames() *[]string {
	var before []string
	if r := a.Action.Record; r.HasSecret() && r.ChallengeNames != nil {
		before = *r.ChallengeNames
	}
	if a.Draft == nil {
		if r := a.Action.Record; r != nil {
			return r.ChallengeNames
		}
		return nil
	}
	led := a.records.led()
	for _, name := range before {
		if !slices.Contains(led, name) {
			led = append(led, name)
		}
	}
	led = led[:min(len(led), mostLed)]
	return &led
}

// mostLed bounds the names that are kept: a certificate has at most a hundred.
const mostLed = 200
