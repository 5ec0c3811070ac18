package dnsquery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"certroll/spec"
	"certroll/spec/text"
)

// Look is the result of one round of queries to all servers of a zone.
type Look struct {
	failed error // finding the servers failed
	views  []view
	TTL    time.Duration
}

// view is the answer of one server.
type view struct {
	server string
	silent bool // no usable answer: none at all, or a lame server's
	ok     bool
	said   string
	ttl    time.Duration
}

// Complete reports whether every server with a usable answer shows the records, and at
// least one does. A server that does not answer, or is not authoritative for the zone,
// does not block: the CA's resolvers skip it as well.
func (l Look) Complete() bool {
	answered := 0
	for _, v := range l.views {
		if !v.ok && !v.silent {
			return false
		}
		if v.ok {
			answered++
		}
	}
	return answered > 0
}

// Lame returns the servers without a usable answer, each with its error.
func (l Look) Lame() []string {
	var out []string
	for _, v := range l.views {
		if v.silent {
			out = append(out, v.server+" "+v.said)
		}
	}
	return out
}

// WaitingFor returns the servers that do not show the records yet.
func (l Look) WaitingFor() string {
	if l.failed != nil {
		return "its name servers, which cannot be found: " + OneLine(l.failed)
	}
	var out []string
	for _, v := range l.views {
		if !v.ok {
			out = append(out, v.server)
		}
	}
	return strings.Join(out, ", ")
}

// String returns each server's answer, for the error after the last round.
func (l Look) String() string {
	if l.failed != nil {
		return "its name servers cannot be found: " + OneLine(l.failed)
	}
	var out []string
	for _, v := range l.views {
		out = append(out, v.server+" "+v.said)
	}
	return strings.Join(out, ", ")
}

// LookFor queries all servers of the record's zone concurrently for TXT records with
// these values.
func LookFor(ctx context.Context, account *spec.DNSAccount, name string, want []string) Look {
	servers, err := authorities(ctx, account, name)
	if err != nil {
		return Look{failed: err}
	}
	out := Look{views: make([]view, len(servers))}
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { out.views[i] = s.view(ctx, name, want) })
	}
	wg.Wait()
	for _, v := range out.views {
		out.TTL = max(out.TTL, v.ttl)
	}
	return out
}

// view queries one server, at the first of its addresses that answers.
func (s server) view(ctx context.Context, name string, want []string) view {
	err := errors.New("it has no address")
	for _, address := range s.addresses {
		var r *dns.Msg
		if r, err = Exchange(ctx, address, name, dns.TypeTXT, s.recurse); err == nil {
			return s.judge(r, name, want)
		}
	}
	return view{server: s.label, silent: true, said: "did not answer: " + err.Error()}
}

// judge interprets an answer: ok if it has all wanted values, silent if it proves
// nothing. An answer with the values counts even from a server that is not
// authoritative.
func (s server) judge(r *dns.Msg, name string, want []string) view {
	v := view{server: s.label}
	var values []string
	for _, rr := range r.Answer {
		if txt, ok := rr.(*dns.TXT); ok && strings.EqualFold(txt.Hdr.Name, name) {
			values = append(values, strings.Join(txt.Txt, ""))
			v.ttl = time.Duration(txt.Hdr.Ttl) * time.Second
		}
	}
	v.ok = !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(values, w) })
	v.silent = !v.ok && s.isLame(r)
	switch {
	case v.silent && r.Rcode == dns.RcodeSuccess:
		v.said = "answered without authority over the zone"
	case r.Rcode != dns.RcodeSuccess:
		v.said = "answered " + dns.RcodeToString[r.Rcode]
	case len(values) == 0:
		v.said = "answered without a TXT record"
	default:
		v.said = "answered with " + text.Counted(len(values), "TXT record") + ", the one awaited not among them"
	}
	if !v.ok && s.recurse && !r.Authoritative {
		v.said += " (from its cache, which may keep that for a while: name authoritative servers)"
	}
	return v
}

// isLame reports whether the answer is from a server that does not serve the zone, or
// cannot. Only an authoritative answer (RFC 1034 section 4.3.1) proves that a record is
// absent. The nameservers of a dns block may be resolvers, whose answers are never
// authoritative.
func (s server) isLame(r *dns.Msg) bool {
	switch r.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return !s.recurse && !r.Authoritative
	default:
		return true
	}
}
