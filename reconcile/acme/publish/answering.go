package publish

import (
	"context"
	"strings"

	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/spec"
)

// StepRecord is the step in which Finish reports the name of the TXT record, after
// following CNAMEs.
const StepRecord = "record"

// Request asks a Publisher to answer the dns-01 challenges of one domain through one DNS
// account, and to let the CA validate them.
type Request struct {
	Doing   string // "finishing the order ..."
	Order   string // the order's URL
	Name    string // as the certificate spells it
	Account *spec.DNSAccount
	Proofs  []dnsprovider.Proof // of the same domain
	Report  func(step, detail string)
	// GaveUp reports whether other names of the order gave the account up; Answer then
	// stops its retries.
	GaveUp func() bool
	// Own returns the TXT values of all the order's challenges.
	Own func() ([]string, error)
	// Ask lets the CA validate the challenges of Proofs[from:to], whose records are
	// visible.
	Ask func(from, to int) error
}

// Answer answers dns-01 challenges (RFC 8555 section 8.4) of one domain. It fails with
// NotPublished as long as the CA has not been asked, so that another account may try.
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
	one := &publication{Publisher: p, doing: a.Doing, order: a.Order, report: a.Report, gaveUp: a.GaveUp, account: a.Account, provider: provider, proofs: a.Proofs}
	err = one.patiently(ctx, doing, func() (err error) {
		one.name, err = dnsquery.RecordName(ctx, a.Account, domain)
		return err
	})
	if err != nil {
		return err
	}
	a.Report(StepRecord, one.name)
	// Needed only to recognize foreign records.
	if !provider.Effect.Spares() {
		if one.own, err = a.Own(); err != nil {
			return err
		}
	}
	all := func() error { return a.Ask(0, len(a.Proofs)) }
	switch {
	case !provider.OneAtATime() && provider.Effect.Spares():
		return one.run(ctx, all)
	case !provider.OneAtATime(): // the provider would remove another order's record with this one
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

// inZone rejects an account with a zones setting, if neither the name nor its CNAME's
// target lies in one of them. It makes no request to the provider.
func inZone(ctx context.Context, account *spec.DNSAccount, domain, doing string) error {
	if len(account.Zones) == 0 || account.Contains(domain) {
		return nil
	}
	at, err := dnsquery.RecordName(ctx, account, domain)
	switch {
	case err != nil:
		return unpublished(ctx, doing, err)
	case account.Contains(at):
		return nil
	}
	e := problem.Config(doing, "neither the name nor "+dnsquery.Plain(at)+" lies in one of its zones ("+strings.Join(account.Zones, ", ")+")",
		"add the zone to zones of the account that holds it")
	e.NotZone = true
	return problem.NotPublished{Why: e}
}

// unpublished wraps err in NotPublished, so that the next account may try.
func unpublished(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return problem.Interrupted(ctx, doing)
	}
	return problem.NotPublished{Why: problem.AsError(doing, err)}
}
