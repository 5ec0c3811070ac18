package acme

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"certroll/spec"

	"github.com/go-acme/lego/v4/acme"
	"github.com/miekg/dns"

	"certroll/spec/text"
)

// Others may have TXT records at the name of a challenge: another ACME client in
// the middle of its own, an SPF record where a CNAME leads. Most providers add one
// record and remove it. Of those that replace or delete the whole set (see
// spec.TXTEffect) a look at the name servers comes first:
//
//	look ── a record of somebody else ──▶ dns_occupied: nothing is written
//	  └ none ── write ── CA ── look ── one by now ──▶ ours stays, with a warning
//	                             └ none ── remove
//
// Somebody else's is what neither a challenge of this order asks for nor this
// process wrote, nor an earlier one that RemoveAnswers was told of. Between a
// look and the provider's call is a moment in which another may write; only the
// provider's API could close it.

// placeholders are what some providers leave at a name that they cannot empty.
var placeholders = []string{"", ".", "_", "empty"}

// vacant fails where the provider would remove a TXT record of somebody else.
func (p *publication) vacant(ctx context.Context) error {
	if p.provider.effect.Spares() {
		return nil
	}
	doing := "publishing the TXT record " + p.name + " through the DNS account " + p.account.Name
	return p.patiently(ctx, p.account, doing, func() error {
		others, err := p.others(ctx)
		switch {
		case err != nil && p.account.Propagation.Wait == 0:
			return &Error{class: ClassDNSUnavailable, doing: doing, cause: err,
				said:   "the provider " + p.account.Provider + " replaces all TXT records at the name, and which ones there are cannot be seen: " + oneLine(err),
				advice: "see that the zone's name servers answer, or name others in propagation.nameservers"}
		case err != nil: // such an account waits because nothing can be seen
			p.report("dns", "the TXT records at "+p.name+" cannot be seen before the provider "+p.account.Provider+" replaces them: "+oneLine(err))
			return nil
		case others > 0:
			return p.occupiedError(doing, others)
		}
		return nil
	})
}

func (p *publication) occupiedError(doing string, others int) *Error {
	return &Error{
		class: ClassDNSOccupied, doing: doing,
		said: fmt.Sprintf("%s that certroll did not write %s there, and the provider %s would remove %s: nothing was written",
			text.Counted(others, "TXT record"), pick(others, "stands", "stand"), p.account.Provider, pick(others, "it", "them")),
		advice: "find out who wrote " + pick(others, "it", "them") + " and remove " + pick(others, "it", "them") +
			", or use a DNS account whose provider leaves other records alone, or delegate " + plain(p.name) + " to a name of certroll's own by a CNAME",
	}
}

func pick(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// joined reports whether somebody else has written a TXT record meanwhile that
// the provider would remove with ours. A look in vain says no: the set was ours
// alone before, and a record that is never removed would hold up the next renewal.
func (p *publication) joined(ctx context.Context) bool {
	if p.provider.effect.Spares() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, p.client.opts.CleanupTimeout/2)
	defer cancel()
	others, err := p.others(ctx)
	return err == nil && others > 0
}

// stays tells of a record that is not removed.
func (p *publication) stays(ch challenge) string {
	return "the TXT record " + p.name + " with the value " + ch.value() + " is not removed: somebody else has written one beside it, which the provider " +
		p.account.Provider + " of the DNS account " + p.account.Name + " would remove too; remove the record with this value by hand"
}

// others counts the TXT records at the name that are not certroll's own.
func (p *publication) others(ctx context.Context) (int, error) {
	values, err := standing(ctx, p.account, p.name)
	if err != nil {
		return 0, err
	}
	values = slices.DeleteFunc(values, func(v string) bool {
		return slices.Contains(placeholders, v) || slices.Contains(p.own, v) || p.client.names.knows(p.name, v)
	})
	return len(values), nil
}

// standing are the values of the TXT records that any server of the record's zone
// shows, each once.
func standing(ctx context.Context, account *spec.DNSAccount, name string) ([]string, error) {
	servers, err := authorities(ctx, account, name)
	if err != nil {
		return nil, err
	}
	replies := make([]*dns.Msg, len(servers))
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { replies[i], errs[i] = s.records(ctx, name) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	values, answered := []string{}, false
	for i, r := range replies {
		if errs[i] != nil {
			err = errs[i]
			continue
		}
		answered = true
		for _, rr := range r.Answer {
			txt, ok := rr.(*dns.TXT)
			if !ok || !strings.EqualFold(txt.Hdr.Name, name) {
				continue
			}
			if v := strings.Join(txt.Txt, ""); !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
	}
	if !answered {
		return nil, err
	}
	return values, nil
}

// records asks a server for the TXT records of a name, at the first of its
// addresses that gives an answer that counts.
func (s server) records(ctx context.Context, name string) (*dns.Msg, error) {
	err := fmt.Errorf("%s has no address", s.label)
	for _, address := range s.addresses {
		r, failed := exchange(ctx, address, name, dns.TypeTXT, s.recurse)
		switch {
		case failed != nil:
			err = fmt.Errorf("%s did not answer: %w", s.label, failed)
		case s.isLame(r):
			err = fmt.Errorf("%s answered %s without authority over the zone", s.label, dns.RcodeToString[r.Rcode])
		default:
			return r, nil
		}
	}
	return nil, err
}

// ownValues are those that the dns-01 challenges of the order ask for, also of
// names that are validated: an earlier run may have left them.
func (s *solving) ownValues(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range s.tokens[len(s.values):] {
		keyAuth, err := s.session.keyAuthorization(ctx, token)
		if err != nil {
			return nil, err
		}
		s.values = append(s.values, challenge{keyAuth: keyAuth}.value())
	}
	return s.values, nil
}

// dnsChallenge is the authorization's dns-01 challenge.
func dnsChallenge(authz acme.Authorization) (acme.Challenge, bool) {
	for _, ch := range authz.Challenges {
		if ch.Type == string(spec.DNS01) && tokenSafe(ch.Token) {
			return ch, true
		}
	}
	return acme.Challenge{}, false
}
