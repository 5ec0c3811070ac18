package acme

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/spec"
)

func TestAccountID(t *testing.T) {
	const ca = "https://ca.example.com/directory"
	base := accountID(ca, "", "")
	if !strings.HasPrefix(base, "ca.example.com-") || len(base) != len("ca.example.com-")+16 {
		t.Errorf("got the id %q", base)
	}
	for name, id := range map[string]string{
		"an account of its own": accountID(ca, "team", ""),
		"another CA":            accountID("https://ca.example.com/staging", "", ""),
		"an external account":   accountID(ca, "", "kid"),
		"the former kind":       formerAccountID(ca, "", ""),
	} {
		if id == base {
			t.Errorf("%s: the id is the same, %s", name, id)
		}
	}
	if got := accountID("https://127.0.0.1:14000/dir", "", ""); !strings.HasPrefix(got, "127.0.0.1-14000-") {
		t.Errorf("got the id %q", got)
	}
	// As an earlier certroll wrote it.
	if got := formerAccountID(ca, "Ops@Example.com", ""); got != formerAccountID(ca, "ops@example.com", "") || got == formerAccountID(ca, "dev@example.com", "") {
		t.Errorf("got the former id %q", got)
	}
}

// TestTakeOverAccounts: what is there of an earlier certroll is taken over, and
// stays where it finds it.
func TestTakeOverAccounts(t *testing.T) {
	const ca = "https://ca.example.com/directory"
	formerly := func(email, eab, created string) (string, map[string]string) {
		return formerAccountID(ca, email, eab), map[string]string{fieldDirectory: ca, fieldContact: email, fieldEAB: eab, fieldKey: "key of " + email, fieldCreated: created}
	}
	ops, opsDoc := formerly("ops@example.com", "", "2026-02-01T00:00:00Z")
	dev, devDoc := formerly("dev@example.com", "", "2026-01-01T00:00:00Z")
	kid, kidDoc := formerly("ops@example.com", "kid", "2026-01-01T00:00:00Z")
	other, otherDoc := formerAccountID("https://other.example.com/dir", "ops@example.com", ""), map[string]string{fieldDirectory: "https://other.example.com/dir", fieldKey: "x"}
	own, team := accountID(ca, "", ""), accountID(ca, "team", "")
	type docs = map[string]map[string]string
	pointer := func(to string) map[string]string { return map[string]string{fieldDirectory: ca, fieldDocument: to} }
	cases := map[string]struct {
		docs    docs
		issuer  spec.Issuer
		eab     string
		want    string // the id
		there   bool
		pointer string // the id of the pointer that is made
	}{
		"nothing":                   {docs{other: otherDoc}, spec.Issuer{Email: "ops@example.com"}, "", own, false, ""},
		"the same email":            {docs{ops: opsDoc, dev: devDoc}, spec.Issuer{Email: "Ops@example.com"}, "", ops, true, own},
		"another email":             {docs{ops: opsDoc}, spec.Issuer{Email: "new@example.com"}, "", ops, true, own},
		"another email, several":    {docs{ops: opsDoc, dev: devDoc}, spec.Issuer{Email: "new@example.com"}, "", dev, true, own},
		"another external account":  {docs{ops: opsDoc}, spec.Issuer{Email: "ops@example.com"}, "kid", accountID(ca, "", "kid"), false, ""},
		"the same external account": {docs{ops: opsDoc, kid: kidDoc}, spec.Issuer{Email: "new@example.com"}, "kid", kid, true, accountID(ca, "", "kid")},
		"taken over before":         {docs{ops: opsDoc, dev: devDoc, own: pointer(dev)}, spec.Issuer{Email: "ops@example.com"}, "", dev, true, ""},
		"reset by a person":         {docs{ops: opsDoc, own: pointer(dev)}, spec.Issuer{Email: "ops@example.com"}, "", dev, false, ""},
		"of this kind":              {docs{own: opsDoc, dev: devDoc}, spec.Issuer{Email: "dev@example.com"}, "", own, true, ""},
		"a name, its email":         {docs{ops: opsDoc, dev: devDoc, own: pointer(ops)}, spec.Issuer{Account: "team", Email: "dev@example.com"}, "", dev, true, team},
		"a name, its email is used": {docs{ops: opsDoc, own: pointer(ops)}, spec.Issuer{Account: "team", Email: "ops@example.com"}, "", team, false, ""},
		"a name, another email":     {docs{ops: opsDoc}, spec.Issuer{Account: "team", Email: "new@example.com"}, "", team, false, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			store := shelf{}
			maps.Copy(store, tc.docs)
			accounts := newAccounts(store, nil, accountOptions{Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
			tc.issuer.Directory = ca
			for range 2 { // what was found once is found again
				id, doc, err := accounts.locate(t.Context(), &tc.issuer, tc.eab, true)
				if err != nil || id != tc.want || (doc != nil) != tc.there {
					t.Fatalf("got %s, %v, %v; want %s, there: %v", id, doc, err, tc.want, tc.there)
				}
				// A document that was made in between is no reason to change.
				store[formerAccountID(ca, "late@example.com", tc.eab)] = map[string]string{fieldDirectory: ca, fieldEAB: tc.eab, fieldKey: "late", fieldCreated: "2025-01-01T00:00:00Z"}
				if !tc.there {
					return
				}
			}
			if tc.pointer != "" && store[tc.pointer][fieldDocument] != tc.want {
				t.Errorf("pointer %s: %v", tc.pointer, store[tc.pointer])
			}
			for id, doc := range tc.docs {
				if !maps.Equal(store[id], doc) {
					t.Errorf("%s was changed", id)
				}
			}
		})
	}
}

// shelf is an AccountStore that keeps documents for one test.
type shelf map[string]map[string]string

func (s shelf) Load(_ context.Context, id string) (map[string]string, error) {
	if doc, ok := s[id]; ok {
		return maps.Clone(doc), nil
	}
	return nil, fs.ErrNotExist
}

func (s shelf) List(context.Context) ([]string, error) { return slices.Sorted(maps.Keys(s)), nil }

func (s shelf) Create(_ context.Context, id string, data map[string]string) (map[string]string, error) {
	if s[id] == nil {
		s[id] = maps.Clone(data)
	}
	return maps.Clone(s[id]), nil
}

func (s shelf) Update(_ context.Context, id string, data map[string]string) error {
	s[id] = maps.Clone(data)
	return nil
}

// Replicas that start together share one key and one account.
func TestReplicasShareAnAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	urls := map[string]bool{}
	for range 4 {
		c := r.client()
		for range 2 {
			wg.Go(func() {
				if _, _, err := c.Order(t.Context(), r.issuer, []string{"together.lab.test"}, ""); err != nil {
					t.Errorf("Order: %v", err)
					return
				}
				s, err := c.accounts.session(t.Context(), r.issuer)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				urls[s.accountURL()] = true
			})
		}
	}
	wg.Wait()
	if len(urls) != 1 {
		t.Errorf("the CA has %d accounts of ours, want 1", len(urls))
	}
	if doc := r.store.only(t); !urls[doc[fieldURL]] || doc[fieldSchema] != "1" {
		t.Errorf("the document has the account %q, and not the one in use", doc[fieldURL])
	}
}

