package attempt

import (
	"slices"

	"certroll/spec"
)

// accounts are the DNS accounts in the order they are tried: as the spec lists
// them, those known not to work last.
func (a *Attempt) accounts() []*spec.DNSAccount {
	var good, bad []*spec.DNSAccount
	for _, name := range a.Action.Spec.DNS {
		account := a.Bounded(a.Desired.DNS[name])
		if account != nil && slices.Contains(a.Action.Avoid, name) {
			last := *account
			last.Avoided = true
			bad = append(bad, &last)
		} else {
			good = append(good, account)
		}
	}
	return append(good, bad...)
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
	if a.Pending == nil {
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
