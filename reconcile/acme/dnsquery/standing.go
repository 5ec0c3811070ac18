package dnsquery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"certroll/spec"
)

// Standing returns the distinct values of the TXT records that any server of the
// record's zone shows. It fails only if no server gives a usable answer.
func Standing(ctx context.Context, account *spec.DNSAccount, name string) ([]string, error) {
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

// records queries a server for the TXT records of a name, at the first of its addresses
// with a usable answer.
func (s server) records(ctx context.Context, name string) (*dns.Msg, error) {
	err := fmt.Errorf("%s has no address", s.label)
	for _, address := range s.addresses {
		r, failed := Exchange(ctx, address, name, dns.TypeTXT, s.recurse)
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
