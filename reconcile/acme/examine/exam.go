package examine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
)

// namesAtOnce bounds the names examined concurrently.
const namesAtOnce = 8

// exam is one examination through one set of resolvers. It caches their answers, since
// the names of a zone share their parents.
type exam struct {
	servers []string
	mu      sync.Mutex
	known   map[dns.Question]heard
	outages []*outage // of whole subtrees: no more queries below them
}

// heard is the resolvers' answer to one question: a message, or the reason why there is
// none.
type heard struct {
	msg    *dns.Msg
	outage *outage
}

// refused reports whether the servers are not responsible for the name. Authoritative
// servers, if configured as resolvers, answer so for foreign zones.
func (r heard) refused() bool {
	return r.msg != nil && (r.msg.Rcode == dns.RcodeRefused || r.msg.Rcode == dns.RcodeNotAuth)
}

// fault is the kind of an outage.
type fault int

const (
	faultSilent   fault = iota // no answer at all
	faultServers               // SERVFAIL: the zone's name servers, or the path to them
	faultDNSSEC                // SERVFAIL, but an answer without DNSSEC validation
	faultQuestion              // SERVFAIL for one query type only
	faultCircle                // CNAMEs without an end
)

// outage is a question without an answer.
type outage struct {
	fault    fault
	question string // "CAA www.example.com"
	top      string // the highest name affected, usually the zone's
	said     string
}

func newExam(servers []string) *exam {
	return &exam{servers: servers, known: map[dns.Question]heard{}}
}

// ask queries the resolvers, or returns the cached answer.
func (x *exam) ask(ctx context.Context, name string, rrtype uint16) heard {
	q := dns.Question{Name: dns.CanonicalName(name), Qtype: rrtype, Qclass: dns.ClassINET}
	x.mu.Lock()
	r, ok := x.known[q]
	if !ok {
		for _, o := range x.outages {
			if dns.IsSubDomain(o.top, q.Name) {
				r, ok = heard{outage: o}, true
			}
		}
	}
	x.mu.Unlock()
	if ok {
		return r
	}
	if r = x.inquire(ctx, q); r.outage != nil {
		x.locate(ctx, q, r.outage)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if ctx.Err() == nil {
		x.known[q] = r
		if r.outage != nil && r.outage.fault != faultQuestion {
			x.outages = append(x.outages, r.outage)
		}
	}
	return r
}

// inquire queries the resolvers in turn, as dnsquery.Lookup does. But a DNSSEC failure
// is final, since CAs validate.
func (x *exam) inquire(ctx context.Context, q dns.Question) heard {
	var empty *dns.Msg
	failed := &outage{question: dns.TypeToString[q.Qtype] + " " + dnsquery.Plain(q.Name), top: q.Name}
	var words []string
	for _, server := range x.servers {
		r, err := dnsquery.Exchange(ctx, server, q.Name, q.Qtype, true)
		if ctx.Err() == nil && (err != nil || r.Rcode == dns.RcodeServerFailure) {
			// Once more: packets get lost, and resolvers have short outages.
			r, err = dnsquery.Exchange(ctx, server, q.Name, q.Qtype, true)
		}
		switch {
		case err != nil:
			words = append(words, err.Error())
		case r.Rcode == dns.RcodeSuccess && len(r.Answer) > 0:
			return heard{msg: r}
		case r.Rcode == dns.RcodeSuccess, r.Rcode == dns.RcodeNameError, r.Rcode == dns.RcodeRefused, r.Rcode == dns.RcodeNotAuth:
			if empty == nil || (heard{msg: empty}).refused() {
				empty = r
			}
		default:
			failed.fault = faultServers
			words = append(words, server+" answered "+rcodeText(r))
			if r.Rcode == dns.RcodeServerFailure && answersUnchecked(ctx, server, q) {
				failed.fault, failed.said = faultDNSSEC, words[len(words)-1]
				return heard{outage: failed}
			}
		}
	}
	if empty != nil {
		return heard{msg: empty}
	}
	failed.said = strings.Join(words, ", ")
	return heard{outage: failed}
}

// rcodeText formats a response code with the server's extended error (RFC 8914).
func rcodeText(r *dns.Msg) string {
	text := dns.RcodeToString[r.Rcode]
	opt := r.IsEdns0()
	if opt == nil {
		return text
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			text += " (" + dns.ExtendedErrorCodeToString[e.InfoCode]
			if e.ExtraText != "" {
				text += ": " + problem.Clip(e.ExtraText)
			}
			text += ")"
		}
	}
	return text
}

