package acme

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"certroll/spec"

	"github.com/go-acme/lego/v4/acme"
	"github.com/miekg/dns"
)

// Canary writes a TXT record where the challenge for a name is answered,
// through a dns-01 account and as a real one would be, waits until it can be
// seen, and removes it. It returns nil, a Finding, or an error that unwraps to
// the context's where it was interrupted. A record that was written is removed
// in any case.
//
// report is told of each long step and may be nil.
func (c *Client) Canary(ctx context.Context, account *spec.DNSAccount, name string, report func(step, detail string)) error {
	doing := "writing a canary for " + name + " through the DNS account " + account.Name
	err := c.canary(ctx, doing, account, name, oneAtATime(report))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return interrupted(ctx, doing)
	}
	var f *Finding
	if !errors.As(err, &f) {
		f = &Finding{severity: SeverityError, why: asError(doing, err)}
	}
	why := *f.why
	why.account = account.Name
	return c.struck(&Finding{severity: f.severity, about: "dns." + account.Name, names: []string{name}, why: &why})
}

func (c *Client) canary(ctx context.Context, doing string, account *spec.DNSAccount, name string, report func(step, detail string)) error {
	provider, err := c.children.open(ctx, account)
	if err != nil {
		return err
	}
	defer provider.release()
	ch := canaryChallenge(name)
	record, err := recordName(ctx, account, ch.domain())
	if errors.Is(err, errElsewhere) {
		// A certificate that was issued through it before is renewed all the
		// same: the ledger knows where it led, and the canary does not.
		return &Finding{severity: SeverityWarning, why: asError(doing, err)}
	}
	if err != nil {
		return err
	}
	p := &publication{
		solving: &solving{finish: &finish{client: c, report: report, doing: doing}}, account: account, provider: provider,
		name: record, challenges: []challenge{ch}, own: []string{ch.value()},
	}
	if provider.oneAtATime() || !provider.effect.Spares() {
		unlock, err := p.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		if err := p.occupied(ctx); err != nil {
			return err
		}
	}
	return p.fly(ctx, ch)
}

// canaryChallenge is a challenge that no CA has set.
func canaryChallenge(name string) challenge {
	token := base64url([]byte(rand.Text()))
	domain := plain(dns.Fqdn(trimWildcard(name)))
	return challenge{
		task:  task{authz: acme.Authorization{Identifier: acme.Identifier{Type: "dns", Value: domain}}},
		token: token, keyAuth: token + ".canary",
	}
}

// occupied keeps the canary from taking the place of a real answer that
// another process has there: such a provider replaces what it finds. Within
// this process the lock does that.
func (p *publication) occupied(ctx context.Context) error {
	r, err := lookup(ctx, nameservers(p.account), p.name, dns.TypeTXT)
	if err != nil {
		return nil //nolint:nilerr // the canary itself finds out what is wrong
	}
	for _, rr := range r.Answer {
		if _, ok := rr.(*dns.TXT); ok {
			return &Finding{severity: SeverityInfo, why: &Error{
				class: ClassConfig, doing: p.doing, said: "there is a TXT record at " + plain(p.name) + " already, which the provider would replace: a name is being proven now, or the record was left there",
				advice: "remove the record if it stays; the credential was not tried",
			}}
		}
	}
	return nil
}

// fly writes the record, waits until it is seen, and removes it.
func (p *publication) fly(ctx context.Context, ch challenge) error {
	written, err := p.present(ctx, ch)
	if err == nil && p.account.Propagation.Wait == 0 {
		_, err = p.seen(ctx)
	}
	if !written {
		return err
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.client.opts.CleanupTimeout)
	defer cancel()
	if p.joined(clean) {
		return &Finding{severity: SeverityWarning, why: &Error{class: ClassDNSOccupied, doing: p.doing, said: p.stays(ch)}}
	}
	if gone := p.provider.cleanup(clean, ch, p.name); gone != nil && err == nil {
		e := *asError(p.doing, gone)
		e.advice = "remove the TXT record " + plain(p.name) + " by hand, and see that the credential may delete records"
		return &Finding{severity: SeverityWarning, why: &e}
	}
	if err == nil && len(p.lame) > 0 {
		return p.lameFinding()
	}
	return err
}

// lameFinding warns of name servers that hold up no certificate, as long as others
// answer: those who look the name up may wait for them.
func (p *publication) lameFinding() *Finding {
	return &Finding{severity: SeverityWarning, why: &Error{
		class: ClassDNSPropagation, doing: "looking for the TXT record " + plain(p.name) + " at the name servers of its zone",
		said:   "the record was seen, but not by " + strings.Join(p.lame, ", "),
		advice: "mend these name servers, or take them out of the zone's NS records (or out of propagation.nameservers); certroll and the CA pass them over",
	}}
}
