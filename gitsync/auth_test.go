package gitsync

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"certroll/spec/redact"
)

// However somebody prints it, an Auth shows no secret.
func TestAuthShowsNoSecret(t *testing.T) {
	a := Auth{Username: "bot", Token: secret(), SSHKeyFile: "/keys/id", SSHKeyPassphrase: secret()}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "auth", a, "pointer", &a, "options", SourceOptions{Auth: a})
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "auth", a, "pointer", &a, "options", LedgerOptions{Auth: a})
	asJSON, err := json.Marshal(map[string]any{"a": a, "p": &a})
	must(t, err)
	shown := []string{logged.String(), string(asJSON), a.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		shown = append(shown, fmt.Sprintf(verb, a), fmt.Sprintf(verb, &a), fmt.Sprintf(verb, struct{ A Auth }{a}))
	}
	for _, s := range shown {
		if strings.Contains(s, a.Token) || strings.Contains(s, a.SSHKeyPassphrase) {
			t.Errorf("a secret is shown: %s", s)
		}
	}
	if !strings.Contains(a.String(), "bot") || !strings.Contains(a.String(), "/keys/id") {
		t.Errorf("what is no secret is missing: %s", a)
	}
}

// A server may send back what it was sent, in whatever form.
func TestRedactor(t *testing.T) {
	token := rand.Text() + "/+ =" + rand.Text()
	for name, a := range map[string]Auth{"user": {Username: "bot", Token: token}, "no user": {Token: token}} {
		t.Run(name, func(t *testing.T) {
			for _, form := range []string{
				token, url.QueryEscape(token), url.PathEscape(token),
				base64.StdEncoding.EncodeToString([]byte(a.user() + ":" + token)),
			} {
				if got, want := newRedactor(a).Strike("before "+form+" after"), "before "+redact.Struck+" after"; got != want {
					t.Errorf("%s became %s", form, got)
				}
			}
		})
	}
	// One secret inside another leaves nothing of either.
	a := Auth{Token: rand.Text()}
	a.SSHKeyPassphrase = a.Token + rand.Text()
	if got := newRedactor(a).Strike(a.SSHKeyPassphrase); got != redact.Struck {
		t.Errorf("got %s", got)
	}
}

// sentForms are the forms in which a token goes to a server.
func sentForms(user, token string) []string {
	return []string{token, url.QueryEscape(token), base64.StdEncoding.EncodeToString([]byte(user + ":" + token))}
}
