package acme

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

// look is what the servers answered in one round.
type look struct {
	failed error // the servers could not be found at all
	views  []view
	ttl    time.Duration
}

// view is what one server answered.
type view struct {
	server string
	silent bool // no answer that counts: none at all, or a lame server's
	ok     bool
	said   string
	ttl    time.Duration
}

// complete reports whether every server that answers has the records, and one
// at least does. A server that does not answer, or answers without authority over
// the zone, holds nobody up: the CA's resolvers pass it over too.
func (l look) complete() bool {
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

// lame are the servers that gave no answer that counts, with what they said.
func (l look) lame() []string {
	var out []string
	for _, v := range l.views {
		if v.silent {
			out = append(out, v.server+" "+v.said)
		}
	}
	return out
}

func (l look) waitingFor() string {
	if l.failed != nil {
		return "its name servers, which cannot be found: " + oneLine(l.failed)
	}
	var out []string
	for _, v := range l.views {
		if !v.ok {
			out = append(out, v.server)
		}
	}
	return strings.Join(out, ", ")
}

// String tells what each server said, for the error at the end.
func (l look) String() string {
	if l.failed != nil {
		return "its name servers cannot be found: " + oneLine(l.failed)
	}
	var out []string
	for _, v := range l.views {
		out = append(out, v.server+" "+v.said)
	}
	return strings.Join(out, ", ")
}

// lookFor asks all servers of a record's zone at once for TXT records with these values.
func lookFor(ctx context.Context, account *spec.DNSAccount, name string, want []string) look {
	servers, err := authorities(ctx, account, name)
	if err != nil {
		return look{failed: err}
	}
	out := look{views: make([]view, len(servers))}
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { out.views[i] = s.view(ctx, name, want) })
	}
	wg.Wait()
	for _, v := range out.views {
		out.ttl = max(out.ttl, v.ttl)
	}
	return out
}

// view asks one server, at the first of its addresses that answers.
func (s server) view(ctx context.Context, name string, want []string) view {
	err := errors.New("it has no address")
	for _, address := range s.addresses {
		var r *dns.Msg
		if r, err = exchange(ctx, address, name, dns.TypeTXT, s.recurse); err == nil {
			return s.judge(r, name, want)
		}
	}
	return view{server: s.label, silent: true, said: "did not answer: " + err.Error()}
}

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

// isLame tells an answer of a server that does not serve the zone, or cannot: only an
// authoritative answer (RFC 1034 section 4.3.1) says that the record is not there. A
// server that the account names may be a resolver, whose answers never are.
func (s server) isLame(r *dns.Msg) bool {
	switch r.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return !s.recurse && !r.Authoritative
	default:
		return true
	}
}
