package publish

import (
	"context"
	"fmt"
	"time"

	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/wait"
	"certroll/reconcile/ledger"
	"certroll/spec/await"
)

// seen waits until the publication's records are visible and returns their TTL. The
// first query is immediate: most servers have the record once the provider's call
// returns. The servers queried are authoritative, so no resolver caches a negative
// answer.
func (p *publication) seen(ctx context.Context) (time.Duration, error) {
	settings := p.account.Propagation
	if settings.Wait > 0 {
		p.report("dns", fmt.Sprintf("waiting %s, as the DNS account %s says, for the TXT record %s", settings.Wait, p.account.Name, p.name))
		if await.Sleep(ctx, settings.Wait) != nil {
			return 0, problem.Interrupted(ctx, p.doing)
		}
		// Nothing was queried, so the TTL is unknown: assume the longest.
		return p.opts.RecordCache, nil
	}
	want := make([]string, len(p.proofs))
	for i, answer := range p.proofs {
		want[i] = answer.Value()
	}
	timeout := firstSet(settings.Timeout, p.provider.Timeout(), time.Minute)
	interval := firstSet(settings.Interval, p.provider.Interval(), 2*time.Second)
	pace := wait.NewPace(200*time.Millisecond, interval)
	began := p.opts.Now()
	var reported string
	for {
		look := dnsquery.LookFor(ctx, p.account, p.name, want)
		if ctx.Err() != nil {
			return 0, problem.Interrupted(ctx, p.doing)
		}
		if look.Complete() {
			p.lame = look.Lame()
			return look.TTL, nil
		}
		waited := p.opts.Now().Sub(began)
		if waited >= timeout {
			return 0, p.unseen(waited, look)
		}
		if waiting := look.WaitingFor(); waiting != reported {
			reported = waiting
			p.report("dns", "waiting for the TXT record "+p.name+" to be seen by "+waiting)
		}
		if await.Sleep(ctx, min(pace.Pause(), timeout-waited)) != nil {
			return 0, problem.Interrupted(ctx, p.doing)
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

// unseen returns the error for records that did not become visible in time.
func (p *publication) unseen(waited time.Duration, last dnsquery.Look) *problem.Error {
	return &problem.Error{
		OfClass: ledger.ClassDNSPropagation, Doing: "waiting for the TXT record " + p.name + " of the DNS account " + p.account.Name,
		Said:   "it was written and cannot be seen after " + wait.Measured(waited) + ": " + last.String(),
		Advice: "check that the account writes to the zone that these servers serve, or give it a longer propagation timeout, other nameservers, or a fixed wait",
	}
}
