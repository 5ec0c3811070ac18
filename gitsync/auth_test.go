package gitsync

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"certroll/gitsync/remote"
)

// TestAuthShowsNoSecret: no way of printing an Auth shows a secret.
func TestAuthShowsNoSecret(t *testing.T) {
	a := remote.Auth{Username: "bot", Token: secret(), SSHKeyFile: "/keys/id", SSHKeyPassphrase: secret()}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "auth", a, "pointer", &a, "options", SourceOptions{Auth: a})
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "auth", a, "pointer", &a, "options", LedgerOptions{Auth: a})
	asJSON, err := json.Marshal(map[string]any{"a": a, "p": &a})
	must(t, err)
	shown := []string{logged.String(), string(asJSON), a.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		shown = append(shown, fmt.Sprintf(verb, a), fmt.Sprintf(verb, &a), fmt.Sprintf(verb, struct{ A remote.Auth }{a}))
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

// sentForms returns the forms in which certroll sends a token to a server.
func sentForms(user, token string) []string {
	return []string{token, url.QueryEscape(token), base64.StdEncoding.EncodeToString([]byte(user + ":" + token))}
}
