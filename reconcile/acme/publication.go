package acme

import (
	"context"
	"fmt"
	"time"

	"certroll/spec"
)

// publisher writes the TXT records of challenges through DNS accounts.
type publisher struct {
	providers *children
	names     *names
	opts      publisherOptions
}

// publisherOptions are the settings of a publisher. All are required.
type publisherOptions struct {
	Now     func() time.Time
	Cleanup time.Duration // removing one record
	// Retry are the waits before the second and later tries of a provider or a name
	// server that is unavailable.
	Retry []time.Duration
	// RecordCache is the longest that resolvers of the CA keep a TXT record,
	// whatever its TTL.
	RecordCache time.Duration
}

func newPublisher(providers *children, o publisherOptions) *publisher {
	return &publisher{providers: providers, names: newNames(o.Now), opts: o}
}

// lock waits until nothing is written at a record's name; the function returned frees it.
func (p *publisher) lock(ctx context.Context, name string) (unlock func(), err error) {
	return p.names.lock(ctx, name)
}

// publication is the answering of dns-01 challenges through one account, at one
// record name.
type publication struct {
	*publisher
	doing    string
	report   func(step, detail string)
	gaveUp   func() bool // the account was given up by others; nil: never
	account  *spec.DNSAccount
	provider *provider
	name     string // where the TXT record goes, CNAMEs followed
	proofs   []proof
	lame     []string // name servers that were passed over when the record was seen
	own      []string // the values that challenges of the order ask for
}

// alone runs the publication while nothing else is written at its name.
func (p *publication) alone(ctx context.Context, ask func() error) error {
	unlock, err := p.takeTurn(ctx)
	if err != nil {
		return interrupted(ctx, p.doing)
	}
	defer unlock()
	return p.run(ctx, ask)
}

// takeTurn waits until nothing else is written at the publication's name, or, for
// a provider with one value for all of an account, through its account.
func (p *publication) takeTurn(ctx context.Context) (unlock func(), err error) {
	key := p.name
	if p.provider.wholeAccount() {
		key = "account " + p.account.Name
	}
	return p.lock(ctx, key)
}

// run writes the records, waits until they can be seen, has the CA look, and
// takes them away again whatever happened.
func (p *publication) run(ctx context.Context, ask func() error) error {
	if err := p.vacant(ctx); err != nil {
		return err
	}
	for _, answer := range p.proofs {
		written, err := p.present(ctx, answer)
		if written {
			defer p.remove(ctx, answer)
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
	p.names.lookedAt(p.name, p.cap(ttl))
	err = ask()
	p.names.lookedAt(p.name, p.cap(ttl))
	return err
}

func (p *publication) cap(ttl time.Duration) time.Duration {
	return min(ttl, p.opts.RecordCache)
}

// present writes one record. written is true as soon as it may be there.
func (p *publication) present(ctx context.Context, answer proof) (written bool, err error) {
	doing := "writing the TXT record " + p.name + " through the DNS account " + p.account.Name
	p.report("dns", doing)
	p.names.wrote(p.name, answer.value())
	err = p.patiently(ctx, doing, func() error {
		err := p.provider.present(ctx, answer, p.name)
		written = written || err == nil || ctx.Err() != nil || asError(doing, err).class == ClassDNSUnavailable
		return err
	})
	return written, err
}

// patiently gives a provider or a name server that does not answer another try
// or two, unless another group has given the account up.
func (p *publication) patiently(ctx context.Context, doing string, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return interrupted(ctx, doing)
		}
		e := asError(doing, err)
		if e.class != ClassDNSUnavailable || try >= len(p.opts.Retry) || p.gaveUp != nil && p.gaveUp() {
			return notPublished{e}
		}
		pause := p.opts.Retry[try]
		p.report("dns", fmt.Sprintf("trying again in %s: %v", pause, e))
		if sleep(ctx, pause) != nil {
			return interrupted(ctx, doing)
		}
	}
}

// remove takes a record away, also when the call was interrupted. A record
// that stays is untidy and no danger, so a failure is reported and no more. It
// also stays where the provider would remove what somebody else wrote meanwhile.
func (p *publication) remove(ctx context.Context, answer proof) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.Cleanup)
	defer cancel()
	if p.joined(ctx) {
		p.report("cleanup", p.stays(answer))
		return
	}
	if err := p.provider.cleanup(ctx, answer, p.name); err != nil {
		p.report("cleanup", "the TXT record "+p.name+" could not be removed through the DNS account "+p.account.Name+": "+asError("removing it", err).Error())
	}
}

// waitQuiet waits until the CA's resolvers have forgotten an earlier answer.
func (p *publication) waitQuiet(ctx context.Context) error {
	for {
		d := p.names.quiet(p.name)
		if d <= 0 {
			return nil
		}
		p.report("dns", fmt.Sprintf("waiting %s at %s for resolvers of the CA to forget the answer that it looked at before (its TTL; a lower one waits less)", d.Round(time.Second), p.name))
		if sleep(ctx, d) != nil {
			return interrupted(ctx, p.doing)
		}
	}
}
