package page

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

const hour = time.Hour

// prevented is an error message from a CA.
const prevented = "CAA record for api.example.com prevents issuance"

// hostile is an attack in an upstream's message.
const hostile = `CAA record for api.example.com prevents issuance <script>alert("x")</script>` + "\u202e"

// live returns a healthy record with the given age and lifetime.
func live(name, issuer string, age, life time.Duration) *ledger.Record {
	from := noon.Add(-age)
	renew := from.Add(life * 2 / 3)
	sum := fmt.Sprintf("%x", name+"certroll")
	return &ledger.Record{
		Schema: 1, Certificate: name, State: ledger.StateLive, Names: []string{name + ".example.com"}, Labels: map[string]string{},
		File: "certs/" + name + ".hcl", OnRemove: spec.Keep, Failures: 0, RenewAt: &renew, Revocations: []ledger.Revocation{}, Rotations: []string{}, UpdatedAt: from,
		Live: &ledger.Live{
			Serial: "04" + strings.Repeat(sum, 3)[:34], NotBefore: from, NotAfter: from.Add(life - time.Second), Names: []string{name + ".example.com"},
			KeyDigest: strings.Repeat(sum, 8)[:64], KeyShape: "ecdsa-P-256", KeySince: from, Issuer: issuer, Directory: "https://" + issuer + ".example.com/directory",
			Mount: "secret", Path: "tls/" + name, Version: 3, Revision: strings.Repeat("c0ffee", 7)[:40], IssuedAt: from, DNSAccount: "cloudflare_prod",
		},
	}
}

// suggested adds a renewal window from the CA, at about two thirds of the lifetime.
func suggested(r *ledger.Record) *ledger.Record {
	l := r.Live
	start := l.NotBefore.Add(l.Lifetime() * 65 / 100)
	at := start.Add(l.Lifetime() / 100)
	r.RenewAt = &at
	r.RenewalInfo = &ledger.RenewalInfo{Serial: l.Serial, Start: start, End: start.Add(l.Lifetime() / 50), RenewAt: at, CheckedAt: l.NotBefore}
	return r
}

func failing(r *ledger.Record, n int, class ledger.Class, message string, since time.Duration) *ledger.Record {
	first, until := noon.Add(-since), noon.Add(7*hour)
	r.State, r.Failures, r.FailingSince = ledger.StateFailing, n, &first
	if n >= 3 {
		r.Severity = ledger.SeverityPage
	}
	r.LastFailure = &ledger.Failure{At: noon.Add(-17 * hour), Operation: ledger.KindRenew, Class: class, Message: message, DNSAccount: "cloudflare_prod", Issuer: "letsencrypt"}
	r.Hold = &ledger.Hold{Until: until, Class: class, Reason: fmt.Sprintf("failure %d in a row (%s): %s", n, class, message), Issuer: "letsencrypt"}
	return r
}

func labelled(r *ledger.Record, team, env string) *ledger.Record {
	r.Labels = map[string]string{"team": team, "env": env}
	return r
}

func holds(r *ledger.Record) plan.Action {
	return plan.Action{Kind: ledger.KindHold, Certificate: r.Certificate, Reason: ledger.ReasonBackoff, Detail: r.Hold.Reason, NotBefore: r.Hold.Until,
		Wants: ledger.KindRenew, Record: r, Spec: &spec.Certificate{Name: r.Certificate}}
}

