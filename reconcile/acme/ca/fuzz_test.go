package ca

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-acme/lego/v4/acme"

	"certroll/reconcile/acme/problem"
	"certroll/spec/redact"
)

// FuzzProblem checks that every CA answer maps to a class, to a one-line message
// without signed tokens, and to a bounded retry time.
func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many, retry after 2026-11-24 12:00:00 UTC","status":429}`), "60")
	f.Add([]byte(`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"https://ca.example.com/unpause?jwt=eyJhbGciOi.J9.x","status":429}`), "")
	f.Add([]byte(`{"type":"urn:ietf:params:acme:error:malformed","detail":"\u001b[2J","status":400,"subproblems":[{"type":"caa","detail":"a\nb","identifier":{"type":"dns","value":"x"}}]}`), "Mon, 23 Nov 2026 12:01:00 GMT")
	f.Add([]byte(`{"type":"x","detail":"retry after 9999-11-24 12:00:00 UTC"}`), "99999999999999")
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte, retryAfter string) {
		var p acme.ProblemDetails
		if json.Unmarshal(body, &p) != nil {
			return
		}
		if class, advice := problem.ValidationClass(&p); class == "" || advice == "" {
			t.Errorf("class %q, advice %q", class, advice)
		}
		e := Explain(t.Context(), "ordering", &p, Answer{Status: p.HTTPStatus, RetryAfter: retryAfter}, now)
		if e.Class() == "" || e.Advice == "" {
			t.Errorf("class %q, advice %q", e.Class(), e.Advice)
		}
		if e.RetryAt().After(now.Add(problem.RetryLimit)) {
			t.Errorf("it is to wait until %s", e.RetryAt())
		}
		said := e.Error()
		if len(said) > problem.LongestWords+1000 || !utf8.ValidString(said) || strings.ContainsFunc(said, unicode.IsControl) || redact.Tokens(said) != said {
			t.Errorf("%d bytes are said: %.200q", len(said), said)
		}
	})
}
