package acme

import (
	"context"
	"slices"

	"certroll/spec"
)

// removeLeft removes a TXT record that an earlier process wrote and may not have
// removed, as RemoveAnswers says. It has the accounts try one after another. It fails
// with what the last one failed with, and where none could see the record with nothing.
func (p *publisher) removeLeft(ctx context.Context, accounts []*spec.DNSAccount, answer proof, report func(step, detail string)) error {
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

// removeThrough removes the record through one account, where it is there.
func (p *publisher) removeThrough(ctx context.Context, account *spec.DNSAccount, answer proof, report func(step, detail string)) (removed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.Cleanup)
	defer cancel()
	name, err := recordName(ctx, account, answer.domain)
	if err != nil {
		return false, nil // nothing can be written where it leads, and so nothing was
	}
	p.names.wrote(name, answer.value())
	values, err := standing(ctx, account, name)
	if err != nil || !slices.Contains(values, answer.value()) {
		return false, nil // whoever cannot be asked shows no record
	}
	doing := "removing the TXT record " + name + " with the value " + answer.value() + ", which an earlier run left, through the DNS account " + account.Name
	report("cleanup", doing)
	provider, err := p.providers.open(ctx, account)
	if err != nil {
		return false, asError(doing, err)
	}
	defer provider.release()
	one := &publication{publisher: p, doing: doing, report: report, account: account, provider: provider, name: name, proofs: []proof{answer}, own: []string{answer.value()}}
	unlock, err := one.takeTurn(ctx)
	if err != nil {
		return false, interrupted(ctx, doing)
	}
	defer unlock()
	if one.joined(ctx) {
		return false, &Error{class: ClassDNSOccupied, doing: doing, said: one.stays(answer)}
	}
	if !provider.effect.Spares() {
		// Some of these remove only what they remember to have written. All that is
		// there is ours, so that writing it again takes nothing away.
		_ = provider.present(ctx, answer, name)
	}
	if err := provider.cleanup(ctx, answer, name); err != nil {
		e := *asError(doing, err)
		e.advice = "remove it by hand"
		return false, &e
	}
	return true, nil
}
