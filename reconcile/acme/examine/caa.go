package examine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// ExamineCAA checks whether CAA records (RFC 8659, RFC 8657) permit the issuer's CA to
// issue for names, validated through accounts. names are A-labels, wildcards with "*.".
// It uses the first account's resolvers. The results are Findings; none if all is well.
//
// It creates neither an order nor an account. If a record names an account, it reads
// certroll's own from the store; if there is none, the finding says so.
func (x *Examiner) ExamineCAA(ctx context.Context, issuer *spec.Issuer, accounts []*spec.DNSAccount, names []string) []error {
	if len(accounts) == 0 {
		return nil
	}
	e := &caaExam{exam: newExam(dnsquery.Nameservers(accounts[0])), issuer: issuer}
	for _, a := range accounts {
		e.methods = appendNew(e.methods, string(a.Challenge))
	}
	var directory *problem.Finding
	e.identities, directory = x.caaIdentities(ctx, issuer)
	e.unread = directory != nil
	// At most one read of the store for all names, and none if no record names an
	// account.
	e.account = sync.OnceValues(func() (string, error) {
		account, err := x.accounts.Stored(ctx, issuer)
		return account.URL, err
	})
	found := eachName(ctx, names, func(name string) []*problem.Finding { return e.name(ctx, name) })
	if directory != nil && ctx.Err() == nil {
		found.Add(directory)
	}
	return problem.StrikeAll(x.secrets, found.Errors())
}

func appendNew(list []string, text string) []string {
	for _, s := range list {
		if s == text {
			return list
		}
	}
	return append(list, text)
}

// caaIdentities returns the CA's domains in CAA records (caaIdentities, RFC 8555 section
// 7.1.1), or the finding that explains why they are unknown.
func (x *Examiner) caaIdentities(ctx context.Context, issuer *spec.Issuer) ([]string, *problem.Finding) {
	m, failed := x.directory(ctx, issuer, "asking "+issuer.Directory+" which CAA records it goes by")
	return m.Identities, failed
}

// caaExam is the CAA examination for one issuer.
type caaExam struct {
	*exam
	issuer     *spec.Issuer
	identities []string
	methods    []string
	account    func() (string, error)
	unread     bool // the directory is unreadable; one finding reports it
}

// name examines one name. Unreadable identities are reported once for the issuer, so
// they add no finding here.
func (e *caaExam) name(ctx context.Context, name string) []*problem.Finding {
	if _, err := netip.ParseAddr(name); err == nil {
		return nil // CAA applies to domains only (RFC 8738 leaves IP addresses out)
	}
	domain, wildcard := strings.CutPrefix(name, "*.")
	doing := "looking for CAA records for " + name
	// For a wildcard, the CA starts at the domain below "*." (RFC 8659 section 3).
	set, at, r := e.relevant(ctx, dns.Fqdn(domain))
	if r.outage != nil {
		return []*problem.Finding{e.outage(doing, name, r.outage)}
	}
	if r.refused() {
		return []*problem.Finding{e.finding(ledger.SeverityInfo, "CAA at "+at, name, doing, "the name servers that the DNS account names do not answer for "+at+", so CAA records there are not known",
			"look for them elsewhere (dig CAA "+at+"), or name recursive resolvers in the account's propagation block")}
	}
	if len(set) == 0 {
		return nil
	}
	v := judgeCAA(set, caaQuestion{wildcard: wildcard, identities: e.identities, methods: e.methods, account: e.account})
	if v.answer == caaUnknown && e.unread {
		return nil
	}
	return e.judged(v, set, at, name, doing)
}

