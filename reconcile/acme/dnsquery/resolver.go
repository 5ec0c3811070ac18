package dnsquery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

const (
	// queryTimeout bounds one query to one server.
	queryTimeout = 5 * time.Second
	// LongestCNAME bounds a chain of CNAMEs, which may be a loop.
	LongestCNAME = 16
)

// Nameservers returns the account's nameservers, as host:port; if it has none, the
// system's.
func Nameservers(account *spec.DNSAccount) []string {
	if len(account.Propagation.Nameservers) > 0 {
		return withPort(account.Propagation.Nameservers)
	}
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(config.Servers) == 0 {
		return []string{"127.0.0.1:53"} // the default of resolv.conf(5)
	}
	return withPort(config.Servers)
}

// withPort adds port 53 to servers without a port.
func withPort(servers []string) []string {
	out := make([]string, len(servers))
	for i, s := range servers {
		out[i] = s
		if _, _, err := net.SplitHostPort(s); err != nil {
			out[i] = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
	}
	return out
}

// Exchange queries one server by UDP, and by TCP if the answer is truncated.
func Exchange(ctx context.Context, server, name string, rrtype uint16, recurse bool) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), rrtype)
	m.RecursionDesired = recurse
	return Send(ctx, server, m)
}

// Send sends one message to one server by UDP, and by TCP if the answer is truncated.
func Send(ctx context.Context, server string, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	// 1232 bytes is the DNS Flag Day 2020 size, which avoids IP fragmentation.
	m.SetEdns0(1232, false)
	r, _, err := (&dns.Client{Net: "udp", Timeout: queryTimeout}).ExchangeContext(ctx, m, server)
	if err == nil && r.Truncated {
		r, _, err = (&dns.Client{Net: "tcp", Timeout: queryTimeout}).ExchangeContext(ctx, m, server)
	}
	return r, err
}

// Lookup queries the resolvers in turn until one returns records. REFUSED and NOTAUTH
// count as an empty answer: an authoritative server answers so for a name outside its
// zones.
func Lookup(ctx context.Context, servers []string, name string, rrtype uint16) (*dns.Msg, error) {
	var empty *dns.Msg
	var failures []error
	for _, server := range servers {
		r, err := Exchange(ctx, server, name, rrtype, true)
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("%s: %w", server, err))
		case r.Rcode == dns.RcodeSuccess && len(r.Answer) > 0:
			return r, nil
		case r.Rcode == dns.RcodeSuccess, r.Rcode == dns.RcodeNameError, r.Rcode == dns.RcodeRefused, r.Rcode == dns.RcodeNotAuth:
			empty = r
		default:
			failures = append(failures, fmt.Errorf("%s answered %s", server, dns.RcodeToString[r.Rcode]))
		}
	}
	if empty != nil {
		return empty, nil
	}
	return nil, errors.Join(failures...)
}

// RecordName returns the name of the TXT record for a domain: _acme-challenge below the
// domain (RFC 8555 section 8.4), or the target of the CNAMEs from there. A failing
// resolver is an error here; lego treats it as "no CNAME" and writes to the wrong name.
func RecordName(ctx context.Context, account *spec.DNSAccount, domain string) (string, error) {
	name := "_acme-challenge." + dns.Fqdn(domain)
	if !account.FollowCNAME {
		return name, nil
	}
	for range LongestCNAME {
		r, err := Lookup(ctx, Nameservers(account), name, dns.TypeCNAME)
		if err != nil {
			return "", &problem.Error{OfClass: ledger.ClassDNSUnavailable, Doing: "looking for a CNAME at " + name + " for the DNS account " + account.Name, Said: OneLine(err), Cause: err,
				Advice: "check that the account's nameservers answer, or set follow_cname = false"}
		}
		target := CNAMEIn(r, name)
		if target == "" {
			return name, mayWrite(account, domain, name)
		}
		name = target
	}
	return "", problem.Config("following the CNAMEs from _acme-challenge."+domain, "there are more than "+text.Counted(LongestCNAME, "link"), "break the circle")
}

