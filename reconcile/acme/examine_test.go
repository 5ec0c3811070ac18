package acme

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/session"
	"certroll/spec"
)

// clinic is a client for examinations. Its CA is a fake: a directory with a CAA domain.
// Any other request to it fails the test.
type clinic struct {
	*Client
	t      testing.TB
	store  *memory
	issuer *spec.Issuer
	// directory is the CA's answer; a status other than 200 is an error.
	status    int
	directory string
}

// newClinic returns a clinic whose DNS child runs this command.
func newClinic(t testing.TB, child ...string) *clinic {
	t.Helper()
	k := &clinic{t: t, store: newMemory(), status: 200, directory: `{"meta": {"caaIdentities": ["ca.example.net"]}}`}
	k.issuer = &spec.Issuer{Name: "fake", Reach: spec.Reach{Anything: true}, Directory: "https://ca.example.net/directory", Email: "ops@example.com"}
	k.Client = New(k.store, Options{
		Child:        child,
		PresentRetry: []time.Duration{10 * time.Millisecond}, ProviderTimeout: time.Minute,
		Transport: func(http.RoundTripper) http.RoundTripper {
			return &faulty{answer: func(req *http.Request) *http.Response {
				if req.Method != http.MethodGet || req.URL.String() != k.issuer.Directory {
					t.Errorf("an examination asked the CA for %s %s", req.Method, req.URL)
				}
				return reply(k.status, nil, k.directory)
			}}
		},
	})
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if k.store.creates > 0 {
			t.Error("an examination made an account")
		}
	})
	return k
}

// caa examines names and returns the findings as "severity class about: names".
func (k *clinic) caa(server string, names ...string) []string {
	k.t.Helper()
	return k.texts(k.ExamineCAA(k.t.Context(), k.issuer, []*spec.DNSAccount{account("lab", nameserver{addr: server})}, names))
}

func (k *clinic) texts(found []error) []string {
	k.t.Helper()
	var out []string
	for _, err := range found {
		var f *problem.Finding
		if !errors.As(err, &f) {
			k.t.Fatalf("%v is no Finding", err)
		}
		k.t.Logf("%s (%s): %s; %s", f.Severity(), f.Class(), f.Error(), f.Advice())
		out = append(out, f.Severity()+" "+f.Class()+" "+f.About()+": "+strings.Join(f.Names(), " "))
	}
	slices.Sort(out)
	return out
}

