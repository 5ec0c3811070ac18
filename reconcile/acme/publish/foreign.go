package publish

import (
	"context"
	"fmt"
	"slices"

	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// Other programs may have TXT records at the name of a challenge: another ACME client,
// or an SPF record at the target of a CNAME. Most providers add and remove a single
// record. For those that replace or delete the whole set (see spec.TXTEffect), the
// package first queries the name servers:
//
//	query ── foreign record ──▶ dns_occupied: nothing is written
//	  └ none ── write ── CA ── query ── foreign record ──▶ ours stays, with a warning
//	                             └ none ── remove
//
// A record is foreign unless a challenge of this order asks for its value, this process
// wrote it, or RemoveAnswers received it from an earlier process. Between a query and
// the provider's call another program may write; only the provider's API could prevent
// that.

// placeholders are values that some providers leave at a name that they cannot empty.
var placeholders = []string{"", ".", "_", "empty"}

// vacant fails if the provider would remove a foreign TXT record.
func (p *publication) vacant(ctx context.Context) error {
	if p.provider.Effect.Spares() {
		return nil
	}
	doing := "publishing the TXT record " + p.name + " through the DNS account " + p.account.Name
	return p.patiently(ctx, doing, func() error {
		others, err := p.others(ctx)
		switch {
		case err != nil && p.account.Propagation.Wait == 0:
			return &problem.Error{OfClass: ledger.ClassDNSUnavailable, Doing: doing, Cause: err,
				Said:   "the provider " + p.account.Provider + " replaces all TXT records at the name, and which ones there are cannot be seen: " + dnsquery.OneLine(err),
				Advice: "check that the zone's name servers answer, or name others in propagation.nameservers"}
		case err != nil: // the account has a fixed wait because its name servers cannot be queried
			p.report("dns", "the TXT records at "+p.name+" cannot be seen before the provider "+p.account.Provider+" replaces them: "+dnsquery.OneLine(err))
			return nil
		case others > 0:
			return p.occupiedError(doing, others)
		}
		return nil
	})
}

// occupiedError returns the error for foreign records at the name.
func (p *publication) occupiedError(doing string, others int) *problem.Error {
	return &problem.Error{
		OfClass: ledger.ClassDNSOccupied, Doing: doing,
		Said: fmt.Sprintf("%s that certroll did not write %s there, and the provider %s would remove %s: nothing was written",
			text.Counted(others, "TXT record"), pick(others, "stands", "stand"), p.account.Provider, pick(others, "it", "them")),
		Advice: "find out who wrote " + pick(others, "it", "them") + " and remove " + pick(others, "it", "them") +
			", or use a DNS account whose provider leaves other records alone, or delegate " + dnsquery.Plain(p.name) + " to a name of certroll's own by a CNAME",
	}
}

func pick(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// joined reports whether a foreign TXT record has appeared that the provider would
// remove together with certroll's. A failed query counts as no: the name was free of
// foreign records before, and a record that is never removed would block the next
// renewal.
func (p *publication) joined(ctx context.Context) bool {
	if p.provider.Effect.Spares() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, p.opts.Cleanup/2)
	defer cancel()
	others, err := p.others(ctx)
	return err == nil && others > 0
}

// stays returns the message about a record that certroll leaves in place.
func (p *publication) stays(answer dnsprovider.Proof) string {
	return "the TXT record " + p.name + " with the value " + answer.Value() + " is not removed: somebody else has written one beside it, which the provider " +
		p.account.Provider + " of the DNS account " + p.account.Name + " would remove too; remove the record with this value by hand"
}

// others counts the foreign TXT records at the name.
func (p *publication) others(ctx context.Context) (int, error) {
	values, err := dnsquery.Standing(ctx, p.account, p.name)
	if err != nil {
		return 0, err
	}
	values = slices.DeleteFunc(values, func(v string) bool {
		return slices.Contains(placeholders, v) || slices.Contains(p.own, v) || p.names.knows(p.name, v)
	})
	return len(values), nil
}
