package publish

import (
	"context"
	"fmt"
	"time"

	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/await"
)

// Publisher writes the TXT records of challenges through DNS accounts.
type Publisher struct {
	providers *dnsprovider.Pool
	names     *names
	opts      Options
}

// Options are the settings of a Publisher. All are required.
type Options struct {
	Now     func() time.Time
	Cleanup time.Duration // limit for removing one record
	// Retry are the waits before each further try with a provider or name server that is
	// unavailable.
	Retry []time.Duration
	// RecordCache is the longest time for which the CA's resolvers cache a TXT record,
	// whatever its TTL.
	RecordCache time.Duration
}

// New makes a Publisher that writes through these providers.
func New(providers *dnsprovider.Pool, o Options) *Publisher {
	return &Publisher{providers: providers, names: newNames(o.Now), opts: o}
}

// Lock waits until no other publication uses the record's name; the returned function
// frees it.
func (p *Publisher) Lock(ctx context.Context, name string) (unlock func(), err error) {
	return p.names.lock(ctx, name, "", nil)
}

// publication answers dns-01 challenges through one account at one record name.
type publication struct {
	*Publisher
	doing    string
	order    string // see Request
	report   func(step, detail string)
	gaveUp   func() bool // other names gave the account up; nil: never
	account  *spec.DNSAccount
	provider *dnsprovider.Provider
	name     string // the TXT record's name, after following CNAMEs
	proofs   []dnsprovider.Proof
	lame     []string // name servers ignored in the check for visibility
	own      []string // the TXT values of all the order's challenges
}

// alone runs the publication while it holds the lock on its name.
func (p *publication) alone(ctx context.Context, ask func() error) error {
	unlock, err := p.takeTurn(ctx)
	if err != nil {
		return problem.Interrupted(ctx, p.doing)
	}
	defer unlock()
	return p.run(ctx, ask)
}

// takeTurn locks the publication's name; for a provider with one value per account it
// locks the account.
func (p *publication) takeTurn(ctx context.Context) (unlock func(), err error) {
	key := p.name
	if p.provider.WholeAccount() {
		key = "account " + p.account.Name
	}
	return InTurn(p.report, "waiting for another certificate's challenge at "+dnsquery.Plain(p.name), func(waiting func()) (func(), error) {
		return p.names.lock(ctx, key, p.order, waiting)
	})
}

// run writes the records, waits for their visibility, lets the CA validate, and removes
// them in every case.
func (p *publication) run(ctx context.Context, ask func() error) error {
	if err := p.vacant(ctx); err != nil {
		return err
	}
	for _, answer := range p.proofs {
		written, err := p.present(ctx, answer)
		if written {
			// At the end of run, after the CA has validated.
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
	// After seen, whose wait counts toward the same time.
	if err := p.waitQuiet(ctx); err != nil {
		return err
	}
	p.names.lookedAt(p.name, p.cap(ttl))
	err = ask()
	// Again, since the CA may have queried at any time during the call.
	p.names.lookedAt(p.name, p.cap(ttl))
	return err
}

func (p *publication) cap(ttl time.Duration) time.Duration {
	return min(ttl, p.opts.RecordCache)
}

// present writes one record. written is true as soon as the record may exist.
func (p *publication) present(ctx context.Context, answer dnsprovider.Proof) (written bool, err error) {
	doing := "writing the TXT record " + p.name + " through the DNS account " + p.account.Name
	p.report("dns", doing)
	// Before the write, so that a record of an interrupted write also counts as ours.
	p.names.wrote(p.name, answer.Value())
	err = p.patiently(ctx, doing, func() error {
		err := p.provider.Present(ctx, answer, p.name)
		// An interrupted or unanswered call may have written the record.
		written = written || err == nil || ctx.Err() != nil || problem.AsError(doing, err).OfClass == ledger.ClassDNSUnavailable
		return err
	})
	return written, err
}

// patiently repeats do after the waits of Options.Retry, if the provider or name server
// is unavailable. It stops early once other names have given the account up.
func (p *publication) patiently(ctx context.Context, doing string, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return problem.Interrupted(ctx, doing)
		}
		e := problem.AsError(doing, err)
		if e.OfClass != ledger.ClassDNSUnavailable || try >= len(p.opts.Retry) || p.gaveUp != nil && p.gaveUp() {
			return problem.NotPublished{Why: e}
		}
		pause := p.opts.Retry[try]
		p.report("dns", fmt.Sprintf("trying again in %s: %v", pause, e))
		if await.Sleep(ctx, pause) != nil {
			return problem.Interrupted(ctx, doing)
		}
	}
}

// remove removes a record, even after an interruption. A leftover record is harmless, so
// a failure is only reported. The record stays if the provider would also remove a
// foreign one.
func (p *publication) remove(ctx context.Context, answer dnsprovider.Proof) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.Cleanup)
	defer cancel()
	if p.joined(ctx) {
		p.report("cleanup", p.stays(answer))
		return
	}
	if err := p.provider.Cleanup(ctx, answer, p.name); err != nil {
		p.report("cleanup", "the TXT record "+p.name+" could not be removed through the DNS account "+p.account.Name+": "+problem.AsError("removing it", err).Error())
	}
}

// waitQuiet waits until the CA's resolvers have dropped an earlier answer.
func (p *publication) waitQuiet(ctx context.Context) error {
	for {
		d := p.names.quiet(p.name)
		if d <= 0 {
			return nil
		}
		p.report("dns", fmt.Sprintf("waiting %s at %s for resolvers of the CA to forget the answer that it looked at before (its TTL; a lower one waits less)", d.Round(time.Second), p.name))
		if await.Sleep(ctx, d) != nil {
			return problem.Interrupted(ctx, p.doing)
		}
	}
}
