package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

func TestFinish(t *testing.T) {
	tests := map[string]struct {
		ca    lab.PebbleOptions
		names []string
	}{
		"one name":                           {names: []string{"a.lab.test"}},
		"several names side by side":         {names: []string{"a.lab.test", "b.lab.test", "c.other.test", "d.lab.test"}},
		"wildcard with its apex":             {names: []string{"w.lab.test", "*.w.lab.test"}},
		"nonces rejected":                    {ca: lab.PebbleOptions{NonceReject: 20}, names: []string{"n.lab.test", "m.lab.test"}},
		"a CA that asks for patience":        {ca: lab.PebbleOptions{RetryAfterAuthz: 1, RetryAfterOrder: 1}, names: []string{"p.lab.test"}},
		"authorizations that are valid ones": {ca: lab.PebbleOptions{AuthzReuse: 100}, names: []string{"r.lab.test"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, test.ca)
			c := r.client()
			_, used := r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, test.names...)
			if used != "dns" {
				t.Errorf("the account that worked is %q, want dns", used)
			}
			r.clean()
		})
	}
}

func TestFinishOverBIND(t *testing.T) {
	t.Parallel()
	bind := labtest.BIND(t, "lab.test")
	r := &rig{t: t, store: newMemory(), log: &reports{}}
	r.ca = labtest.Pebble(t, lab.PebbleOptions{DNS: bind.Addr})
	r.issuer = &spec.Issuer{Name: "lab", Reach: spec.Reach{Anything: true}, Directory: r.ca.Directory, AgreeTOS: true, CABundle: r.ca.CABundle}
	a := account("bind", nameserver{bind.Addr, bind.KeyName, bind.Secret, bind.Algorithm})
	r.issue(r.client(), []*spec.DNSAccount{a}, "x.lab.test", "*.x.lab.test", "y.lab.test")
	left, err := bind.Challenges(t.Context())
	if err != nil || len(left) > 0 {
		t.Errorf("TXT records are left at %v (%v)", left, err)
	}
}

func TestBINDRefusesTheKey(t *testing.T) {
	t.Parallel()
	bind := labtest.BIND(t, "lab.test")
	r := &rig{t: t, store: newMemory(), log: &reports{}}
	r.ca = labtest.Pebble(t, lab.PebbleOptions{DNS: bind.Addr})
	r.issuer = &spec.Issuer{Name: "lab", Reach: spec.Reach{Anything: true}, Directory: r.ca.Directory, AgreeTOS: true, CABundle: r.ca.CABundle}
	wrong := base64.StdEncoding.EncodeToString([]byte(random(t)))
	right := nameserver{bind.Addr, bind.KeyName, bind.Secret, bind.Algorithm}
	tests := map[string]struct {
		change func(*nameserver)
		domain string
		want   string
	}{
		"wrong secret":            {func(s *nameserver) { s.secret = wrong }, "x.lab.test", "NOTAUTH"},
		"key unknown":             {func(s *nameserver) { s.key = "other-key." }, "x.lab.test", "NOTAUTH"},
		"algorithm not the key's": {func(s *nameserver) { s.algorithm = "hmac-sha512." }, "x.lab.test", "NOTAUTH"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := right
			test.change(&s)
			e := fails(t, r.finishFails(r.client(), []*spec.DNSAccount{account("bind", s)}, test.domain), ledger.ClassDNSUnauthorized, false)
			if !strings.Contains(e.Error(), test.want) || e.Account() != "bind" {
				t.Errorf("the error lacks the server's %q or the account: %v", test.want, e)
			}
			if strings.Contains(e.Error(), s.secret) {
				t.Error("the error has the key")
			}
		})
	}
}

func TestValidAuthorizationsNeedNoAccount(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{AuthzReuse: 100})
	c := r.client()
	r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "again.lab.test")
	before := r.dns.Updates()
	if _, used := r.issue(c, nil, "again.lab.test"); used != "" {
		t.Errorf("the account that worked is %q, want none", used)
	}
	if r.dns.Updates() != before {
		t.Error("records were written for an authorization that was valid already")
	}
}

// TestResume checks that another client can resume an order from every state in which a
// crash can leave it.
func TestResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	accounts := []*spec.DNSAccount{account("dns", r.server())}
	key, csr := request(t, "resume.lab.test")
	url := r.order(r.client(), "resume.lab.test")

	broken := account("dns", r.server())
	broken.Provider = "no-such-provider"
	_, _, _, err := r.client().Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{broken}, nil)
	fails(t, err, ledger.ClassConfig, false)

	chain, _, _, err := r.client().Finish(t.Context(), r.issuer, url, csr, accounts, nil)
	if err != nil {
		t.Fatalf("finishing a pending order in another client: %v", err)
	}
	first := r.verify(chain, key, "resume.lab.test")
	chain, used, _, err := r.client().Finish(t.Context(), r.issuer, url, csr, nil, nil)
	if err != nil {
		t.Fatalf("finishing a valid order again: %v", err)
	}
	if again := r.verify(chain, key, "resume.lab.test"); again.SerialNumber.Cmp(first.SerialNumber) != 0 || used != "" {
		t.Error("finishing a valid order again brought another certificate")
	}
	if len(r.store.docs) != 1 || r.store.creates != 1 {
		t.Errorf("four clients made %d accounts, want 1", r.store.creates)
	}
}