// A CA may fail the second of two registrations of one key that come at the
// same moment. The account is there all the same.
func TestSecondToRegister(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	tests := map[string]struct {
		header map[string]string
		status int
		kind   string
		class  string // empty: success
	}{
		"a fault":          {status: 500, kind: "serverInternal"},
		"a conflict":       {status: 409, kind: "malformed"},
		"busy for a while": {status: 503, kind: "serverInternal", header: map[string]string{"Retry-After": "30"}, class: ClassCAUnavailable},
		"a limit":          {status: 429, kind: "rateLimited", class: ClassRateLimited},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r.store = newMemory()
			var requests atomic.Int64
			c := r.through(func(next http.RoundTripper, req *http.Request) *http.Response {
				if !strings.Contains(req.URL.Path, "/sign-me-up") || requests.Add(1) > 1 {
					return nil
				}
				pass(t, next, req)
				return reply(test.status, test.header, problemBody(test.kind, "saving the account"))
			})
			_, _, err := c.Order(t.Context(), r.issuer, []string{"late.lab.test"}, "")
			if test.class == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			fails(t, err, test.class, false)
			if n := requests.Load(); n != 1 {
				t.Errorf("the CA was asked %d times, want once", n)
			}
		})
	}
}

// A crash after the key was stored and before the CA answered, or before its
// answer was stored.
func TestAccountWithoutURL(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.order(r.client(), "first.lab.test")
	before := maps.Clone(r.store.only(t))
	r.store.only(t)[fieldURL] = ""
	r.order(r.client(), "second.lab.test")
	if after := r.store.only(t); after[fieldURL] != before[fieldURL] || after[fieldKey] != before[fieldKey] {
		t.Error("the key was registered as another account")
	}
}

func TestForgottenAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	accounts := []*spec.DNSAccount{account("dns", r.server())}
	r.issue(c, accounts, "before.lab.test")
	_, csr := request(t, "lost.lab.test")
	lost := r.order(c, "lost.lab.test")
	key := r.store.only(t)[fieldKey]
	if err := r.ca.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, _, err := c.Finish(t.Context(), r.issuer, lost, csr, accounts, nil)
	fails(t, err, ClassRejected, true)
	r.issue(c, accounts, "after.lab.test", "side.lab.test")
	if r.store.only(t)[fieldKey] != key {
		t.Error("the account has another key")
	}
	if err := r.ca.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.issue(r.client(), accounts, "anew.lab.test") // the URL in the store is stale
}

func TestContactIsUpdated(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.order(r.client(), "first.lab.test")
	url := r.store.only(t)[fieldURL]
	r.issuer.Email = "OPS@example.com"
	r.order(r.client(), "second.lab.test")
	if doc := r.store.only(t); doc[fieldURL] != url || doc[fieldContact] != "OPS@example.com" {
		t.Errorf("the document has the account %s with the contact %s", doc[fieldURL], doc[fieldContact])
	}
}

func TestExternalAccountBinding(t *testing.T) {
	t.Parallel()
	hmac := "ZmFrZS1obWFjLWtleS1mb3ItdGVzdHMtb25seS0wMDAx"
	r := newRig(t, lab.PebbleOptions{EAB: map[string]string{"kid-1": hmac}})
	r.secrets(map[string]string{"HMAC": hmac, "WRONG": "d3JvbmctaG1hYy1rZXktZm9yLXRlc3RzLW9ubHktMDAwMQ"})
	tests := map[string]struct {
		eab   *spec.EAB
		class string // empty: success
		want  string
	}{
		"right":          {eab: &spec.EAB{KeyID: literal("kid-1"), HMAC: secret("HMAC")}},
		"wrong hmac":     {eab: &spec.EAB{KeyID: literal("kid-1"), HMAC: secret("WRONG")}, class: ClassRejected, want: "urn:ietf:params:acme:error:"},
		"missing":        {class: ClassConfig, want: "add an eab block"},
		"no such secret": {eab: &spec.EAB{KeyID: literal("kid-1"), HMAC: secret("NONE")}, class: ClassVault, want: "there is no NONE"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			issuer := *r.issuer
			issuer.EAB = test.eab
			c := New(newMemory(), r.opts)
			defer func() { _ = c.Close() }()
			_, _, err := c.Order(t.Context(), &issuer, []string{"eab.lab.test"}, "")
			if test.class == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := fails(t, err, test.class, false); !strings.Contains(e.Error(), test.want) || strings.Contains(e.Error(), hmac) {
				t.Errorf("the error lacks %q or tells the key: %v", test.want, e)
			}
		})
	}
}

