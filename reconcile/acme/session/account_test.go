package session

import (
	"context"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/spec"
)

func TestAccountID(t *testing.T) {
	const ca = "https://ca.example.com/directory"
	base := DocumentID(ca, "", "")
	if !strings.HasPrefix(base, "ca.example.com-") || len(base) != len("ca.example.com-")+16 {
		t.Errorf("got the id %q", base)
	}
	for name, id := range map[string]string{
		"an account of its own": DocumentID(ca, "team", ""),
		"another CA":            DocumentID("https://ca.example.com/staging", "", ""),
		"an external account":   DocumentID(ca, "", "kid"),
		"the former kind":       FormerDocumentID(ca, "", ""),
	} {
		if id == base {
			t.Errorf("%s: the id is the same, %s", name, id)
		}
	}
	if got := DocumentID("https://127.0.0.1:14000/dir", "", ""); !strings.HasPrefix(got, "127.0.0.1-14000-") {
		t.Errorf("got the id %q", got)
	}
	// The ID that an earlier certroll used.
	if got := FormerDocumentID(ca, "Ops@Example.com", ""); got != FormerDocumentID(ca, "ops@example.com", "") || got == FormerDocumentID(ca, "dev@example.com", "") {
		t.Errorf("got the former id %q", got)
	}
}

// TestTakeOverAccounts checks that certroll uses the account documents of an earlier
// version and leaves them in place.
func TestTakeOverAccounts(t *testing.T) {
	const ca = "https://ca.example.com/directory"
	formerly := func(email, eab, created string) (string, map[string]string) {
		return FormerDocumentID(ca, email, eab), map[string]string{FieldDirectory: ca, FieldContact: email, fieldEAB: eab, FieldKey: "key of " + email, fieldCreated: created}
	}
	ops, opsDoc := formerly("ops@example.com", "", "2026-02-01T00:00:00Z")
	dev, devDoc := formerly("dev@example.com", "", "2026-01-01T00:00:00Z")
	kid, kidDoc := formerly("ops@example.com", "kid", "2026-01-01T00:00:00Z")
	other, otherDoc := FormerDocumentID("https://other.example.com/dir", "ops@example.com", ""), map[string]string{FieldDirectory: "https://other.example.com/dir", FieldKey: "x"}
	own, team := DocumentID(ca, "", ""), DocumentID(ca, "team", "")
	type docs = map[string]map[string]string
	pointer := func(to string) map[string]string { return map[string]string{FieldDirectory: ca, fieldDocument: to} }
	cases := map[string]struct {
		docs    docs
		issuer  spec.Issuer
		eab     string
		want    string // ID of the document
		there   bool
		pointer string // ID of the new pointer document
	}{
		"nothing":                   {docs{other: otherDoc}, spec.Issuer{Email: "ops@example.com"}, "", own, false, ""},
		"the same email":            {docs{ops: opsDoc, dev: devDoc}, spec.Issuer{Email: "Ops@example.com"}, "", ops, true, own},
		"another email":             {docs{ops: opsDoc}, spec.Issuer{Email: "new@example.com"}, "", ops, true, own},
		"another email, several":    {docs{ops: opsDoc, dev: devDoc}, spec.Issuer{Email: "new@example.com"}, "", dev, true, own},
		"another external account":  {docs{ops: opsDoc}, spec.Issuer{Email: "ops@example.com"}, "kid", DocumentID(ca, "", "kid"), false, ""},
		"the same external account": {docs{ops: opsDoc, kid: kidDoc}, spec.Issuer{Email: "new@example.com"}, "kid", kid, true, DocumentID(ca, "", "kid")},
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
			accounts := New(store, nil, Options{Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
			tc.issuer.Directory = ca
			for range 2 { // a second call finds the same document
				id, doc, err := accounts.locate(t.Context(), &tc.issuer, tc.eab, true)
				if err != nil || id != tc.want || (doc != nil) != tc.there {
					t.Fatalf("got %s, %v, %v; want %s, there: %v", id, doc, err, tc.want, tc.there)
				}
				// A document created in the meantime changes nothing.
				store[FormerDocumentID(ca, "late@example.com", tc.eab)] = map[string]string{FieldDirectory: ca, fieldEAB: tc.eab, FieldKey: "late", fieldCreated: "2025-01-01T00:00:00Z"}
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

// shelf is a Store that keeps documents for one test.
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
