package attempt

import (
	"slices"

	"certroll/spec"
)

// accounts returns the DNS accounts in the order of the spec, but with the ones that the
// plan advises to avoid last: they failed recently.
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

// Bounded returns a copy of a DNS account that may write at the names where CNAMEs led
// during the last issuance. The record of a certificate that an older certroll issued has
// no such list. Its renewal must not stop, so it may write anywhere once; its next record
// then has the list.
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

// ChallengeNames returns the challenge names for the record after a success. Names of
// authorizations that were already valid wrote no TXT record, so the earlier names stay.
func (a *Attempt) ChallengeNames() *[]string {
	var before []string
	if r := a.Action.Record; r.HasSecret() && r.ChallengeNames != nil {
		before = *r.ChallengeNames
	}
	// Nothing was ordered: the record's names stay.
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

// mostLed bounds the stored names: a certificate has at most a hundred.
const mostLed = 200
