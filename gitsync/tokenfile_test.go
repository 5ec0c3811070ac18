package gitsync

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"certroll/gitsync/fault"
	"certroll/gitsync/remote"
	"certroll/spec/redact"
)

// TestTokenFile: an operator rotates a token while the process runs. The next connection uses the new token, and no
// message shows either one.
func TestTokenFile(t *testing.T) {
	p := newProxy(t)
	wanted := secret()
	serverWants := func(w http.ResponseWriter, r *http.Request, pass func()) {
		_, sent, _ := r.BasicAuth()
		if sent != wanted {
			http.Error(w, "no entry with "+sent+" in "+r.Header.Get("Authorization"), http.StatusForbidden)
			return
		}
		r.SetBasicAuth(p.auth.Username, p.auth.Token)
		pass()
	}
	p.set(serverWants)
	file := filepath.Join(t.TempDir(), "token")
	put := func(token string) { must(t, os.WriteFile(file, []byte(token+"\n"), 0o600)) }
	put(wanted)
	through := p.place
	through.auth = remote.Auth{Username: "bot", TokenFile: file, CABundle: p.auth.CABundle}
	l := through.ledger(t, LedgerOptions{})
	s := through.source(t, SourceOptions{Ref: "certroll/status"})
	commit(t, l, write(map[string]string{"a.hcl": "1"}))
	fetch(t, s)

	old := wanted
	wanted = secret()
	_, err := l.Commit(t.Context(), "m", write(map[string]string{"a.hcl": "2"}))
	failure(t, err, fault.Denied, redact.Struck)
	put(wanted)
	commit(t, l, write(map[string]string{"a.hcl": "2"}))
	if got := contents(fetch(t, s)); got != "a.hcl=2" {
		t.Errorf("got %s", got)
	}

	// A server's message can still contain the old token.
	p.set(func(w http.ResponseWriter, r *http.Request, _ func()) {
		http.Error(w, "revoked: "+old+", sent: "+r.Header.Get("Authorization"), http.StatusForbidden)
	})
	_, err = l.Commit(t.Context(), "m", write(map[string]string{"a.hcl": "3"}))
	failure(t, err, fault.Denied, "revoked: "+redact.Struck)
	for _, s := range append(sentForms("bot", wanted), old) {
		if strings.Contains(err.Error(), s) {
			t.Errorf("a token is shown: %v", err)
		}
	}

	put("")
	_, err = l.Commit(t.Context(), "m", write(map[string]string{"a.hcl": "3"}))
	failure(t, err, fault.Invalid, file, "it is empty")
	must(t, os.Remove(file))
	_, err = s.Fetch(t.Context())
	failure(t, err, fault.Invalid, file, "no such file")
	_, err = OpenLedger(LedgerOptions{URL: p.url, Auth: through.auth})
	failure(t, err, fault.Invalid, file, "no such file")
}

// TestTokenFileIsNone: a pipe or device in place of the token file gives an error in bounded time.
func TestTokenFileIsNone(t *testing.T) {
	dir := t.TempDir()
	silent, quiet := filepath.Join(dir, "silent"), filepath.Join(dir, "quiet")
	must(t, syscall.Mkfifo(silent, 0o600))
	must(t, syscall.Mkfifo(quiet, 0o600))
	pipe, err := os.OpenFile(quiet, os.O_RDWR, 0)
	must(t, err)
	defer func() { _ = pipe.Close() }()
	for file, want := range map[string]string{silent: "it is empty", quiet: "timeout", "/dev/zero": "more than"} {
		done := make(chan error, 1)
		go func() {
			_, err := OpenSource(SourceOptions{URL: "https://git.example.com/a.git", Auth: remote.Auth{TokenFile: file}})
			done <- err
		}()
		select {
		case err := <-done:
			failure(t, err, fault.Invalid, "reading the Git token "+file, want)
		case <-time.After(soon):
			t.Fatalf("%s is waited for", file)
		}
	}
}

// TestCABundleFile: certroll reads the bundle again when its file changes.
func TestCABundleFile(t *testing.T) {
	p := newProxy(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, []byte(p.auth.CABundle), 0o600))
	through := p.place
	through.auth.CABundle, through.auth.CABundleFile = "", file
	l := through.ledger(t, LedgerOptions{})
	commit(t, l, write(map[string]string{"a.hcl": "1"}))
	s := through.source(t, SourceOptions{Ref: "certroll/status"})
	fetch(t, s)
	must(t, os.WriteFile(file, nil, 0o600))
	_, err := s.Fetch(t.Context())
	failure(t, err, fault.Invalid, "it is empty")
	must(t, os.WriteFile(file, []byte(p.auth.CABundle), 0o600))
	if got := contents(fetch(t, s)); got != "a.hcl=1" {
		t.Errorf("got %s", got)
	}
}