func TestIssuerSetUpWrongly(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{Profiles: map[string]uint64{"default": 7776000, "short": 518400}})
	tests := map[string]struct {
		change func(*spec.Issuer)
		class  string
		want   string
	}{
		"terms not agreed to":  {func(i *spec.Issuer) { i.AgreeTOS = false }, ClassConfig, "terms_of_service_agreed"},
		"CA bundle missing":    {func(i *spec.Issuer) { i.CABundle = "" }, ClassConfig, "set ca_bundle"},
		"CA bundle is no PEM":  {func(i *spec.Issuer) { i.CABundle = "nonsense" }, ClassConfig, "no PEM certificate"},
		"no HTTPS":             {func(i *spec.Issuer) { i.Directory = "http://127.0.0.1:1/dir" }, ClassConfig, "no HTTPS URL"},
		"nobody there":         {func(i *spec.Issuer) { i.Directory = "https://" + closedPort + "/dir" }, ClassCAUnavailable, "connection refused"},
		"no directory there":   {func(i *spec.Issuer) { i.Directory += "nowhere" }, ClassRejected, "answered 404"},
		"no such profile":      {func(i *spec.Issuer) { i.Profile = "nope" }, ClassConfig, "nope"},
		"email without domain": {func(i *spec.Issuer) { i.Email = "nobody" }, ClassConfig, "urn:ietf:params:acme:error:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			issuer := *r.issuer
			test.change(&issuer)
			c := New(newMemory(), r.opts)
			defer func() { _ = c.Close() }()
			_, _, err := c.Order(t.Context(), &issuer, []string{"wrong.lab.test"}, "")
			if e := fails(t, err, test.class, false); !strings.Contains(e.Error(), test.want) {
				t.Errorf("the error lacks %q: %v", test.want, e)
			}
		})
	}
	t.Run("doctor and profiles", func(t *testing.T) {
		c := r.client()
		r.order(c, "doctor.lab.test") // the account is there
		for profile, want := range map[string]string{"": "", "short": "", "gone": "the CA offers default, short"} {
			issuer := *r.issuer
			issuer.Profile = profile
			found := c.ExamineAccount(t.Context(), &issuer)
			if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0].Error(), want)) {
				t.Errorf("profile %q: found %v, want %q", profile, found, want)
			}
		}
	})
	t.Run("a profile that there is", func(t *testing.T) {
		r.issuer.Profile = "short"
		leaf, _ := r.issue(r.client(), []*spec.DNSAccount{account("dns", r.server())}, "short.lab.test")
		if days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24; days > 7 {
			t.Errorf("the certificate is valid for %.0f days, want 6", days)
		}
	})
}

func TestStoreFails(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.store.fail = errors.New("the store is sealed")
	c := r.client()
	_, _, err := c.Order(t.Context(), r.issuer, []string{"store.lab.test"}, "")
	if e := fails(t, err, ClassVault, false); !strings.Contains(e.Error(), "the store is sealed") {
		t.Errorf("the error lacks the store's words: %v", e)
	}
	r.store.fail = nil
	r.order(c, "store.lab.test") // the failure was not kept
}

// Whoever waits for an account that another call is opening is not harmed by
// that call's interruption.
func TestOpeningInterrupted(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	var once sync.Once
	inner := fromTable(map[string]string{"hmac": "aG1hYw"})
	c.opts.Resolve = func(ctx context.Context, v spec.Value) (string, error) {
		once.Do(func() {
			go func() {
				_, _, err := c.Order(t.Context(), r.issuer, []string{"patient.lab.test"}, "")
				waiting <- err
			}()
			cancel()
		})
		return inner(ctx, v)
	}
	r.issuer.EAB = &spec.EAB{KeyID: literal("kid"), HMAC: secret("hmac")}
	if _, _, err := c.Order(ctx, r.issuer, []string{"hasty.lab.test"}, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an interruption", err)
	}
	if err := <-waiting; errors.Is(err, context.Canceled) {
		t.Errorf("the call that waited got %v", err)
	}
}
