package publish

import (
	"context"
	"slices"

	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// RemoveLeft removes a TXT record that an earlier process may have left, as
// acme.RemoveAnswers documents. It tries one account after another and returns the last
// failure; nil if no account sees the record.
func (p *Publisher) RemoveLeft(ctx context.Context, accounts []*spec.DNSAccount, answer dnsprovider.Proof, report func(step, detail string)) error {
	var failure error
	for _, account := range accounts {
		removed, err := p.removeThrough(ctx, account, answer, report)
		if removed {
			return nil
		}
		if err != nil {
			failure = err
		}
	}
	return failure
}

// removeThrough removes the record through one account, if the record is visible there.
func (p *Publisher) removeThrough(ctx context.Context, account *spec.DNSAccount, answer dnsprovider.Proof, report func(step, detail string)) (removed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.Cleanup)
	defer cancel()
	name, err := dnsquery.RecordName(ctx, account, answer.Domain)
	if err != nil {
		return false, nil // no record can have been written at such a name
	}
	p.names.wrote(name, answer.Value())
	values, err := dnsquery.Standing(ctx, account, name)
	if err != nil || !slices.Contains(values, answer.Value()) {
		return false, nil // a server that does not answer counts as one without the record
	}
	doing := "removing the TXT record " + name + " with the value " + answer.Value() + ", which an earlier run left, through the DNS account " + account.Name
	report("cleanup", doing)
	provider, err := p.providers.Open(ctx, account)
	if err != nil {
		return false, problem.AsError(doing, err)
	}
	defer provider.Release()
	one := &publication{Publisher: p, doing: doing, report: report, account: account, provider: provider, name: name, proofs: []dnsprovider.Proof{answer}, own: []string{answer.Value()}}
	unlock, err := one.takeTurn(ctx)
	if err != nil {
		return false, problem.Interrupted(ctx, doing)
	}
	defer unlock()
	if one.joined(ctx) {
		return false, &problem.Error{OfClass: ledger.ClassDNSOccupied, Doing: doing, Said: one.stays(answer)}
	}
	if !provider.Effect.Spares() {
		// Some of these providers remove only records that they remember writing. All
		// records at the name are certroll's, so writing this one again removes none of
		// anyone else's.
		_ = provider.Present(ctx, answer, name)
	}
	if err := provider.Cleanup(ctx, answer, name); err != nil {
		e := *problem.AsError(doing, err)
		e.Advice = "remove it by hand"
		return false, &e
	}
	return true, nil
}