func (k *clinic) finds(what string, got []string, want ...string) {
	k.t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		k.t.Errorf("%s: found\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// bindWith starts BIND with these additional records.
func bindWith(t testing.TB, zones []string, records ...string) *lab.BIND {
	t.Helper()
	labtest.Needs(t, "named")
	b, err := lab.StartBIND(t.Context(), lab.DNSOptions{Zones: zones, Records: records})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestCAA checks CAA records served by BIND, with tree climbing and CNAMEs as in RFC
// 8659.
func TestCAA(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	b := bindWith(t, []string{"lab.test", "other.test", "open.test"},
		`lab.test. 60 IN CAA 0 issue "ca.example.net"`,
		`lab.test. 60 IN CAA 0 issuewild ";"`,
		`shut.lab.test. 60 IN CAA 0 issue "ca.example.org"`,
		`*.star.lab.test. 60 IN CAA 0 issue ";"`,
		`alias.lab.test. 60 IN CNAME shut.lab.test.`,
		`free.lab.test. 60 IN CNAME a.deep.open.test.`,
		`crit.lab.test. 60 IN CAA 128 tbs "unknown"`,
		`mine.lab.test. 60 IN CAA 0 issue "ca.example.net; accounturi=https://ca.example.net/acct/1"`,
		`web.lab.test. 60 IN CAA 0 issue "ca.example.net; validationmethods=http-01"`,
		`other.test. 60 IN CAA 0 issue ";"`,
	)
	const for_ = " for https://ca.example.net/directory"
	k.finds("the zone's own", k.caa(b.Addr, "lab.test", "www.lab.test", "a.b.c.lab.test"))
	k.finds("no records", k.caa(b.Addr, "open.test", "*.open.test", "www.open.test"))
	k.finds("an address", k.caa(b.Addr, "192.0.2.1"))
	k.finds("nearer records", k.caa(b.Addr, "shut.lab.test", "www.shut.lab.test", "www.lab.test"),
		"error caa CAA at shut.lab.test"+for_+": shut.lab.test www.shut.lab.test")
	k.finds("a wildcard", k.caa(b.Addr, "*.lab.test", "lab.test"), "error caa CAA at lab.test"+for_+", wildcards: *.lab.test")
	k.finds("a wildcard's records", k.caa(b.Addr, "x.star.lab.test", "star.lab.test"), "error caa CAA at x.star.lab.test"+for_+": x.star.lab.test")
	k.finds("the end of a CNAME", k.caa(b.Addr, "alias.lab.test", "www.alias.lab.test"), "error caa CAA at alias.lab.test"+for_+": alias.lab.test www.alias.lab.test")
	k.finds("no climbing from the end of a CNAME", k.caa(b.Addr, "free.lab.test"))
	k.finds("a critical one", k.caa(b.Addr, "crit.lab.test"), "error caa CAA at crit.lab.test"+for_+": crit.lab.test")
	k.finds("another method", k.caa(b.Addr, "web.lab.test"), "error caa CAA at web.lab.test"+for_+": web.lab.test")
	k.finds("a zone of another server", k.caa(b.Addr, "www.gone.test"), "info caa CAA at www.gone.test: www.gone.test")

	k.finds("no account yet", k.caa(b.Addr, "mine.lab.test"), "warning caa CAA at mine.lab.test"+for_+", account: mine.lab.test")
	id := session.FormerDocumentID(k.issuer.Directory, k.issuer.Email, "")
	k.store.docs[id] = map[string]string{session.FieldDirectory: k.issuer.Directory, session.FieldContact: k.issuer.Email, session.FieldKey: "a key", session.FieldURL: "https://ca.example.net/acct/2"}
	k.finds("another account", k.caa(b.Addr, "mine.lab.test"), "error caa CAA at mine.lab.test"+for_+": mine.lab.test")
	k.store.docs[id][session.FieldURL] = "https://ca.example.net/acct/1"
	k.finds("our account", k.caa(b.Addr, "mine.lab.test"))
	k.store.fail = errors.New("403 permission denied")
	k.finds("the account is not readable", k.caa(b.Addr, "mine.lab.test"), "warning caa CAA at mine.lab.test"+for_+", account: mine.lab.test")
	k.finds("the account is not asked for", k.caa(b.Addr, "www.lab.test"))
}

// TestCAAOfUnknownCA covers a directory without caaIdentities and one that is
// unreachable.
func TestCAAOfUnknownCA(t *testing.T) {
	t.Parallel()
	d := nameServer(t, "lab.test")
	if err := d.Add(`a.lab.test. 60 IN CAA 0 issue "ca.example.net"`, `b.lab.test. 60 IN CAA 0 issue ";"`); err != nil {
		t.Fatal(err)
	}
	k := newClinic(t)
	k.directory = `{"newOrder": "https://ca.example.net/order"}`
	k.finds("without identities", k.caa(d.Addr, "a.lab.test", "x.a.lab.test", "b.lab.test", "lab.test"),
		"info caa CAA identities of https://ca.example.net/directory: a.lab.test x.a.lab.test",
		"error caa CAA at b.lab.test for https://ca.example.net/directory: b.lab.test")
	away := newClinic(t)
	away.status, away.directory = 503, `{"type": "urn:ietf:params:acme:error:serverInternal", "detail": "down for maintenance"}`
	k.finds("away", away.caa(d.Addr, "a.lab.test", "b.lab.test"),
		"error ca_unavailable https://ca.example.net/directory: ",
		"error caa CAA at b.lab.test for https://ca.example.net/directory: b.lab.test")
}

// TestDNSOutages covers resolvers that time out or answer SERVFAIL.
func TestDNSOutages(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	d := nameServer(t, "lab.test")
	d.FailQueries(lab.ServFail)
	k.finds("SERVFAIL", k.caa(d.Addr, "www.lab.test", "lab.test"), "error dns_unavailable name servers of test: www.lab.test lab.test")
	d.FailQueries(lab.None)
	k.finds("none", k.caa(d.Addr, "www.lab.test"))
	k.finds("nobody there", k.caa("127.0.0.1:1", "www.lab.test", "www.other.test"), "error dns_unavailable resolvers: www.lab.test www.other.test")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found := k.ExamineCAA(ctx, k.issuer, []*spec.DNSAccount{account("lab", nameserver{addr: d.Addr})}, []string{"www.lab.test"}); len(found) != 0 {
		t.Errorf("an interrupted examination found %v", found)
	}
}

// TestCAAQueriesRefused checks a name server that fails for one record type only, as
// old servers do for CAA.
func TestCAAQueriesRefused(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	server := fakeServer(t, func(q dns.Question, _ *dns.Msg, reply *dns.Msg) {
		if q.Qtype == dns.TypeCAA {
			reply.Rcode = dns.RcodeServerFailure
		}
	})
	k.finds("a server that knows no CAA", k.caa(server, "www.lab.test"), "error caa CAA queries at www.lab.test: www.lab.test")
}

// fakeServer starts a fake name server that replies with answer.
func fakeServer(t testing.TB, answer func(q dns.Question, asked, reply *dns.Msg)) string {
	t.Helper()
	started := make(chan struct{})
	s := &dns.Server{Addr: "127.0.0.1:0", Net: "udp", NotifyStartedFunc: func() { close(started) }}
	s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		answer(r.Question[0], r, m)
		_ = w.WriteMsg(m)
	})
	done := make(chan error, 1)
	go func() { done <- s.ListenAndServe() }()
	select {
	case <-started:
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-done
	})
	return s.PacketConn.LocalAddr().String()
}

