package publish

import (
	"context"
	"strings"

	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/spec"
)

// StepRecord is the step by which Finish reports the name that a TXT record goes
// to, CNAMEs followed.
const StepRecord = "record"

// Request is what a publisher does for an order: to answer the dns-01 challenges of
// one domain through one account, and to have the CA look.
type Request struct {
	Doing   string // "finishing the order ..."
	Name    string // as the certificate has it
	Account *spec.DNSAccount
	Proofs  []dnsprovider.Proof // of one domain
	Report  func(step, detail string)
	// GaveUp reports whether the account was given up for other names: patience with
	// it ends then.
	GaveUp func() bool
	// Own are the values that challenges of the order ask for.
	Own func(ctx context.Context) ([]string, error)
	// Ask has the CA validate the challenges of proofs[from:to], which stand now.
	Ask func(from, to int) error
}

// Answer answers dns-01 challenges (RFC 8555 section 8.4) of one domain.
func (p *Publisher) Answer(ctx context.Context, a Request) error {
	doing := "publishing the TXT record for " + a.Name + " through the DNS account " + a.Account.Name
	domain := a.Proofs[0].Domain
	if err := inZone(ctx, a.Account, domain, doing); err != nil {
		return err
	}
	provider, err := p.providers.Open(ctx, a.Account)
	if err != nil {
		return unpublished(ctx, doing, err)
	}
	defer provider.Release()
	one := &publication{Publisher: p, doing: a.Doing, report: a.Report, gaveUp: a.GaveUp, account: a.Account, provider: provider, proofs: a.Proofs}
	err = one.patiently(ctx, doing, func() (err error) {
		one.name, err = dnsquery.RecordName(ctx, a.Account, domain)
		return err
	})
	if err != nil {
		return err
	}
	a.Report(StepRecord, one.name)
	if !provider.Effect.Spares() {
		if one.own, err = a.Own(ctx); err != nil {
			return err
		}
	}
	all := func() error { return a.Ask(0, len(a.Proofs)) }
	switch {
	case !provider.OneAtATime() && provider.Effect.Spares():
		return one.run(ctx, all)
	case !provider.OneAtATime(): // what another order has there would be removed with ours
		return one.alone(ctx, all)
	}
	for i := range a.Proofs {
		single := *one
		single.proofs = a.Proofs[i : i+1]
		if err := single.alone(ctx, func() error { return a.Ask(i, i+1) }); err != nil {
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
	at, err := dnsquery.RecordName(ctx, account, domain)
	switch {
	case err != nil:
		return unpublished(ctx, doing, err)
	case account.Holds(at):
		return nil
	}
	e := problem.Config(doing, "neither the name nor "+dnsquery.Plain(at)+" lies in one of its zones ("+strings.Join(account.Zones, ", ")+")",
		"add the zone to zones of the account that holds it")
	e.NotZone = true
	return problem.NotPublished{Why: e}
}

// unpublished makes the failure to publish one that the next account may mend.
func unpublished(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return problem.Interrupted(ctx, doing)
	}
	return problem.NotPublished{Why: problem.AsError(doing, err)}
}