// judged turns a verdict into findings.
func (e *caaExam) judged(v caaVerdict, set []*dns.CAA, at, name, doing string) []*problem.Finding {
	said := "the records at " + at + " are " + caaText(set) + ": " + v.why
	about := "CAA at " + at + " for " + e.issuer.Directory
	var severity ledger.Severity
	var advice string
	switch v.answer {
	case caaAllowed:
		return nil
	case caaUnknown:
		return []*problem.Finding{e.finding(ledger.SeverityInfo, "CAA identities of "+e.issuer.Directory, name, doing,
			"there are some ("+caaText(set)+"), and the CA's directory does not say which domain it answers to (meta.caaIdentities), so nothing can be judged",
			"compare them with the CA's own documentation")}
	case caaPartly:
		severity, advice = ledger.SeverityWarning, "add the challenge to validationmethods, or do not rely on DNS accounts with it"
		about += ", methods"
	case caaUnsure:
		severity, advice = ledger.SeverityWarning, "issue a certificate by this issuer before the record names an account, or take accounturi out until then"
		about += ", account"
	default:
		severity, advice = ledger.SeverityError, "remove the record, or let it allow this issuer"
		if len(e.identities) > 0 {
			advice = fmt.Sprintf("fix the records at %s: %s. CAA 0 issue %q would allow this issuer", at, at, e.identities[0])
		}
	}
	if _, wildcard := strings.CutPrefix(name, "*."); wildcard {
		about += ", wildcards"
	}
	return []*problem.Finding{e.finding(severity, about, name, doing, said, advice)}
}

func (e *caaExam) finding(severity ledger.Severity, about, name, doing, said, advice string) *problem.Finding {
	return &problem.Finding{Level: severity, At: about, Touches: []string{name}, Why: &problem.Error{OfClass: ledger.ClassCAA, Doing: doing, Said: said, Advice: advice}}
}

// outage returns the finding for a query without an answer. A CA that cannot look up CAA
// records must not issue (Baseline Requirements, section 3.2.2.8).
func (e *caaExam) outage(doing, name string, o *outage) *problem.Finding {
	f := o.finding(doing, name)
	if o.fault == faultQuestion {
		f.Why.OfClass, f.At = ledger.ClassCAA, "CAA queries at "+dnsquery.Plain(o.top)
		f.Why.Said += "; other questions are answered, and a CA that gets no answer to this one must not issue"
	}
	return f
}

// relevant climbs from a domain to the first name with CAA records (RFC 8659 section 3).
// at is that name. r holds a query that failed, or one that the servers refused.
func (e *caaExam) relevant(ctx context.Context, domain string) (set []*dns.CAA, at string, r heard) {
	registered := dns.Fqdn(registeredOf(dnsquery.Plain(domain)))
	for name := domain; name != "."; name = dnsquery.Parent(name) {
		set, r = e.at(ctx, name)
		if len(set) > 0 || r.outage != nil {
			return set, dnsquery.Plain(name), r
		}
		// Above the registered domain CAA records are rare, and the zone's own servers
		// do not know them.
		if r.refused() && dns.IsSubDomain(registered, name) {
			return nil, dnsquery.Plain(name), r
		}
	}
	return nil, "", heard{}
}

// at returns the CAA records of one name. It follows a CNAME to its end but does not
// climb from there: RFC 8659 section 3 continues with the parent of the original name,
// unlike RFC 6844.
func (e *caaExam) at(ctx context.Context, name string) ([]*dns.CAA, heard) {
	target := name
	for range dnsquery.LongestCNAME {
		r := e.ask(ctx, target, dns.TypeCAA)
		if r.outage != nil || r.refused() {
			return nil, r
		}
		var set []*dns.CAA
		for _, rr := range r.msg.Answer {
			if caa, ok := rr.(*dns.CAA); ok {
				set = append(set, caa)
			}
		}
		next := cnameEnd(r.msg, target)
		if len(set) > 0 || next == target {
			return set, r
		}
		target = next
	}
	return nil, heard{outage: circle(dns.TypeCAA, name)}
}

// cnameEnd returns the target of the CNAMEs in an answer.
func cnameEnd(r *dns.Msg, name string) string {
	for range dnsquery.LongestCNAME {
		next := dnsquery.CNAMEIn(r, name)
		if next == "" {
			break
		}
		name = next
	}
	return name
}

func circle(rrtype uint16, name string) *outage {
	return &outage{fault: faultCircle, question: dns.TypeToString[rrtype] + " " + dnsquery.Plain(name), top: name,
		said: "one gets CNAMEs that go round in a circle, or more than " + text.Counted(dnsquery.LongestCNAME, "link") + " of them"}
}

// caaText formats a record set as in a zone file. It omits the TTLs, which differ
// between queries.
func caaText(set []*dns.CAA) string {
	var out []string
	for _, r := range set {
		out = append(out, fmt.Sprintf("%d %s \"%s\"", r.Flag, r.Tag, problem.Clip(r.Value)))
	}
	return strings.Join(out, ", ")
}