// TestBrokenDNSSEC runs one named that validates a zone signed by another: once with
// the zone's key as trust anchor, and once with a different key, as after a key change
// without a change of the DS record.
func TestBrokenDNSSEC(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	signed := labtest.SignedBIND(t, "lab.test", "other.test")
	key, err := signed.SigningKey(t.Context(), "lab.test")
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := signed.SigningKey(t.Context(), "other.test")
	if err != nil {
		t.Fatal(err)
	}
	servers := map[string]string{"lab.test": signed.Addr}
	good := labtest.Validator(t, lab.ValidatorOptions{Servers: servers, Anchors: map[string]*dns.DNSKEY{"lab.test": key}})
	bad := labtest.Validator(t, lab.ValidatorOptions{Servers: servers, Anchors: map[string]*dns.DNSKEY{"lab.test": wrong}})
	names := []string{"www.lab.test", "*.lab.test", "a.b.lab.test"}
	k.finds("good signatures", k.caa(good.Addr, names...))
	const found = "error validation DNSSEC of lab.test: www.lab.test *.lab.test a.b.lab.test"
	k.finds("bad signatures", k.caa(bad.Addr, names...), found)
	_, more := k.ExamineDelegation(t.Context(), account("lab", nameserver{addr: bad.Addr}), names)
	k.finds("bad signatures", k.texts(more), found)
	if text := more[0].Error(); !strings.Contains(text, "SERVFAIL") || !strings.Contains(text, "DNSSEC") {
		t.Errorf("it says %q", text)
	}
}

func (k *clinic) delegation(a *spec.DNSAccount, names ...string) (map[string]string, []string) {
	k.t.Helper()
	zones, found := k.ExamineDelegation(k.t.Context(), a, names)
	return zones, k.texts(found)
}