// TestResumeAfterInterruptionWhileFinalizing checks a run that is interrupted after
// answering the challenge and leaves a ready order or a valid authorization: the next
// run must not need a DNS account for it.
func TestResumeAfterInterruptionWhileFinalizing(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	key, csr := request(t, "ready.lab.test")
	c := r.client()
	url := r.order(c, "ready.lab.test")
	ctx, cancel := context.WithCancel(t.Context())
	r.log.on = func(step, _ string) {
		if step == "finalize" {
			cancel()
		}
	}
	_, _, _, err := c.Finish(ctx, r.issuer, url, csr, []*spec.DNSAccount{account("dns", r.server())}, r.log.add)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want an interruption", err)
	}
	fails(t, err, ledger.ClassInternal, false)
	chain, _, _, err := r.client().Finish(t.Context(), r.issuer, url, csr, nil, nil)
	if err != nil {
		t.Fatalf("finishing a ready order: %v", err)
	}
	r.verify(chain, key, "ready.lab.test")
	r.clean()
}

func TestOrderGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	_, csr := request(t, "gone.lab.test")
	c := r.client()
	url := r.order(c, "gone.lab.test")

	t.Run("unknown", func(t *testing.T) {
		_, _, _, err := c.Finish(t.Context(), r.issuer, url+"nope", csr, nil, nil)
		fails(t, err, ledger.ClassCARejected, true)
	})
	t.Run("of another account", func(t *testing.T) {
		other := *r.issuer
		other.Account = "others" // at the same CA
		_, _, _, err := c.Finish(t.Context(), &other, url, csr, nil, nil)
		fails(t, err, ledger.ClassCARejected, true)
	})
	t.Run("expired", func(t *testing.T) {
		late := *r
		late.opts.Now = func() time.Time { return time.Now().AddDate(1, 0, 0) }
		_, _, _, err := late.client().Finish(t.Context(), r.issuer, url, csr, nil, nil)
		if e := fails(t, err, ledger.ClassCARejected, true); !strings.Contains(e.Error(), "expired") {
			t.Errorf("the error does not say so: %v", e)
		}
	})
}

// TestInvalidOrder checks that a failed validation invalidates the order, and that this
// run and every later one report the CA's own words.
func TestInvalidOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	r.dns.FailUpdates(lab.Swallow)
	a := account("dns", r.server())
	a.Propagation.Wait = time.Millisecond // skip the propagation check
	_, csr := request(t, "invalid.lab.test", "bad.lab.test")
	c := r.client()
	url := r.order(c, "invalid.lab.test", "bad.lab.test")
	_, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{a}, nil)
	now := fails(t, err, ledger.ClassValidation, true)
	if got, want := slices.Sorted(slices.Values(now.Names())), []string{"bad.lab.test", "invalid.lab.test"}; !slices.Equal(got, want) {
		t.Errorf("the names that were looked at in vain are %v, want %v", got, want)
	}
	_, _, _, err = r.client().Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{a}, nil)
	later := fails(t, err, ledger.ClassValidation, true)
	for _, e := range []*problem.Error{now, later} {
		for _, part := range []string{"urn:ietf:params:acme:error:", "lab.test", "dns-01"} {
			if !strings.Contains(e.Error(), part) {
				t.Errorf("the error lacks %q: %v", part, e)
			}
		}
	}
	if !strings.Contains(now.Error(), "2 names failed") {
		t.Errorf("the error does not tell both names: %v", now)
	}
}

func TestPreferredChain(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{AlternateRoots: 2})
	c := r.client()
	accounts := []*spec.DNSAccount{account("dns", r.server())}
	_, csr := request(t, "chain.lab.test")
	url := r.order(c, "chain.lab.test")
	chain, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, accounts, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{topOf(t, chain): true}
	for n := 1; n <= 2; n++ {
		root, err := r.ca.AlternateRoot(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		top := topOf(t, []byte(root))
		want[top] = true
		issuer := *r.issuer
		issuer.PreferredChain = top
		if chain, _, _, err = c.Finish(t.Context(), &issuer, url, csr, nil, nil); err != nil || topOf(t, chain) != top {
			t.Errorf("got the chain up to %q (%v), want %q", topOf(t, chain), err, top)
		}
	}
	if len(want) != 3 {
		t.Fatalf("the CA offers %d different chains, so this test shows nothing", len(want))
	}
	issuer := *r.issuer
	issuer.PreferredChain = "No Such Root"
	chain, _, _, err = c.Finish(t.Context(), &issuer, url, csr, nil, r.log.add)
	if err != nil || !r.log.has(`chain: the CA offers no chain up to "No Such Root"`) {
		t.Errorf("a chain that is not offered: got %v and the reports\n%s", err, r.log)
	}
	if len(chain) == 0 {
		t.Error("there is no chain")
	}
}

func topOf(t testing.TB, chain []byte) string {
	t.Helper()
	certs, err := parseChain(chain)
	if err != nil {
		t.Fatal(err)
	}
	return certs[len(certs)-1].Issuer.CommonName
}

func TestRevoke(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	leaf, _ := r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "revoke.lab.test")
	for _, when := range []string{"at first", "when it is revoked already"} {
		if err := c.Revoke(t.Context(), r.issuer, leaf.Raw, 4); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	err := c.Revoke(t.Context(), r.issuer, []byte("no certificate"), 4)
	fails(t, err, ledger.ClassCARejected, false)
}
