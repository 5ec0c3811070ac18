package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/acme"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/problem"
	"certroll/spec"
)

// TestResolvedSecretsAreStruck checks that a CA that quotes the external account
// binding, in plain text or base64, cannot bring it into an error of certroll.
func TestResolvedSecretsAreStruck(t *testing.T) {
	secrets := map[string]string{"KID": "key-id-of-the-account-0123", "HMAC": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
	c := New(nil, Options{Resolve: func(_ context.Context, v spec.Value) (string, error) { return secrets[v.Name], nil }})
	for name := range secrets {
		if _, err := c.resolve(t.Context(), spec.Value{Source: spec.FromEnv, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	said := "your key id is " + secrets["KID"] + ", the hmac " + secrets["HMAC"] + ", the header " +
		base64.StdEncoding.EncodeToString([]byte("user:"+secrets["HMAC"])) + ", the payload " +
		base64.RawURLEncoding.EncodeToString([]byte(`{"kid":"`+secrets["KID"]+`"}`))
	refusal := &acme.ProblemDetails{Type: problem.URN + "unauthorized", Detail: said, HTTPStatus: http.StatusForbidden}
	ours := ca.Explain(t.Context(), "opening", refusal, ca.Answer{Status: http.StatusForbidden}, time.Now())
	for what, err := range map[string]error{"error": c.struck(ours), "finding": c.struck(&problem.Finding{Why: ours}), "several": problem.StrikeAll(c.redact, []error{ours})[0]} {
		text := err.Error()
		for _, secret := range secrets {
			for _, form := range []string{secret, secret[:8], base64.StdEncoding.EncodeToString([]byte(secret))[:12]} {
				if strings.Contains(text, form) {
					t.Errorf("%s holds %q:\n%s", what, form, text)
				}
			}
		}
		if !strings.Contains(text, "your key id is [redacted], the hmac [redacted]") {
			t.Errorf("%s says %s", what, text)
		}
	}
	if err := c.struck(ours); !errors.Is(err, refusal) || problem.HasClass(err, "") {
		t.Errorf("what it was is lost: %v", err)
	}
	if c.struck(nil) != nil {
		t.Error("no error became one")
	}
}
