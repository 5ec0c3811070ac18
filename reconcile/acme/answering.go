package acme

import (
	"context"
	"strings"

	"certroll/spec"
)

// StepRecord is the step by which Finish reports the name that a TXT record goes
// to, CNAMEs followed.
const StepRecord = "record"

// answering is what a publisher does for an order: to answer the dns-01 challenges of
// one domain through one account, and to have the CA look.
type answering struct {
	doing   string // "finishing the order ..."
	name    string // as the certificate has it
	account *spec.DNSAccount
	proofs  []proof // of one domain
	report  func(step, detail string)
	// gaveUp reports whether the account was given up for other names: patience with
	// it ends then.
	gaveUp func() bool
	// own are the values that challenges of the order ask for.
	own func(ctx context.Context) ([]string, error)
	// ask has the CA validate the challenges of proofs[from:to], which stand now.
	ask func(from, to int) error
}

// answer answers dns-01 challenges (RFC 8555 section 8.4) of one domain.
func (p *publisher) answer(ctx context.Context, a answering) error {
	doing := "publishing the TXT record for " + a.name + " through the DNS account " + a.account.Name
	domain := a.proofs[0].domain
	if err := inZone(ctx, a.account, domain, doing); err != nil {
		return err
	}
	provider, err := p.providers.open(ctx, a.account)
	if err != nil {
		return unpublished(ctx, doing, err)
	}
	defer provider.release()
	one := &publication{publisher: p, doing: a.doing, report: a.report, gaveUp: a.gaveUp, account: a.account, provider: provider, proofs: a.proofs}
	err = one.patiently(ctx, doing, func() (err error) {
		one.name, err = recordName(ctx, a.account, domain)
		return err
	})
	if err != nil {
		return err
	}
	a.report(StepRecord, one.name)
	if !provider.effect.Spares() {
		if one.own, err = a.own(ctx); err != nil {
			return err
		}
	}
	all := func() error { return a.ask(0, len(a.proofs)) }
	switch {
	case !provider.oneAtATime() && provider.effect.Spares():
		return one.run(ctx, all)
	case !provider.oneAtATime(): // what another order has there would be removed with ours
		return one.alone(ctx, all)
	}
	for i := range a.proofs {
		single := *one
		single.proofs = a.proofs[i : i+1]
		if err := single.alone(ctx, func() error { return a.ask(i, i+1) }); err != nil {
			return err
		}
	}
	return nil
}

// inZone refuses an account that states its zones, where neither the name lies in one
// of them nor a CNAME leads into one. Nothing is asked of the provider.
func inZone(ctx context.Context, account *spec.DNSAccount, domain, doing string) error {
	if len(account.Zones) == 0 || account.Holds(domain) {
		return nil
	}
	at, err := recordName(ctx, account, domain)
	switch {
	case err != nil:
		return unpublished(ctx, doing, err)
	case account.Holds(at):
		return nil
	}
	e := configError(doing, "neither the name nor "+plain(at)+" lies in one of its zones ("+strings.Join(account.Zones, ", ")+")",
		"add the zone to zones of the account that holds it")
	e.notZone = true
	return notPublished{e}
}

// unpublished makes the failure to publish one that the next account may mend.
func unpublished(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx, doing)
	}
	return notPublished{asError(doing, err)}
}
