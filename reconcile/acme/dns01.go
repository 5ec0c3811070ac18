package acme

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"certroll/spec"
)

// StepRecord is the step by which Finish reports the name that a TXT record goes
// to, CNAMEs followed.
const StepRecord = "record"

// publication is the answering of a group's dns-01 challenges through one
// account, at one record name.
type publication struct {
	*solving
	account    *spec.DNSAccount
	provider   *provider
	name       string // where the TXT record goes, CNAMEs followed
	challenges []challenge
	lame       []string // name servers that were passed over when the record was seen
	own        []string // the values that challenges of the order ask for
}

// viaDNS answers dns-01 challenges (RFC 8555 section 8.4) of one domain.
func (s *solving) viaDNS(ctx context.Context, account *spec.DNSAccount, challenges []challenge) error {
	doing := "publishing the TXT record for " + challenges[0].name() + " through the DNS account " + account.Name
	if err := s.inZone(ctx, account, challenges[0].domain(), doing); err != nil {
		return err
	}
	provider, err := s.client.children.open(ctx, account)
	if err != nil {
		return s.unpublished(ctx, doing, err)
	}
	defer provider.release()
	var name string
	err = s.patiently(ctx, account, doing, func() (err error) {
		name, err = recordName(ctx, account, challenges[0].domain())
		return err
	})
	if err != nil {
		return err
	}
	s.report(StepRecord, name)
	p := &publication{solving: s, account: account, provider: provider, name: name, challenges: challenges}
	if !provider.effect.Spares() {
		if p.own, err = s.ownValues(ctx); err != nil {
			return err
		}
	}
	switch {
	case !provider.oneAtATime() && provider.effect.Spares():
		return p.run(ctx)
	case !provider.oneAtATime(): // what another order has there would be removed with ours
		return p.alone(ctx)
	}
	for i := range challenges {
		single := *p
		single.challenges = challenges[i : i+1]
		if err := single.alone(ctx); err != nil {
			return err
		}
	}
	return nil
}

// inZone refuses an account that states its zones, where neither the name lies in one
// of them nor a CNAME leads into one. Nothing is asked of the provider.
func (s *solving) inZone(ctx context.Context, account *spec.DNSAccount, domain, doing string) error {
	if len(account.Zones) == 0 || account.Holds(domain) {
		return nil
	}
	at, err := recordName(ctx, account, domain)
	switch {
	case err != nil:
		return s.unpublished(ctx, doing, err)
	case account.Holds(at):
		return nil
	}
	e := configError(doing, "neither the name nor "+plain(at)+" lies in one of its zones ("+strings.Join(account.Zones, ", ")+")",
		"add the zone to zones of the account that holds it")
	e.notZone = true
	return notPublished{e}
}

// unpublished makes the failure to publish one that the next account may mend.
func (s *solving) unpublished(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx, doing)
	}
	return notPublished{asError(doing, err)}
}

// alone runs the publication while nothing else is written at its name.
func (p *publication) alone(ctx context.Context) error {
	unlock, err := p.lock(ctx)
	if err != nil {
		return interrupted(ctx, p.doing)
	}
	defer unlock()
	return p.run(ctx)
}

// lock waits until nothing else is written at the publication's name, or, for
// a provider with one value for all of an account, through its account.
func (p *publication) lock(ctx context.Context) (unlock func(), err error) {
	key := p.name
	if p.provider.wholeAccount() {
		key = "account " + p.account.Name
	}
	return p.client.names.lock(ctx, key)
}

// run writes the records, waits until they can be seen, has the CA look, and
// takes them away again whatever happened.
func (p *publication) run(ctx context.Context) error {
	if err := p.vacant(ctx); err != nil {
		return err
	}
	for _, ch := range p.challenges {
		written, err := p.present(ctx, ch)
		if written {
			defer p.remove(ctx, ch)
		}
		if err != nil {
			return err
		}
	}
	ttl, err := p.seen(ctx)
	if err != nil {
		return err
	}
	if err := p.waitQuiet(ctx); err != nil {
		return err
	}
	p.client.names.lookedAt(p.name, p.cap(ttl))
	err = p.askAll(ctx, p.challenges)
	p.client.names.lookedAt(p.name, p.cap(ttl))
	return err
}

func (p *publication) cap(ttl time.Duration) time.Duration {
	return min(ttl, p.client.opts.RecordCache)
}

// present writes one record. written is true as soon as it may be there.
func (p *publication) present(ctx context.Context, ch challenge) (written bool, err error) {
	doing := "writing the TXT record " + p.name + " through the DNS account " + p.account.Name
	p.report("dns", doing)
	p.client.names.wrote(p.name, ch.value())
	err = p.patiently(ctx, p.account, doing, func() error {
		err := p.provider.present(ctx, ch, p.name)
		written = written || err == nil || ctx.Err() != nil || asError(doing, err).class == ClassDNSUnavailable
		return err
	})
	return written, err
}

// patiently gives a provider or a name server that does not answer another try
// or two, unless another group has given the account up.
func (s *solving) patiently(ctx context.Context, account *spec.DNSAccount, doing string, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return interrupted(ctx, doing)
		}
		e := asError(doing, err)
		if e.class != ClassDNSUnavailable || try >= len(s.client.opts.PresentRetry) || s.passedOver(account) {
			return notPublished{e}
		}
		pause := s.client.opts.PresentRetry[try]
		s.report("dns", fmt.Sprintf("trying again in %s: %v", pause, e))
		if sleep(ctx, pause) != nil {
			return interrupted(ctx, doing)
		}
	}
}

// remove takes a record away, also when the call was interrupted. A record
// that stays is untidy and no danger, so a failure is reported and no more. It
// also stays where the provider would remove what somebody else wrote meanwhile.
func (p *publication) remove(ctx context.Context, ch challenge) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.client.opts.CleanupTimeout)
	defer cancel()
	if p.joined(ctx) {
		p.report("cleanup", p.stays(ch))
		return
	}
	if err := p.provider.cleanup(ctx, ch, p.name); err != nil {
		p.report("cleanup", "the TXT record "+p.name+" could not be removed through the DNS account "+p.account.Name+": "+asError("removing it", err).Error())
	}
}

// waitQuiet waits until the CA's resolvers have forgotten an earlier answer.
func (p *publication) waitQuiet(ctx context.Context) error {
	for {
		d := p.client.names.quiet(p.name)
		if d <= 0 {
			return nil
		}
		p.report("dns", fmt.Sprintf("waiting %s at %s for resolvers of the CA to forget the answer that it looked at before (its TTL; a lower one waits less)", d.Round(time.Second), p.name))
		if sleep(ctx, d) != nil {
			return interrupted(ctx, p.doing)
		}
	}
}

// value is what the TXT record must hold (RFC 8555 section 8.4).
func (ch challenge) value() string {
	sum := sha256.Sum256([]byte(ch.keyAuth))
	return base64url(sum[:])
}
