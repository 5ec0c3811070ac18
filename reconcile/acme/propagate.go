package acme

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"certroll/spec/text"
)

// seen waits until the publication's records can be seen, and returns their
// TTL. The first look is at once: an honest server has the record when the
// provider says so, and a server asked is authoritative, so that a look in
// vain is remembered nowhere.
func (p *publication) seen(ctx context.Context) (time.Duration, error) {
	settings := p.account.Propagation
	if settings.Wait > 0 {
		p.report("dns", fmt.Sprintf("waiting %s, as the DNS account %s says, for the TXT record %s", settings.Wait, p.account.Name, p.name))
		if sleep(ctx, settings.Wait) != nil {
			return 0, interrupted(ctx, p.doing)
		}
		return p.client.opts.RecordCache, nil
	}
	timeout := firstSet(settings.Timeout, p.provider.timeout(), time.Minute)
	interval := firstSet(settings.Interval, p.provider.interval(), 2*time.Second)
	pace := newPace(200*time.Millisecond, interval)
	began := p.client.now()
	var told string
	for {
		look := p.look(ctx)
		if ctx.Err() != nil {
			return 0, interrupted(ctx, p.doing)
		}
		if look.complete() {
			p.lame = look.lame()
			return look.ttl, nil
		}
		waited := p.client.now().Sub(began)
		if waited >= timeout {
			return 0, p.unseen(waited, look)
		}
		if waiting := look.waitingFor(); waiting != told {
			told = waiting
			p.report("dns", "waiting for the TXT record "+p.name+" to be seen by "+waiting)
		}
		if sleep(ctx, min(pace.pause(), timeout-waited)) != nil {
			return 0, interrupted(ctx, p.doing)
		}
	}
}

func firstSet(durations ...time.Duration) time.Duration {
	for _, d := range durations {
		if d > 0 {
			return d
		}
	}
	return 0
}

func (p *publication) unseen(waited time.Duration, last look) *Error {
	return &Error{
		class: ClassDNSPropagation, doing: "waiting for the TXT record " + p.name + " of the DNS account " + p.account.Name,
		said:   "it was written and cannot be seen after " + measured(waited) + ": " + last.String(),
		advice: "see that the account writes to the zone that these servers serve, or give it a longer propagation timeout, other nameservers, or a fixed wait",
	}
}

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

// look asks all servers at once.
func (p *publication) look(ctx context.Context) look {
	servers, err := authorities(ctx, p.account, p.name)
	if err != nil {
		return look{failed: err}
	}
	want := make([]string, len(p.challenges))
	for i, ch := range p.challenges {
		want[i] = ch.value()
	}
	out := look{views: make([]view, len(servers))}
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { out.views[i] = s.view(ctx, p.name, want) })
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
