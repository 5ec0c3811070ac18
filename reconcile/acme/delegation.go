package acme

import (
	"context"
	"net/netip"
	"strings"

	"certroll/spec"

	"github.com/miekg/dns"
)

// ExamineDelegation looks at where the TXT records of names go through one DNS
// account: the zone they lie in, and the CNAMEs that lead there. zones are the
// zones by name, of those with which nothing is wrong; what it returns besides
// are Findings. Of accounts that answer other challenges it looks whether the
// names' own zones are there, and zones is empty.
func (x *Examiner) ExamineDelegation(ctx context.Context, account *spec.DNSAccount, names []string) (zones map[string]string, found []error) {
	d := &delegationExam{exam: newExam(nameservers(account)), account: account, zones: map[string]string{}}
	all := eachName(ctx, names, func(name string) []*Finding { return d.name(ctx, name) })
	return d.zones, struckAll(x.secrets, all.errors())
}

type delegationExam struct {
	*exam
	account *spec.DNSAccount
	zones   map[string]string // guarded by exam.mu
}

func (d *delegationExam) name(ctx context.Context, name string) []*Finding {
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	domain := dns.Fqdn(trimWildcard(name))
	zone, f := d.zone(ctx, "looking for the zone of "+name, name, domain)
	if f != nil || d.account.Challenge != spec.DNS01 {
		return f
	}
	record := "_acme-challenge." + domain
	way, o := d.way(ctx, record)
	if o != nil {
		return []*Finding{o.finding("following the CNAMEs from "+plain(record), name)}
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

// zone is the zone of a name, or what is wrong with it.
func (d *delegationExam) zone(ctx context.Context, doing, name, at string) (string, []*Finding) {
	zone, o, err := d.zoneOf(ctx, at)
	switch {
	case o != nil:
		return "", []*Finding{o.finding(doing, name)}
	case err != nil:
		domain := registeredOf(plain(at))
		return "", []*Finding{{severity: SeverityError, about: "zone of " + domain, names: []string{name}, why: &Error{class: ClassValidation, doing: doing, said: err.Error(),
			advice: "see that " + domain + " is registered and delegated, and spelt right; where only name servers of your own know it, name them in propagation.nameservers of the DNS account", account: d.account.Name}}}
	}
	return zone, nil
}

// link is one CNAME on the way from a record's name.
type link struct {
	to    string
	dname string // the owner of the DNAME that it comes of, "" where it is a CNAME of its own
}

// way follows the CNAMEs from a name to their end.
func (d *delegationExam) way(ctx context.Context, name string) ([]link, *outage) {
	start := name
	var way []link
	for range longestCNAME {
		r := d.ask(ctx, name, dns.TypeCNAME)
		if r.outage != nil {
			return nil, r.outage
		}
		target := cnameIn(r.msg, name)
		if target == "" {
			return way, nil
		}
		way = append(way, link{to: target, dname: dnameIn(r.msg, name)})
		name = target
	}
	return nil, circle(dns.TypeCNAME, start)
}

func dnameIn(r *dns.Msg, name string) string {
	for _, rr := range r.Answer {
		if d, ok := rr.(*dns.DNAME); ok && dns.IsSubDomain(d.Hdr.Name, name) {
			return strings.ToLower(d.Hdr.Name)
		}
	}
	return ""
}

// diverted judges a record that CNAMEs lead elsewhere.
func (d *delegationExam) diverted(ctx context.Context, name, record string, way []link) (zone string, found []*Finding) {
	target := way[len(way)-1].to
	leads := plain(record) + " leads to " + plain(target)
	byWildcard := way[0].dname == "" && d.isWildcard(ctx, record, way[0].to)
	say := func(severity, about, said, advice string) {
		found = append(found, &Finding{severity: severity, about: about, names: []string{name}, why: &Error{class: ClassConfig, account: d.account.Name,
			doing: "looking at where the challenge for " + name + " is answered through the DNS account " + d.account.Name, said: said, advice: advice}})
	}
	if !d.account.FollowCNAME {
		if byWildcard {
			// The record itself takes the wildcard's place (RFC 4592 section 2.2.1).
			zone, _ = d.zone(ctx, "", name, record)
			return zone, nil
		}
		say(SeverityError, "CNAME at "+plain(record), leads+", and the account has follow_cname = false: the CA follows it, and the account writes where nobody looks",
			"remove follow_cname = false, or the record that leads away")
		return "", found
	}
	if zone, found = d.zone(ctx, "following "+leads, name, target); zone == "" {
		return "", found
	}
	switch {
	case byWildcard:
		say(SeverityWarning, "wildcard CNAME above "+plain(record), leads+" by a wildcard CNAME that is hardly meant for it, so the TXT record is written there, into the zone "+zone,
			"set follow_cname = false in the account if it serves the zone of "+name+", or give "+plain(record)+" a CNAME of its own")
	case way[0].dname != "":
		say(SeverityInfo, "DNAME at "+plain(way[0].dname), leads+" by the DNAME at "+plain(way[0].dname)+", so the TXT record is written into the zone "+zone, "")
	default:
		say(SeverityInfo, "delegation into "+zone, leads+", so the TXT record is written into the zone "+zone, "")
	}
	return zone, found
}

// isWildcard asks for a name beside the record that nobody has: one that leads
// to the same place does so by a wildcard.
func (d *delegationExam) isWildcard(ctx context.Context, record, target string) bool {
	beside := "_certroll-doctor." + parent(record)
	r := d.ask(ctx, beside, dns.TypeCNAME)
	return r.outage == nil && cnameIn(r.msg, beside) == target
}
