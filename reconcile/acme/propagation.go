package acme

import (
	"context"
	"fmt"
	"time"
)

// seen waits until the publication's records can be seen, and returns their
// TTL. The first look is at once: an honest server has the record when the
// provider says so, and a server asked is authoritative, so that a look in
// vain is remembered nowhere.
func (p *publication) seen(ctx context.Context) (time.Duration, error) {
	settings := p.account.Propagation
	if settings.Wait > 0 {
		p.report("dns", fmt.Sprintf("waiting %s, as the DNS account %s says, for the TXT record %s", settings.Wait, p.account.Name, p.name))
		if sleep(ctx, settings.Wait) != nil {
			return 0, interrupted(ctx, p.doing)
		}
		return p.opts.RecordCache, nil
	}
	want := make([]string, len(p.proofs))
	for i, answer := range p.proofs {
		want[i] = answer.value()
	}
	timeout := firstSet(settings.Timeout, p.provider.timeout(), time.Minute)
	interval := firstSet(settings.Interval, p.provider.interval(), 2*time.Second)
	pace := newPace(200*time.Millisecond, interval)
	began := p.opts.Now()
	var told string
	for {
		look := lookFor(ctx, p.account, p.name, want)
		if ctx.Err() != nil {
			return 0, interrupted(ctx, p.doing)
		}
		if look.complete() {
			p.lame = look.lame()
			return look.ttl, nil
		}
		waited := p.opts.Now().Sub(began)
		if waited >= timeout {
			return 0, p.unseen(waited, look)
		}
		if waiting := look.waitingFor(); waiting != told {
			told = waiting
			p.report("dns", "waiting for the TXT record "+p.name+" to be seen by "+waiting)
		}
		if sleep(ctx, min(pace.pause(), timeout-waited)) != nil {
			return 0, interrupted(ctx, p.doing)
		}
	}
}

func firstSet(durations ...time.Duration) time.Duration {
	for _, d := range durations {
		if d > 0 {
			return d
		}
	}
	return 0
}

func (p *publication) unseen(waited time.Duration, last look) *Error {
	return &Error{
		class: ClassDNSPropagation, doing: "waiting for the TXT record " + p.name + " of the DNS account " + p.account.Name,
		said:   "it was written and cannot be seen after " + measured(waited) + ": " + last.String(),
		advice: "see that the account writes to the zone that these servers serve, or give it a longer propagation timeout, other nameservers, or a fixed wait",
	}
}