// mayWrite rejects a CNAME target that neither begins with _acme-challenge nor lies in
// an allowed zone.
func mayWrite(account *spec.DNSAccount, domain, name string) error {
	start := "_acme-challenge." + dns.Fqdn(domain)
	if strings.EqualFold(name, start) || account.Writes(name) {
		return nil
	}
	e := problem.Config("following the CNAME from "+Plain(start)+" for the DNS account "+account.Name,
		"it leads to "+Plain(name)+", where a TXT record of somebody else may stand",
		"have it lead to a name that begins with _acme-challenge, or allow the zone in certroll.hcl: dns { cname_zones = [\""+Parent(Plain(name))+"\"] }")
	e.Cause = ErrElsewhere
	return e
}

// ErrElsewhere is the cause of the error for a CNAME to a name that is not allowed.
var ErrElsewhere = errors.New("the CNAME leads elsewhere")

// CNAMEIn returns the target of the name's CNAME; "" if the answer has none.
func CNAMEIn(r *dns.Msg, name string) string {
	for _, rr := range r.Answer {
		if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) && !strings.EqualFold(c.Target, name) {
			return strings.ToLower(c.Target)
		}
	}
	return ""
}

// server is a name server to query for a record.
type server struct {
	label     string   // "ns1.example.com", or the address
	addresses []string // "192.0.2.1:53"; one that answers is enough
	recurse   bool
}

// authorities returns the servers to query for a record: the account's nameservers, all
// of them, or else the authoritative servers of the record's zone.
func authorities(ctx context.Context, account *spec.DNSAccount, name string) ([]server, error) {
	if given := account.Propagation.Nameservers; len(given) > 0 {
		var out []server
		for _, s := range withPort(given) {
			out = append(out, server{label: s, addresses: []string{s}, recurse: true})
		}
		return out, nil
	}
	resolvers := Nameservers(account)
	zone, err := zoneOf(ctx, resolvers, name)
	if err != nil {
		return nil, err
	}
	r, err := Lookup(ctx, resolvers, zone, dns.TypeNS)
	if err != nil {
		return nil, fmt.Errorf("the name servers of %s: %w", zone, err)
	}
	return addressed(ctx, resolvers, zone, r)
}

// zoneOf finds the zone of a name by querying for an SOA record at each parent.
func zoneOf(ctx context.Context, resolvers []string, name string) (string, error) {
	for _, i := range dns.Split(name) {
		r, err := Lookup(ctx, resolvers, name[i:], dns.TypeSOA)
		if err != nil {
			return "", fmt.Errorf("the zone of %s: %w", name, err)
		}
		for _, rr := range r.Answer {
			if soa, ok := rr.(*dns.SOA); ok && strings.EqualFold(soa.Hdr.Name, name[i:]) {
				return soa.Hdr.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no zone holds %s", name)
}

// addressed returns the servers of an NS answer with their addresses, sorted by name, so
// that messages do not depend on the resolver's order.
func addressed(ctx context.Context, resolvers []string, zone string, r *dns.Msg) ([]server, error) {
	var out []server
	for _, rr := range r.Answer {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		// A server without an address counts as one that does not answer.
		addresses := addressesOf(ctx, resolvers, ns.Ns)
		out = append(out, server{label: strings.TrimSuffix(strings.ToLower(ns.Ns), "."), addresses: addresses})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the zone %s has no name servers", zone)
	}
	slices.SortFunc(out, func(a, b server) int { return strings.Compare(a.label, b.label) })
	return out, nil
}

// addressesOf returns a host's IPv4 and IPv6 addresses. It ignores a failed query, since
// one address suffices.
func addressesOf(ctx context.Context, resolvers []string, host string) []string {
	var out []string
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		r, err := Lookup(ctx, resolvers, host, rrtype)
		if err != nil {
			continue
		}
		for _, rr := range r.Answer {
			switch rr := rr.(type) {
			case *dns.A:
				out = append(out, net.JoinHostPort(rr.A.String(), "53"))
			case *dns.AAAA:
				out = append(out, net.JoinHostPort(rr.AAAA.String(), "53"))
			}
		}
	}
	return out
}

// OneLine returns the text of joined errors on one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", ", ") }
