package acme

import (
	"context"
	"slices"

	"github.com/miekg/dns"

	"certroll/spec"
)

// trial is what came of a record that was written and removed again.
type trial struct {
	name     string   // where it was to go, CNAMEs followed
	occupied bool     // another record stands there, which the provider would replace: nothing was written
	err      error    // why it was not written, or not seen
	stays    string   // why it was left where it is; "" where it was removed
	left     error    // why it could not be removed, where nothing else went wrong
	lame     []string // name servers that were passed over
}

// try writes a record as for a real challenge, waits until it is seen, and removes it.
func (p *publisher) try(ctx context.Context, doing string, account *spec.DNSAccount, answer proof, report func(step, detail string)) (t trial) {
	provider, err := p.providers.open(ctx, account)
	if err != nil {
		return trial{err: err}
	}
	defer provider.release()
	one := &publication{publisher: p, doing: doing, report: report, account: account, provider: provider, proofs: []proof{answer}, own: []string{answer.value()}}
	if one.name, err = recordName(ctx, account, answer.domain); err != nil {
		return trial{err: err}
	}
	if provider.oneAtATime() || !provider.effect.Spares() {
		unlock, err := one.takeTurn(ctx)
		if err != nil {
			return trial{err: err}
		}
		defer unlock()
		if one.occupied(ctx) {
			return trial{name: one.name, occupied: true}
		}
	}
	return one.try(ctx, answer)
}

// occupied reports whether there is a TXT record already, a real answer of another
// process maybe: such a provider replaces what it finds. Within this process the lock
// keeps from that.
func (p *publication) occupied(ctx context.Context) bool {
	r, err := lookup(ctx, nameservers(p.account), p.name, dns.TypeTXT)
	return err == nil && slices.ContainsFunc(r.Answer, func(rr dns.RR) bool { _, ok := rr.(*dns.TXT); return ok })
}

func (p *publication) try(ctx context.Context, answer proof) trial {
	t := trial{name: p.name}
	var written bool
	written, t.err = p.present(ctx, answer)
	if t.err == nil && p.account.Propagation.Wait == 0 {
		_, t.err = p.seen(ctx)
	}
	if !written {
		return t
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.Cleanup)
	defer cancel()
	if p.joined(clean) {
		t.stays = p.stays(answer)
		return t
	}
	if gone := p.provider.cleanup(clean, answer, p.name); gone != nil && t.err == nil {
		t.left = gone
	}
	t.lame = p.lame
	return t
}
