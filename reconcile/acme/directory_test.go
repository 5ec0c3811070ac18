package acme

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"certroll/examples/lab"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/session"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// TestExamineDirectory checks the findings for features that an issuer requires and its
// CA's directory lacks.
func TestExamineDirectory(t *testing.T) {
	t.Parallel()
	const profiles = `{"meta": {"profiles": {"classic": "https://ca.example.net/classic", "tlsserver": "for servers"}}}`
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"p%02d": "x"`, i))
	}
	registered := map[string]string{session.FieldURL: "https://ca.example.net/acct/1", session.FieldTerms: "https://ca.example.net/terms-1"}
	for name, c := range map[string]struct {
		directory string
		issuer    func(*spec.Issuer)
		doc       map[string]string // the stored account; nil: none
		unread    error             // reading the store fails with this
		want      []string
		said      []string // parts of the finding
	}{
		"nothing asked for": {directory: profiles},
		"offered":           {directory: profiles, issuer: func(i *spec.Issuer) { i.Profile = "tlsserver" }},
		"not offered": {directory: profiles, issuer: func(i *spec.Issuer) { i.Profile = "TLSServer" },
			want: []string{"error config profile of issuer.fake: "}, said: []string{`it offers "classic", "tlsserver"`, "set profile to one of those"}},
		"no profiles": {directory: `{"meta": {}}`, issuer: func(i *spec.Issuer) { i.Profile = "classic" },
			want: []string{"error config profile of issuer.fake: "}, said: []string{"offers no profiles"}},
		"very many": {directory: `{"meta": {"profiles": {` + strings.Join(many, ", ") + `}}}`, issuer: func(i *spec.Issuer) { i.Profile = "x" },
			want: []string{"error config profile of issuer.fake: "}, said: []string{`"p19" and 80 more profiles`}},
		"a profile's name from hell": {directory: `{"meta": {"profiles": {"a\u001b[2J` + strings.Repeat("x", 100) + `": ""}}}`, issuer: func(i *spec.Issuer) { i.Profile = "x" },
			want: []string{"error config profile of issuer.fake: "}, said: []string{"xxx…"}},
		"a binding is wanted": {directory: `{"meta": {"externalAccountRequired": true}}`,
			want: []string{"error config eab of issuer.fake: "}, said: []string{"externalAccountRequired", "add an eab block"}},
		"a binding is wanted, and there is an account": {directory: `{"meta": {"externalAccountRequired": true}}`, doc: registered},
		"a binding is wanted, and the store is away": {directory: `{"meta": {"externalAccountRequired": true}}`, unread: errors.New("403 permission denied"),
			want: []string{"warning config eab of issuer.fake: "}, said: []string{"403 permission denied"}},
		"a binding is there": {directory: `{"meta": {"externalAccountRequired": true}}`, issuer: func(i *spec.Issuer) {
			i.EAB = &spec.EAB{KeyID: spec.Value{Source: spec.Literal, Text: "id"}}
		}},
		"terms that are agreed to": {directory: `{"meta": {"termsOfService": "https://ca.example.net/terms-1"}}`, doc: registered},
		"other terms": {directory: `{"meta": {"termsOfService": "https://ca.example.net/terms-2"}}`, doc: registered,
			want: []string{"warning config terms of service of issuer.fake: "},
			said: []string{"https://ca.example.net/terms-2 now", "under those at https://ca.example.net/terms-1", "set terms of"}},
		"terms of an account of an earlier version": {directory: `{"meta": {"termsOfService": "https://ca.example.net/terms-2"}}`,
			doc: map[string]string{session.FieldURL: "https://ca.example.net/acct/1"}},
		"terms that are not agreed to": {directory: `{"meta": {"termsOfService": "https://ca.example.net/terms-2"}}`, issuer: func(i *spec.Issuer) { i.AgreeTOS = false },
			want: []string{"warning config terms of service of issuer.fake: "}, said: []string{"https://ca.example.net/terms-2", "terms_of_service_agreed = true"}},
		"no directory": {directory: `{"meta": {"profiles": []}}`, issuer: func(i *spec.Issuer) { i.Profile = "x" },
			want: []string{"error ca_unavailable https://ca.example.net/directory: "}, said: []string{"cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newClinic(t)
			k.directory, k.issuer.AgreeTOS = c.directory, true
			k.store.fail = c.unread
			if c.issuer != nil {
				c.issuer(k.issuer)
			}
			if c.doc != nil {
				k.store.docs[session.DocumentID(k.issuer.Directory, "", "")] = c.doc
			}
			found := k.ExamineDirectory(t.Context(), k.issuer)
			k.finds(name, k.texts(found), c.want...)
			for _, part := range c.said {
				var f *problem.Finding
				if len(found) == 0 || !errors.As(found[0], &f) || !strings.Contains(f.Error()+"; "+f.Advice(), part) {
					t.Errorf("it lacks %q: %v", part, found)
				}
			}
			for _, err := range found {
				if strings.ContainsAny(err.Error(), "\x1b\n") {
					t.Errorf("control characters of the CA's: %q", err)
				}
			}
		})
	}
}

// TestTermsThatTheCAInsistsOn checks that doctor finds a CA that rejects requests until
// its new terms are accepted (RFC 8555 section 7.3.3), before a renewal is due.
func TestTermsThatTheCAInsistsOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	var insists atomic.Bool
	r.opts.Transport = func(next http.RoundTripper) http.RoundTripper {
		return &faulty{next: next, answer: func(req *http.Request) *http.Response {
			if !insists.Load() || req.URL.String() != r.store.only(t)[session.FieldURL] {
				return nil
			}
			return reply(http.StatusForbidden, map[string]string{"Content-Type": "application/problem+json"}, problemBody("userActionRequired", "Terms of service have changed, see https://ca.example.net/agree"))
		}}
	}
	c := r.client()
	if err := c.CheckAccount(t.Context(), r.issuer); err != nil {
		t.Fatal(err)
	}
	if found := c.ExamineAccount(t.Context(), r.issuer); len(found) != 0 {
		t.Fatalf("nothing is wrong, and it found %v", found)
	}
	insists.Store(true)
	found := c.ExamineAccount(t.Context(), r.issuer)
	var f *problem.Finding
	if len(found) != 1 || !errors.As(found[0], &f) || ledger.Severity(f.Severity()) != ledger.SeverityError || ledger.Class(f.Class()) != ledger.ClassConfig || !strings.Contains(f.Error(), "https://ca.example.net/agree") {
		t.Errorf("found %v", found)
	}
}

// TestTermsAreKept checks that the account document stores the URL of the terms that
// were accepted.
func TestTermsAreKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	if err := c.CheckAccount(t.Context(), r.issuer); err != nil {
		t.Fatal(err)
	}
	id := session.DocumentID(r.issuer.Directory, "", "")
	terms := r.store.docs[id][session.FieldTerms]
	m, failed := c.cas.Meta(t.Context(), r.issuer, "asking")
	if failed != nil || terms == "" || terms != m.Terms {
		t.Errorf("the document says %q, the directory %q (%v)", terms, m.Terms, failed)
	}
	if found := c.ExamineDirectory(t.Context(), r.issuer); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	r.store.docs[id][session.FieldTerms] = "https://ca.example.net/earlier"
	if found := c.ExamineDirectory(t.Context(), r.issuer); len(found) != 1 {
		t.Errorf("found %v, want the other terms", found)
	}
	// Changing the contact does not accept new terms.
	changed := *r.issuer
	changed.Email = "other@example.com"
	if err := c.CheckAccount(t.Context(), &changed); err != nil {
		t.Fatal(err)
	}
	if stored := r.store.docs[id][session.FieldTerms]; stored != "https://ca.example.net/earlier" {
		t.Errorf("the terms are %q after a change of the contact", stored)
	}
}
