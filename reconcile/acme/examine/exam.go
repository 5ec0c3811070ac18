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
)

// namesAtOnce is how many names are examined side by side.
const namesAtOnce = 8

// exam is one examination through one set of resolvers. It keeps their answers
// while it lasts, since names of one zone lead up the same tree.
type exam struct {
	servers []string
	mu      sync.Mutex
	known   map[dns.Question]heard
	outages []*outage // of whole trees: what lies below is not asked for again
}

// heard is what the resolvers have to say to one question: a message, or why
// there is none.
type heard struct {
	msg    *dns.Msg
	outage *outage
}

// refused tells that the servers asked have nothing to do with the name, as
// authoritative servers that stand in for resolvers say of other zones.
func (r heard) refused() bool {
	return r.msg != nil && (r.msg.Rcode == dns.RcodeRefused || r.msg.Rcode == dns.RcodeNotAuth)
}

// fault is what kind of trouble an outage is.
type fault int

const (
	faultSilent   fault = iota // no answer at all
	faultServers               // SERVFAIL: the zone's name servers, or the way to them
	faultDNSSEC                // SERVFAIL, and an answer where validation is left out
	faultQuestion              // SERVFAIL, at questions of one type only
	faultCircle                // CNAMEs that end nowhere
)

// outage is a question that has no answer.
type outage struct {
	fault    fault
	question string // "CAA www.example.com"
	top      string // the highest name that has it: the zone's, mostly
	said     string
}

func newExam(servers []string) *exam {
	return &exam{servers: servers, known: map[dns.Question]heard{}}
}

// ask asks the resolvers, or remembers.
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

// inquire asks the resolvers one after another, as dnsquery.Lookup does; but one that
// fails for want of a valid signature decides, since CAs validate.
func (x *exam) inquire(ctx context.Context, q dns.Question) heard {
	var empty *dns.Msg
	failed := &outage{question: dns.TypeToString[q.Qtype] + " " + dnsquery.Plain(q.Name), top: q.Name}
	var words []string
	for _, server := range x.servers {
		r, err := dnsquery.Exchange(ctx, server, q.Name, q.Qtype, true)
		if ctx.Err() == nil && (err != nil || r.Rcode == dns.RcodeServerFailure) {
			// Once more: a packet may be lost, a resolver be in trouble for a moment.
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

// rcodeText is a response code with what the server adds to it (RFC 8914).
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

// answersUnchecked asks once more with checking disabled (RFC 4035 section
// 3.2.2): a validating resolver that answers then has only missed a valid
// signature.
func answersUnchecked(ctx context.Context, server string, q dns.Question) bool {
	m := new(dns.Msg).SetQuestion(q.Name, q.Qtype)
	m.CheckingDisabled = true
	r, err := dnsquery.Send(ctx, server, m)
	return err == nil && (r.Rcode == dns.RcodeSuccess || r.Rcode == dns.RcodeNameError)
}

// locate finds how far up the tree an outage reaches.
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

// finding tells of an outage. The class is what a CA's refusal will have.
func (o *outage) finding(doing, name string) *problem.Finding {
	e := &problem.Error{OfClass: problem.ClassDNSUnavailable, Doing: doing, Said: "asked for " + o.question + ", " + o.said}
	at := dnsquery.Plain(o.top)
	f := &problem.Finding{Level: problem.SeverityError, Touches: []string{name}, Why: e}
	switch o.fault {
	case faultDNSSEC:
		e.OfClass, f.At = problem.ClassValidation, "DNSSEC of "+at
		e.Said += "; with the validation of DNSSEC left out there is an answer, so the signatures of " + at + " are broken, and CAs validate them"
		e.Advice = "mend the zone's signatures, or the DS record above it: an expired signature and a key that was changed without the DS record are the usual causes"
	case faultQuestion:
		f.At = "queries of one type at " + at
		e.Advice = "see that the zone's name servers answer queries of this type; an empty answer is one"
	case faultCircle:
		e.OfClass, f.At = problem.ClassValidation, "CNAMEs at "+at
		e.Advice = "break the circle"
	case faultSilent:
		f.At = "resolvers"
		e.Advice = "see that the resolvers can be reached from here"
		if at != "" {
			f.At, e.Advice = "name servers of "+at, "see that the name servers of "+at+" answer"
		}
	default:
		f.At = "name servers of " + at
		e.Advice = "see that the name servers of " + at + " answer, and that the delegation to them is right"
	}
	return f
}

// zoneOf finds the zone that a name lies in.
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

// isRegistered knows the zones of registries, which hold nobody's records.
func isRegistered(zone, name string) error {
	suffix, icann := publicsuffix.PublicSuffix(name)
	if !icann || len(zone) > len(suffix) {
		return nil
	}
	return errors.New("the domain " + registeredOf(name) + " is not there: the zone " + zone + " knows no delegation to it")
}

// eachName runs fn for every name, some side by side, and gathers what it finds.
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
		return all // a question that was interrupted says nothing
	}
	for _, list := range found {
		all.Add(list...)
	}
	return all
}

// registeredOf is the registered domain of a name, or the name itself.
func registeredOf(name string) string {
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name
}