// ten returns ten certificates, like a small installation.
func ten() Input {
	const d = 24 * hour
	refused := "writing the TXT record _acme-challenge.mail.example.com. through the DNS account cloudflare_prod: cloudflare: failed to create TXT record: " +
		"[status code 403] 10000: Authentication error; check that the account's credentials are current and may change this zone"
	api := labelled(failing(live("api", "letsencrypt", 78*d, 90*d), 4, ledger.ClassCAA, prevented, 6*d), "platform", "prod")
	mail := labelled(failing(live("mail", "letsencrypt", 63*d, 90*d), 1, ledger.ClassDNSUnauthorized, refused, 17*hour), "mail", "prod")
	off := labelled(live("legacy", "gts", 40*d, 90*d), "shop", "prod")
	until := noon.Add(20 * d)
	off.RenewAt, off.Unmanaged = nil, &ledger.Unmanaged{Since: noon.Add(-9 * d), Until: &until, Reason: "the load balancer moves", By: "A. Person <person@example.com>"}
	late := labelled(live("vpn", "letsencrypt", 84*d, 90*d), "network", "prod")
	shop := labelled(suggested(live("shop", "letsencrypt", 20*d, 90*d)), "shop", "prod")
	shop.Names = []string{"shop.example.com", "www.shop.example.com", "pay.shop.example.com", "xn--bcher-kva.example"}
	wiki := labelled(suggested(live("wiki", "letsencrypt", 61*d, 90*d)), "platform", "prod")
	pay := labelled(live("pay", "step", 29*time.Minute, hour), "payments", "prod")
	pay.RenewAt, pay.Unmanaged = nil, &ledger.Unmanaged{Since: noon.Add(-2 * hour), Reason: "the card reader is tested", By: "A. Person <person@example.com>"}
	gone := live("old", "letsencrypt", 80*d, 90*d)
	gone.State = ledger.StateRetired
	in := Input{
		Records: []*ledger.Record{api, labelled(suggested(live("grafana", "letsencrypt", 3*d, 90*d)), "platform", "prod"), off,
			labelled(suggested(live("internal", "step", 2*d, 6*d)), "platform", "staging"), mail, gone,
			labelled(suggested(live("registry", "letsencrypt", 33*d, 90*d)), "platform", "prod"), shop, late, wiki, pay},
		Problems: []ledger.Problem{{Since: noon.Add(-3 * d), Finding: ledger.Finding{Severity: ledger.SeverityError, Class: ledger.ClassCAA, About: "registry.example.com",
			Message:      `registry.example.com CAA 0 issue "other-ca.example": it lets letsencrypt.org issue nothing`,
			Advice:       `add 0 issue "letsencrypt.org" at registry.example.com`,
			Certificates: []string{"registry"}, Names: []string{"registry.example.com"}}}},
		Revision: &Revision{Commit: "5d0b3a1f8e7c6d5b4a39281706f5e4d3c2b1a098", Author: "A. Person <person@example.com>", At: noon.Add(-2 * d)},
		Pass:     &Pass{Ended: noon.Add(-42 * time.Second), Next: noon.Add(4 * time.Minute), SeenAt: noon.Add(-42 * time.Second)},
		Ledger:   "9f8e7d6c5b4a39281706f5e4d3c2b1a09876543f",
	}
	for _, r := range in.Records {
		a := plan.Action{Kind: ledger.KindNone, Certificate: r.Certificate, Record: r, Spec: &spec.Certificate{Name: r.Certificate}}
		switch {
		case r.State == ledger.StateRetired:
			continue
		case r.Hold != nil:
			a = holds(r)
		case r == wiki:
			a.Kind, a.Reason, a.Detail = ledger.KindRenew, ledger.ReasonWindow, "the CA suggests to renew it between 2026-11-23T00:00:00Z and 2026-11-24T19:12:00Z"
		}
		in.Actions = append(in.Actions, a)
	}
	in.Actions = append(in.Actions, plan.Action{Kind: ledger.KindIssue, Certificate: "search", Reason: ledger.ReasonMissing,
		Detail: "there is no secret at secret/tls/search yet", Spec: &spec.Certificate{Name: "search", Issuer: "letsencrypt", File: "certs/search.hcl",
			Domains: []spec.Domain{{ASCII: "search.example.com"}}, Labels: map[string]string{"team": "shop"}, Vault: spec.Target{Mount: "secret", Path: "tls/search"}}})
	return in
}

