package publish

import (
	"context"
	"slices"

	"github.com/miekg/dns"

	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/dnsquery"
	"certroll/spec"
)

// Trial is the result of writing and removing a test record.
type Trial struct {
	Name     string   // the record's name, after following CNAMEs
	Occupied bool     // another record exists that the provider would replace: nothing was written
	Err      error    // why it was not written or did not become visible
	Stays    string   // why certroll left it in place; "" if it was removed
	Left     error    // why its removal failed, if nothing else failed
	Lame     []string // name servers ignored in the check for visibility
}

// Try writes a record as for a real challenge, waits until it is visible, and removes
// it.
func (p *Publisher) Try(ctx context.Context, doing string, account *spec.DNSAccount, answer dnsprovider.Proof, report func(step, detail string)) (t Trial) {
	provider, err := p.providers.Open(ctx, account)
	if err != nil {
		return Trial{Err: err}
	}
	defer provider.Release()
	one := &publication{Publisher: p, doing: doing, report: report, account: account, provider: provider, proofs: []dnsprovider.Proof{answer}, own: []string{answer.Value()}}
	if one.name, err = dnsquery.RecordName(ctx, account, answer.Domain); err != nil {
		return Trial{Err: err}
	}
	if provider.OneAtATime() || !provider.Effect.Spares() {
		unlock, err := one.takeTurn(ctx)
		if err != nil {
			return Trial{Err: err}
		}
		defer unlock()
		if one.occupied(ctx) {
			return Trial{Name: one.name, Occupied: true}
		}
	}
	return one.try(ctx, answer)
}

// occupied reports whether a TXT record exists at the name, perhaps the answer of
// another process to a real challenge. A provider of this kind would replace it. Within
// this process the lock prevents that.
func (p *publication) occupied(ctx context.Context) bool {
	r, err := dnsquery.Lookup(ctx, dnsquery.Nameservers(p.account), p.name, dns.TypeTXT)
	return err == nil && slices.ContainsFunc(r.Answer, func(rr dns.RR) bool { _, ok := rr.(*dns.TXT); return ok })
}

// try writes, checks and removes the test record. With a fixed propagation wait it skips
// the check, since such an account's servers cannot be queried.
func (p *publication) try(ctx context.Context, answer dnsprovider.Proof) Trial {
	t := Trial{Name: p.name}
	var written bool
	written, t.Err = p.present(ctx, answer)
	if t.Err == nil && p.account.Propagation.Wait == 0 {
		_, t.Err = p.seen(ctx)
	}
	if !written {
		return t
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.Cleanup)
	defer cancel()
	if p.joined(clean) {
		t.Stays = p.stays(answer)
		return t
	}
	if gone := p.provider.Cleanup(clean, answer, p.name); gone != nil && t.Err == nil {
		t.Left = gone
	}
	t.Lame = p.lame
	return t
}
