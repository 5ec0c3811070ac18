package acme

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"certroll/examples/lab"
	"certroll/reconcile/acme/session"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// TestReplicasShareAnAccount checks that replicas that start together share one key and
// one account.
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
				s, err := c.accounts.Session(t.Context(), r.issuer)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				urls[s.AccountURL()] = true
			})
		}
	}
	wg.Wait()
	if len(urls) != 1 {
		t.Errorf("the CA has %d accounts of ours, want 1", len(urls))
	}
	if doc := r.store.only(t); !urls[doc[session.FieldURL]] || doc[session.FieldSchema] != "1" {
		t.Errorf("the document has the account %q, and not the one in use", doc[session.FieldURL])
	}
}

// TestSecondToRegister checks a CA that fails the second of two simultaneous
// registrations of one key: the client must find the account all the same.
func TestSecondToRegister(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	tests := map[string]struct {
		header map[string]string
		status int
		kind   string
		class  ledger.Class // empty: success
	}{
		"a fault":          {status: 500, kind: "serverInternal"},
		"a conflict":       {status: 409, kind: "malformed"},
		"busy for a while": {status: 503, kind: "serverInternal", header: map[string]string{"Retry-After": "30"}, class: ledger.ClassCAUnavailable},
		"a limit":          {status: 429, kind: "rateLimited", class: ledger.ClassRateLimited},
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

// TestAccountWithoutURL checks that a run that crashes before it stores the account's
// URL does not lead to a second account.
func TestAccountWithoutURL(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.order(r.client(), "first.lab.test")
	before := maps.Clone(r.store.only(t))
	r.store.only(t)[session.FieldURL] = ""
	r.order(r.client(), "second.lab.test")
	if after := r.store.only(t); after[session.FieldURL] != before[session.FieldURL] || after[session.FieldKey] != before[session.FieldKey] {
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
	key := r.store.only(t)[session.FieldKey]
	if err := r.ca.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, _, err := c.Finish(t.Context(), r.issuer, lost, csr, accounts, nil)
	fails(t, err, ledger.ClassCARejected, true)
	r.issue(c, accounts, "after.lab.test", "side.lab.test")
	if r.store.only(t)[session.FieldKey] != key {
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
	url := r.store.only(t)[session.FieldURL]
	r.issuer.Email = "OPS@example.com"
	r.order(r.client(), "second.lab.test")
	if doc := r.store.only(t); doc[session.FieldURL] != url || doc[session.FieldContact] != "OPS@example.com" {
		t.Errorf("the document has the account %s with the contact %s", doc[session.FieldURL], doc[session.FieldContact])
	}
}

func TestExternalAccountBinding(t *testing.T) {
	t.Parallel()
	hmac := "ZmFrZS1obWFjLWtleS1mb3ItdGVzdHMtb25seS0wMDAx"
	r := newRig(t, lab.PebbleOptions{EAB: map[string]string{"kid-1": hmac}})
	r.secrets(map[string]string{"HMAC": hmac, "WRONG": "d3JvbmctaG1hYy1rZXktZm9yLXRlc3RzLW9ubHktMDAwMQ"})
	tests := map[string]struct {
		eab   *spec.EAB
		class ledger.Class // empty: success
		want  string
	}{
		"right":          {eab: &spec.EAB{KeyID: literal("kid-1"), HMAC: secret("HMAC")}},
		"wrong hmac":     {eab: &spec.EAB{KeyID: literal("kid-1"), HMAC: secret("WRONG")}, class: ledger.ClassCARejected, want: "urn:ietf:params:acme:error:"},
		"missing":        {class: ledger.ClassConfig, want: "add an eab block"},
		"no such secret": {eab: &spec.EAB{KeyID: literal("kid-1"), HMAC: secret("NONE")}, class: ledger.ClassVault, want: "there is no NONE"},
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
		class  ledger.Class
		want   string
	}{
		"terms not agreed to":  {func(i *spec.Issuer) { i.AgreeTOS = false }, ledger.ClassConfig, "terms_of_service_agreed"},
		"CA bundle missing":    {func(i *spec.Issuer) { i.CABundle = "" }, ledger.ClassConfig, "set ca_bundle"},
		"CA bundle is no PEM":  {func(i *spec.Issuer) { i.CABundle = "nonsense" }, ledger.ClassConfig, "no PEM certificate"},
		"no HTTPS":             {func(i *spec.Issuer) { i.Directory = "http://127.0.0.1:1/dir" }, ledger.ClassConfig, "no HTTPS URL"},
		"nobody there":         {func(i *spec.Issuer) { i.Directory = "https://" + closedPort + "/dir" }, ledger.ClassCAUnavailable, "connection refused"},
		"no directory there":   {func(i *spec.Issuer) { i.Directory += "nowhere" }, ledger.ClassCARejected, "answered 404"},
		"no such profile":      {func(i *spec.Issuer) { i.Profile = "nope" }, ledger.ClassConfig, "nope"},
		"email without domain": {func(i *spec.Issuer) { i.Email = "nobody" }, ledger.ClassConfig, "urn:ietf:params:acme:error:"},
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
		r.order(c, "doctor.lab.test") // already registered
		for profile, want := range map[string]string{"": "", "short": "", "gone": `it offers "default", "short"`} {
			issuer := *r.issuer
			issuer.Profile = profile
			// Both examinations fetch the directory, but the problem is reported once.
			found := append(c.ExamineDirectory(t.Context(), &issuer), c.ExamineAccount(t.Context(), &issuer)...)
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
	if e := fails(t, err, ledger.ClassVault, false); !strings.Contains(e.Error(), "the store is sealed") {
		t.Errorf("the error lacks the store's words: %v", e)
	}
	r.store.fail = nil
	r.order(c, "store.lab.test") // the failed opening was not cached
}

// TestOpeningInterrupted checks that interrupting the call that opens an account does
// not fail other calls that wait for the same account.
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