func TestDelegation(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	b := bindWith(t, []string{"lab.test", "other.test", "up.example"},
		"_acme-challenge.led.lab.test. 60 IN CNAME led.other.test.",
		"_acme-challenge.lost.lab.test. 60 IN CNAME lost.gone.test.",
		"_acme-challenge.round.lab.test. 60 IN CNAME _acme-challenge.about.lab.test.",
		"_acme-challenge.about.lab.test. 60 IN CNAME _acme-challenge.round.lab.test.",
		"*.star.lab.test. 60 IN CNAME web.other.test.",
		"old.lab.test. 60 IN DNAME new.other.test.",
	)
	follow := account("lab", nameserver{addr: b.Addr})
	stay := account("stay", nameserver{addr: b.Addr})
	stay.FollowCNAME = false
	for name, test := range map[string]struct {
		account *spec.DNSAccount
		name    string
		zone    string
		found   string
	}{
		"none":                            {follow, "www.lab.test", "lab.test", ""},
		"a wildcard name":                 {follow, "*.lab.test", "lab.test", ""},
		"an address":                      {follow, "192.0.2.1", "", ""},
		"it leads elsewhere":              {follow, "led.lab.test", "other.test", "info config delegation into other.test: led.lab.test"},
		"it leads elsewhere, not taken":   {stay, "led.lab.test", "", "error config CNAME at _acme-challenge.led.lab.test: led.lab.test"},
		"it leads nowhere":                {follow, "lost.lab.test", "", "error validation zone of gone.test: lost.lab.test"},
		"it leads in a circle":            {follow, "*.round.lab.test", "", "error validation CNAMEs at _acme-challenge.round.lab.test: *.round.lab.test"},
		"a wildcard CNAME diverts it":     {follow, "star.lab.test", "other.test", "warning config wildcard CNAME above _acme-challenge.star.lab.test: star.lab.test"},
		"a wildcard CNAME, not taken":     {stay, "star.lab.test", "lab.test", ""},
		"a DNAME":                         {follow, "www.old.lab.test", "other.test", "info config DNAME at old.lab.test: www.old.lab.test"},
		"a DNAME, not taken":              {stay, "www.old.lab.test", "", "error config CNAME at _acme-challenge.www.old.lab.test: www.old.lab.test"},
		"no zone":                         {follow, "www.missing.test", "", "error validation zone of missing.test: www.missing.test"},
		"an account of another challenge": {&spec.DNSAccount{Name: "web", Challenge: spec.HTTP01, Propagation: follow.Propagation}, "led.lab.test", "", ""},
	} {
		zones, found := k.delegation(test.account, test.name)
		var want []string
		if test.found != "" {
			want = []string{test.found}
		}
		k.finds(name, found, want...)
		if zones[test.name] != test.zone {
			t.Errorf("%s: the zone is %q, want %q", name, zones[test.name], test.zone)
		}
	}
	// Several names with the same problem make one finding.
	_, found := k.delegation(follow, "a.missing.test", "b.missing.test", "*.missing.test", "led.lab.test")
	k.finds("together", found, "error validation zone of missing.test: a.missing.test b.missing.test *.missing.test", "info config delegation into other.test: led.lab.test")
}

// TestUnregistered checks the finding for a domain that does not exist according to its
// registry.
func TestUnregistered(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	d := nameServer(t, "com")
	_, found := k.delegation(account("lab", nameserver{addr: d.Addr}), "www.example.com", "api.example.com")
	k.finds("a domain that is not there", found, "error validation zone of example.com: www.example.com api.example.com")
}