// many returns n certificates of several teams, some of them failing.
func many(n int) Input {
	const d = 24 * hour
	in := ten()
	in.Records, in.Actions, in.Problems[0].Certificates = nil, nil, []string{"search-admin-0022"}
	teams := []string{"data", "edge", "mail", "network", "payments", "platform", "search", "shop"}
	what := []string{"api", "web", "admin", "auth", "cdn", "grpc", "hooks", "img", "login", "queue", "static", "www"}
	for i := range n {
		name := fmt.Sprintf("%s-%s-%04d", teams[i%len(teams)], what[(i/len(teams))%len(what)], i)
		age := time.Duration(i*7919%(58*24)) * hour
		issuer, life := "letsencrypt", 90*d
		if i%11 == 0 {
			issuer = "gts"
		}
		if i%5000 == 17 || i%4000 == 31 {
			age = time.Duration(62+i%19) * d
		}
		r := labelled(suggested(live(name, issuer, age, life)), teams[i%len(teams)], []string{"prod", "prod", "staging"}[i%3])
		switch {
		case i%5000 == 17:
			failing(r, 3+i%4, ledger.ClassCAA, "CAA record for "+name+".example.com prevents issuance", 5*d)
		case i%4000 == 31:
			failing(r, 1+i%2, ledger.ClassDNSPropagation, "the TXT record _acme-challenge."+name+".example.com. was not seen at ns1.example.net:53 within 2m0s", 5*hour)
		case i%4000 == 55:
			r.RenewAt, r.Unmanaged = nil, &ledger.Unmanaged{Since: noon.Add(-9 * d), Reason: "migration", By: "A. Person <person@example.com>"}
		}
		in.Records = append(in.Records, r)
		if r.Hold != nil {
			in.Actions = append(in.Actions, holds(r))
		}
	}
	slices.SortFunc(in.Records, func(a, b *ledger.Record) int { return strings.Compare(a.Certificate, b.Certificate) })
	return in
}

// story returns a ledger's tree with one certificate's events, oldest first.
func story(t testing.TB, name string, problems ...ledger.Problem) fs.FS {
	t.Helper()
	serial := live(name, "letsencrypt", 0, hour).Live.Serial
	events := []ledger.Event{
		{ID: "1", Time: noon.Add(-168 * 24 * hour), Operation: ledger.KindIssue, Status: ledger.Success, Reason: ledger.ReasonMissing, Actor: "A. Person <person@example.com>",
			Revision: strings.Repeat("ab", 20), NewSerial: "03a1b2c3d4e5f60718293a4b5c6d7e8f9012", Detail: "there is no secret at secret/tls/" + name + " yet"},
		{ID: "2", Time: noon.Add(-78 * 24 * hour), Operation: ledger.KindRenew, Status: ledger.Success, Reason: ledger.ReasonWindow, Actor: "schedule",
			Revision: strings.Repeat("ab", 20), OldSerial: "03a1b2c3d4e5f60718293a4b5c6d7e8f9012", NewSerial: serial},
		{ID: "d", Time: noon.Add(-8 * 24 * hour), Operation: ledger.KindDoctor, Status: ledger.Failed, Reason: ledger.ReasonFound, Actor: "schedule", Class: ledger.ClassCAA,
			Message: "api.example.com CAA 0 issue \"other-ca.example\"", Detail: "the next renewal of " + name + " will fail"},
	}
	for i := range 4 {
		at := noon.Add(time.Duration(-17-24*(3-i)) * hour)
		until := at.Add(24 * hour)
		events = append(events, ledger.Event{ID: fmt.Sprint("f", i), Time: at, Operation: ledger.KindRenew, Status: ledger.Failed,
			Reason: ledger.ReasonThreshold, Actor: "schedule", Class: ledger.ClassCAA, Message: prevented, Failures: i + 1, HoldUntil: &until, Severity: map[bool]string{true: "page"}[i > 1]})
	}
	var b strings.Builder
	for _, e := range events {
		e.Schema, e.Certificate = 1, name
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	doctor, err := json.Marshal(ledger.Problems{Schema: 1, Problems: problems})
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"audit/2026/11.jsonl": {Data: []byte(b.String())}, "doctor.json": {Data: doctor}}
}

// shelf is a ledger that never changes.
type shelf struct {
	tree fs.FS
	head string
	err  error
	n    int // number of reads
}

func (s *shelf) Snapshot(context.Context) (fs.FS, string, error) {
	s.n++
	return s.tree, s.head, s.err
}
