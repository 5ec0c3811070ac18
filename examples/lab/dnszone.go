package lab

import (
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxChain is the number of CNAMEs that one answer follows.
const maxChain = 8

// zoneData is the server's content. Names are canonical: lower case, with the trailing
// dot.
type zoneData struct {
	zones  []string
	ipv6   bool
	sets   map[question][]entry
	serial uint32
}

// entry is one record, and the moment from which queries see it.
type entry struct {
	rr   dns.RR
	from time.Time
}

func newZoneData(zones []string, ipv6 bool) zoneData {
	z := zoneData{ipv6: ipv6, sets: map[question][]entry{}, serial: 1}
	for _, name := range zones {
		z.zones = append(z.zones, canonical(name))
	}
	return z
}

// zone returns the closest enclosing zone of a name.
func (z *zoneData) zone(name string) (string, bool) {
	name, best := canonical(name), ""
	for _, zone := range z.zones {
		if dns.IsSubDomain(zone, name) && len(zone) > len(best) {
			best = zone
		}
	}
	return best, best != ""
}

// query answers like an authoritative server (RFC 1034 section 4.3.2): CNAMEs first, then
// the queried set, or else the SOA with the TTL of the negative answer. It follows CNAMEs
// from zone to zone like a resolver, because a CA under test has no other one.
func (z *zoneData) query(reply *dns.Msg, q dns.Question, now time.Time) {
	name := canonical(q.Name)
	zone, ok := z.zone(name)
	if !ok {
		reply.Rcode = dns.RcodeRefused
		return
	}
	reply.Authoritative = true
	for range maxChain {
		alias := z.visible(name, dns.TypeCNAME, now)
		if len(alias) == 0 || q.Qtype == dns.TypeCNAME {
			break
		}
		reply.Answer = append(reply.Answer, alias...)
		name = canonical(alias[0].(*dns.CNAME).Target)
		if zone, ok = z.zone(name); !ok {
			return // another server has to answer
		}
	}
	set := z.set(zone, name, q.Qtype, now)
	reply.Answer = append(reply.Answer, set...)
	if len(set) == 0 {
		reply.Ns = []dns.RR{z.soa(zone)}
		if !z.exists(zone, name) {
			reply.Rcode = dns.RcodeNameError
		}
	}
}

// set returns the records of a name and type, including the implied ones: SOA, NS and
// addresses.
func (z *zoneData) set(zone, name string, rrtype uint16, now time.Time) []dns.RR {
	if told := z.visible(name, rrtype, now); len(told) > 0 {
		return told
	}
	header := dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: 60}
	switch {
	case rrtype == dns.TypeSOA && name == zone:
		return []dns.RR{z.soa(zone)}
	case rrtype == dns.TypeNS && name == zone:
		return []dns.RR{&dns.NS{Hdr: header, Ns: "ns." + zone}}
	case rrtype == dns.TypeA && hasAddress(name):
		return []dns.RR{&dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)}}
	case rrtype == dns.TypeAAAA && z.ipv6 && hasAddress(name):
		return []dns.RR{&dns.AAAA{Hdr: header, AAAA: net.IPv6loopback}}
	}
	return nil
}

func (z *zoneData) visible(name string, rrtype uint16, now time.Time) []dns.RR {
	var rrs []dns.RR
	for _, e := range z.sets[question{name, rrtype}] {
		if !e.from.After(now) {
			rrs = append(rrs, e.rr)
		}
	}
	return rrs
}

func (z *zoneData) soa(zone string) dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns:  "ns." + zone, Mbox: "hostmaster." + zone,
		Serial: z.serial, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 1,
	}
}

// hasAddress returns false for names that no host can have.
func hasAddress(name string) bool {
	return !slices.ContainsFunc(dns.SplitDomainName(name), func(label string) bool { return strings.HasPrefix(label, "_") })
}

// exists reports whether there is a record at or below a name (RFC 8020).
func (z *zoneData) exists(zone, name string) bool {
	if name == zone || hasAddress(name) {
		return true
	}
	for q, set := range z.sets {
		if len(set) > 0 && dns.IsSubDomain(name, q.name) {
			return true
		}
	}
	return false
}

// insert adds a record. If one with the same data exists, only its TTL changes (RFC 2136
// section 3.4.2.2).
func (z *zoneData) insert(rr dns.RR, from time.Time) {
	rr.Header().Name = canonical(rr.Header().Name)
	key := question{rr.Header().Name, rr.Header().Rrtype}
	z.serial++
	for i, e := range z.sets[key] {
		if dns.IsDuplicate(e.rr, rr) {
			z.sets[key][i].rr = rr
			return
		}
	}
	if key.rrtype == dns.TypeCNAME {
		z.sets[key] = nil // a name has at most one CNAME
	}
	z.sets[key] = append(z.sets[key], entry{rr, from})
}

func (z *zoneData) remove(rr dns.RR) {
	key := question{canonical(rr.Header().Name), rr.Header().Rrtype}
	z.serial++
	z.sets[key] = slices.DeleteFunc(z.sets[key], func(e entry) bool { return dns.IsDuplicate(e.rr, rr) })
	if len(z.sets[key]) == 0 {
		delete(z.sets, key)
	}
}

func (z *zoneData) removeSet(name string, rrtype uint16) {
	z.serial++
	for key := range z.sets {
		if key.name == name && (rrtype == dns.TypeANY || rrtype == key.rrtype) {
			delete(z.sets, key)
		}
	}
}
