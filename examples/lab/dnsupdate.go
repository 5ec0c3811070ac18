package lab

import (
	"time"

	"github.com/miekg/dns"
)

// update applies a dynamic update and returns the response code, in the order of RFC 2136
// section 3: the zone, the signature, the prerequisites, a scan of all changes, and only
// then the changes.
func (d *DNS) update(w dns.ResponseWriter, r *dns.Msg) int {
	if len(r.Question) != 1 || r.Question[0].Qtype != dns.TypeSOA {
		return dns.RcodeFormatError
	}
	zone := canonical(r.Question[0].Name)
	if served, ok := d.data.zone(zone); !ok || served != zone {
		return dns.RcodeNotAuth
	}
	switch {
	case r.IsTsig() == nil:
		return dns.RcodeRefused
	case w.TsigStatus() != nil:
		return dns.RcodeNotAuth // BADSIG, BADKEY and BADTIME (RFC 8945 section 5.3)
	}
	for _, rr := range r.Answer {
		if code := d.data.prerequisite(zone, rr); code != dns.RcodeSuccess {
			return code
		}
	}
	for _, rr := range r.Ns {
		if code := d.data.prescan(zone, rr); code != dns.RcodeSuccess {
			return code
		}
	}
	from := time.Now().Add(d.lag)
	for _, rr := range r.Ns {
		d.data.change(rr, from)
	}
	return dns.RcodeSuccess
}

// prerequisite checks one condition of RFC 2136 section 2.4. It checks only the presence
// of sets: no client of the lab compares exact sets, so the class for them is refused.
func (z *zoneData) prerequisite(zone string, rr dns.RR) int {
	h := rr.Header()
	name := canonical(h.Name)
	if !dns.IsSubDomain(zone, name) {
		return dns.RcodeNotZone
	}
	there := z.present(name, h.Rrtype)
	switch {
	case h.Class != dns.ClassANY && h.Class != dns.ClassNONE:
		return dns.RcodeNotImplemented
	case h.Class == dns.ClassANY && !there && h.Rrtype == dns.TypeANY:
		return dns.RcodeNameError
	case h.Class == dns.ClassANY && !there:
		return dns.RcodeNXRrset
	case h.Class == dns.ClassNONE && there && h.Rrtype == dns.TypeANY:
		return dns.RcodeYXDomain
	case h.Class == dns.ClassNONE && there:
		return dns.RcodeYXRrset
	}
	return dns.RcodeSuccess
}

func (z *zoneData) present(name string, rrtype uint16) bool {
	for key, set := range z.sets {
		if key.name == name && len(set) > 0 && (rrtype == dns.TypeANY || rrtype == key.rrtype) {
			return true
		}
	}
	return false
}

// prescan rejects changes that could only be applied in part (RFC 2136 section 3.4.1).
func (z *zoneData) prescan(zone string, rr dns.RR) int {
	h := rr.Header()
	if !dns.IsSubDomain(zone, canonical(h.Name)) {
		return dns.RcodeNotZone
	}
	switch h.Class {
	case dns.ClassINET, dns.ClassNONE:
		if h.Rrtype == dns.TypeANY {
			return dns.RcodeFormatError
		}
	case dns.ClassANY:
	default:
		return dns.RcodeFormatError
	}
	return dns.RcodeSuccess
}

// change applies one change; the record's class is the operation (RFC 2136 section 2.5).
func (z *zoneData) change(rr dns.RR, from time.Time) {
	switch rr.Header().Class {
	case dns.ClassINET: // add to an RRset
		z.insert(rr, from)
	case dns.ClassANY: // delete an RRset, or all records of a name
		z.removeSet(canonical(rr.Header().Name), rr.Header().Rrtype)
	case dns.ClassNONE: // delete one record of an RRset
		rr.Header().Class = dns.ClassINET
		z.remove(rr)
	}
}
