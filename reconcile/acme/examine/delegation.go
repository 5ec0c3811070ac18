package examine

import (
	"context"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// ExamineDelegation checks the target of names' TXT records for one DNS account: their
// zone, and the CNAMEs that lead there. zones maps each name without a fault to its
// zone; found are Findings. For an account with another challenge it only checks that
// the names' own zones exist, and zones is empty.
func (x *Examiner) ExamineDelegation(ctx context.Context, account *spec.DNSAccount, names []string) (zones map[string]string, found []error) {
	d := &delegationExam{exam: newExam(dnsquery.Nameservers(account)), account: account, zones: map[string]string{}}
	all := eachName(ctx, names, func(name string) []*problem.Finding { return d.name(ctx, name) })
	return d.zones, problem.StrikeAll(x.secrets, all.Errors())
}

// delegationExam is the examination for one DNS account.
type delegationExam struct {
	*exam
	account *spec.DNSAccount
	zones   map[string]string // guarded by exam.mu
}

// name examines one name: its zone, then for dns-01 the record's CNAMEs and their
// target's zone.
func (d *delegationExam) name(ctx context.Context, name string) []*problem.Finding {
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	domain := dns.Fqdn(dnsquery.TrimWildcard(name))
	zone, f := d.zone(ctx, "looking for the zone of "+name, name, domain)
	if f != nil || d.account.Challenge != spec.DNS01 {
		return f
	}
	record := "_acme-challenge." + domain
	way, o := d.way(ctx, record)
	if o != nil {
		return []*problem.Finding{o.finding("following the CNAMEs from "+dnsquery.Plain(record), name)}
	}
	if len(way) > 0 {
		zone, f = d.diverted(ctx, name, record, way)
	}
	if zone != "" {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.zones[name] = zone
	}
	return f
}

// zone returns the zone of a name, or its fault.
func (d *delegationExam) zone(ctx context.Context, doing, name, at string) (string, []*problem.Finding) {
	zone, o, err := d.zoneOf(ctx, at)
	switch {
	case o != nil:
		return "", []*problem.Finding{o.finding(doing, name)}
	case err != nil:
		domain := registeredOf(dnsquery.Plain(at))
		return "", []*problem.Finding{{Level: ledger.SeverityError, At: "zone of " + domain, Touches: []string{name}, Why: &problem.Error{OfClass: ledger.ClassValidation, Doing: doing, Said: err.Error(),
			Advice: "check that " + domain + " is registered and delegated, and spelt right; where only name servers of your own know it, name them in propagation.nameservers of the DNS account", DNSAccount: d.account.Name}}}
	}
	return zone, nil
}

// link is one CNAME on the way from a record's name.
type link struct {
	to    string
	dname string // owner of the DNAME that implies this CNAME; "" for a CNAME proper
}

// way follows the CNAMEs from a name to their end.
func (d *delegationExam) way(ctx context.Context, name string) ([]link, *outage) {
	start := name
	var way []link
	for range dnsquery.LongestCNAME {
		r := d.ask(ctx, name, dns.TypeCNAME)
		if r.outage != nil {
			return nil, r.outage
		}
		target := dnsquery.CNAMEIn(r.msg, name)
		if target == "" {
			return way, nil
		}
		way = append(way, link{to: target, dname: dnameIn(r.msg, name)})
		name = target
	}
	return nil, circle(dns.TypeCNAME, start)
}

// dnameIn returns the owner of a DNAME in the answer that covers the name; "" without
// one.
func dnameIn(r *dns.Msg, name string) string {
	for _, rr := range r.Answer {
		if d, ok := rr.(*dns.DNAME); ok && dns.IsSubDomain(d.Hdr.Name, name) {
			return strings.ToLower(d.Hdr.Name)
		}
	}
	return ""
}

// diverted judges a record whose name has a CNAME.
func (d *delegationExam) diverted(ctx context.Context, name, record string, way []link) (zone string, found []*problem.Finding) {
	target := way[len(way)-1].to
	leads := dnsquery.Plain(record) + " leads to " + dnsquery.Plain(target)
	byWildcard := way[0].dname == "" && d.isWildcard(ctx, record, way[0].to)
	say := func(severity ledger.Severity, about, said, advice string) {
		found = append(found, &problem.Finding{Level: severity, At: about, Touches: []string{name}, Why: &problem.Error{OfClass: ledger.ClassConfig, DNSAccount: d.account.Name,
			Doing: "looking at where the challenge for " + name + " is answered through the DNS account " + d.account.Name, Said: said, Advice: advice}})
	}
	if !d.account.FollowCNAME {
		if byWildcard {
			// Writing the record overrides the wildcard (RFC 4592 section 2.2.1).
			zone, _ = d.zone(ctx, "", name, record)
			return zone, nil
		}
		say(ledger.SeverityError, "CNAME at "+dnsquery.Plain(record), leads+", and the account has follow_cname = false: the CA follows it, and the account writes its record at a name that the CA does not query",
			"remove follow_cname = false, or the record that leads away")
		return "", found
	}
	if zone, found = d.zone(ctx, "following "+leads, name, target); zone == "" {
		return "", found
	}
	switch {
	case byWildcard:
		say(ledger.SeverityWarning, "wildcard CNAME above "+dnsquery.Plain(record), leads+" by a wildcard CNAME that is hardly meant for it, so the TXT record is written there, into the zone "+zone,
			"set follow_cname = false in the account if it serves the zone of "+name+", or give "+dnsquery.Plain(record)+" a CNAME of its own")
	case way[0].dname != "":
		say(ledger.SeverityInfo, "DNAME at "+dnsquery.Plain(way[0].dname), leads+" by the DNAME at "+dnsquery.Plain(way[0].dname)+", so the TXT record is written into the zone "+zone, "")
	default:
		say(ledger.SeverityInfo, "delegation into "+zone, leads+", so the TXT record is written into the zone "+zone, "")
	}
	return zone, found
}

// isWildcard queries a sibling name that nobody uses. If it has the same target, the
// CNAME comes from a wildcard.
func (d *delegationExam) isWildcard(ctx context.Context, record, target string) bool {
	beside := "_certroll-doctor." + dnsquery.Parent(record)
	r := d.ask(ctx, beside, dns.TypeCNAME)
	return r.outage == nil && dnsquery.CNAMEIn(r.msg, beside) == target
}