func TestCanary(t *testing.T) {
	t.Parallel()
	k := newClinic(t, command(t)...)
	b := bindWith(t, []string{"lab.test", "other.test"}, "_acme-challenge.led.lab.test. 60 IN CNAME led.other.test.")
	good := account("good", nameserver{b.Addr, b.KeyName, b.Secret, b.Algorithm})
	good.Reach.Zones = []string{"other.test"}
	fly := func(a *spec.DNSAccount, name string) []string {
		t.Helper()
		if err := k.Canary(t.Context(), a, name, nil); err != nil {
			return k.texts([]error{err})
		}
		return nil
	}
	k.finds("a good account", fly(good, "www.lab.test"))
	k.finds("a wildcard", fly(good, "*.lab.test"))
	var wrote []string
	if err := k.Canary(t.Context(), good, "led.lab.test", func(_, detail string) { wrote = append(wrote, detail) }); err != nil {
		t.Error(err)
	}
	if len(wrote) == 0 || !strings.Contains(wrote[0], "led.other.test.") {
		t.Errorf("through the CNAME it wrote %q", wrote)
	}

	rotated := account("rotated", nameserver{b.Addr, b.KeyName, "d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZy1rZXk=", b.Algorithm})
	k.finds("a rotated key", fly(rotated, "www.lab.test"), "error dns_unauthorized dns.rotated: www.lab.test")
	k.finds("another zone", fly(good, "www.gone.test"), "error dns_unauthorized dns.good: www.gone.test")
	down := account("down", nameserver{"127.0.0.1:1", b.KeyName, b.Secret, b.Algorithm})
	down.Propagation.Nameservers = []string{b.Addr}
	k.finds("a server that is down", fly(down, "www.lab.test"), "error dns_unavailable dns.down: www.lab.test")
	left, err := b.Challenges(t.Context())
	if err != nil || len(left) != 0 {
		t.Errorf("canaries are left at %v (%v)", left, err)
	}
}

// TestCanaryGivesWay checks that a canary never displaces a real challenge record with
// a provider that removes all records of a name.
func TestCanaryGivesWay(t *testing.T) {
	t.Parallel()
	k := newClinic(t, command(t)...)
	d := nameServer(t, "lab.test")
	w := &wholesale{}
	good := w.account(t, &rig{dns: d}, "good")
	w.write("_acme-challenge.www", "lab.test", "the answer of another process")
	err := k.Canary(t.Context(), good, "www.lab.test", nil)
	k.finds("occupied", k.texts([]error{err}), "info config dns.good: www.lab.test")
	if w.writes() != 0 || len(d.TXT("_acme-challenge.www.lab.test")) != 1 {
		t.Errorf("the answer of another was touched: %v", d.TXT("_acme-challenge.www.lab.test"))
	}

	// Within the process, the canary waits for the name's lock and ends when it is
	// interrupted.
	unlock, err := k.publisher.Lock(t.Context(), "_acme-challenge.api.lab.test.")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := k.Canary(ctx, good, "api.lab.test", nil); !errors.Is(err, context.DeadlineExceeded) || w.writes() != 0 {
		t.Errorf("it ended with %v after %d writes, want it to wait", err, w.writes())
	}
	unlock()
	if err := k.Canary(t.Context(), good, "api.lab.test", nil); err != nil {
		t.Error(err)
	}
	if left := d.TXT("_acme-challenge.api.lab.test"); len(left) != 0 {
		t.Errorf("the canary is left: %v", left)
	}
}

// TestCanaryNotSeen checks that a canary record that never becomes visible is reported
// and removed.
func TestCanaryNotSeen(t *testing.T) {
	t.Parallel()
	k := newClinic(t, command(t)...)
	d := nameServer(t, "lab.test")
	a := account("slow", nameserver{d.Addr, d.KeyName, d.Secret, d.Algorithm})
	a.Propagation.Timeout = 300 * time.Millisecond
	d.SetLag(time.Minute)
	err := k.Canary(t.Context(), a, "www.lab.test", nil)
	k.finds("not seen", k.texts([]error{err}), "error dns_propagation dns.slow: www.lab.test")
	if left := d.Challenges(); len(left) != 0 {
		t.Errorf("the canary is left: %v", left)
	}
}
