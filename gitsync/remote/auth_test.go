package remote

import (
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/gitsync/gitsynctest"
	"certroll/spec/redact"
)

// TestRedactor: a server can send a secret back in any form.
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
	// If one secret contains another, nothing of either remains.
	a := Auth{Token: rand.Text()}
	a.SSHKeyPassphrase = a.Token + rand.Text()
	if got := newRedactor(a).Strike(a.SSHKeyPassphrase); got != redact.Struck {
		t.Errorf("got %s", got)
	}
}

// TestTokenFileOfAnEditor: bytes that editors on Windows add to a token file are reported before certroll contacts the
// remote.
func TestTokenFileOfAnEditor(t *testing.T) {
	for value, want := range map[string]string{"\ufefftok3n": "byte order mark", "t\x00o\x00k": "not UTF-8", "tok3n \r\n": ""} {
		file := filepath.Join(t.TempDir(), "token")
		gitsynctest.Must(t, os.WriteFile(file, []byte(value), 0o600))
		token, err := Auth{TokenFile: file}.currentToken()
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && token != "tok3n" {
			t.Errorf("%q: %q, %v", value, token, err)
		}
	}
}