// answersUnchecked repeats the query with checking disabled (RFC 4035 section 3.2.2). If
// the resolver then answers, only the signatures were invalid.
func answersUnchecked(ctx context.Context, server string, q dns.Question) bool {
	m := new(dns.Msg).SetQuestion(q.Name, q.Qtype)
	m.CheckingDisabled = true
	r, err := dnsquery.Send(ctx, server, m)
	return err == nil && (r.Rcode == dns.RcodeSuccess || r.Rcode == dns.RcodeNameError)
}

// locate determines how far up the tree an outage reaches.
func (x *exam) locate(ctx context.Context, q dns.Question, o *outage) {
	if o.fault == faultSilent && x.inquire(ctx, dns.Question{Name: ".", Qtype: dns.TypeNS}).outage != nil {
		o.top = "." // the resolvers themselves
		return
	}
	if q.Qtype != dns.TypeSOA && x.inquire(ctx, dns.Question{Name: q.Name, Qtype: dns.TypeSOA}).outage == nil {
		if o.fault == faultServers {
			o.fault = faultQuestion
		}
		return
	}
	for name := dnsquery.Parent(q.Name); name != "."; name = dnsquery.Parent(name) {
		if x.inquire(ctx, dns.Question{Name: name, Qtype: dns.TypeSOA}).outage == nil {
			return
		}
		o.top = name
	}
}

// finding returns the finding for an outage. Its class is that of the CA's later
// refusal.
func (o *outage) finding(doing, name string) *problem.Finding {
	e := &problem.Error{OfClass: ledger.ClassDNSUnavailable, Doing: doing, Said: "asked for " + o.question + ", " + o.said}
	at := dnsquery.Plain(o.top)
	f := &problem.Finding{Level: ledger.SeverityError, Touches: []string{name}, Why: e}
	switch o.fault {
	case faultDNSSEC:
		e.OfClass, f.At = ledger.ClassValidation, "DNSSEC of "+at
		e.Said += "; with the validation of DNSSEC left out there is an answer, so the signatures of " + at + " are broken, and CAs validate them"
		e.Advice = "fix the zone's signatures, or the DS record above it: an expired signature and a key that was changed without the DS record are the usual causes"
	case faultQuestion:
		f.At = "queries of one type at " + at
		e.Advice = "check that the zone's name servers answer queries of this type; an empty answer is one"
	case faultCircle:
		e.OfClass, f.At = ledger.ClassValidation, "CNAMEs at "+at
		e.Advice = "break the circle"
	case faultSilent:
		f.At = "resolvers"
		e.Advice = "check that the resolvers can be reached from here"
		if at != "" {
			f.At, e.Advice = "name servers of "+at, "check that the name servers of "+at+" answer"
		}
	default:
		f.At = "name servers of " + at
		e.Advice = "check that the name servers of " + at + " answer, and that the delegation to them is right"
	}
	return f
}

// zoneOf returns the zone of a name.
func (x *exam) zoneOf(ctx context.Context, name string) (string, *outage, error) {
	for _, i := range dns.Split(name) {
		at := name[i:]
		r := x.ask(ctx, at, dns.TypeSOA)
		if r.outage != nil {
			return "", r.outage, nil
		}
		for _, rr := range r.msg.Answer {
			if soa, ok := rr.(*dns.SOA); ok && strings.EqualFold(soa.Hdr.Name, at) {
				return dnsquery.Plain(at), nil, isRegistered(dnsquery.Plain(at), dnsquery.Plain(name))
			}
		}
	}
	return "", nil, fmt.Errorf("no zone holds %s", dnsquery.Plain(name))
}

// isRegistered rejects a registry's zone: it holds no records of the domain's owner.
func isRegistered(zone, name string) error {
	suffix, icann := publicsuffix.PublicSuffix(name)
	if !icann || len(zone) > len(suffix) {
		return nil
	}
	return errors.New("the domain " + registeredOf(name) + " is not there: the zone " + zone + " knows no delegation to it")
}

// eachName runs fn for every name, several concurrently, and collects the findings.
func eachName(ctx context.Context, names []string, fn func(name string) []*problem.Finding) *problem.Findings {
	room := make(chan struct{}, namesAtOnce)
	found := make([][]*problem.Finding, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if ctx.Err() == nil {
				found[i] = fn(name)
			}
		})
	}
	wg.Wait()
	all := &problem.Findings{}
	if ctx.Err() != nil {
		return all // an interrupted query proves nothing
	}
	for _, list := range found {
		all.Add(list...)
	}
	return all
}

// registeredOf returns the registered domain of a name, or the name itself.
func registeredOf(name string) string {
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name
}
