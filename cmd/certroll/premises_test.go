package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/view"
	"certroll/examples/lab"
	"certroll/reconcile/ledger"
)

// before puts a proxy in front of Vault that modifies its responses.
func (w *world) before(spoil func(*http.Response) error) {
	w.t.Helper()
	target, err := url.Parse(w.vault.Addr)
	if err != nil {
		w.t.Fatal(err)
	}
	front := httputil.NewSingleHostReverseProxy(target)
	front.ModifyResponse = spoil
	s := httptest.NewServer(front)
	w.t.Cleanup(s.Close)
	w.vaultAddr = s.URL
}

// may makes Vault report only these capabilities of the token on a path, and full capabilities elsewhere.
func may(path string, capabilities ...string) func(*http.Response) error {
	return func(r *http.Response) error {
		if !strings.HasSuffix(r.Request.URL.Path, "/sys/capabilities-self") {
			return nil
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return err
		}
		for at := range body["data"].(map[string]any) {
			if strings.HasPrefix(at, path) {
				body["data"].(map[string]any)[at] = capabilities
			}
		}
		b, err := json.Marshal(body)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(b))), int64(len(b))
		r.Header.Del("Content-Length")
		return err
	}
}

// TestDoctorChecksWhatAnApplyNeeds: doctor finds each problem that would stop an apply or leave it half done, before
// anything is ordered. Without a problem it reports none.
func TestDoctorChecksWhatAnApplyNeeds(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for name, test := range map[string]struct {
		spoil    func(w *world)
		settings string
		severity ledger.Severity
		about    string
		says     string
	}{
		"nothing is wrong": {},
		"a path that the token may not write": {
			spoil: func(w *world) { w.before(may("secret/data/tls/api", "read")) }, severity: ledger.SeverityError,
			about: "secret/data/tls/api", says: `path "secret/data/tls/api" { capabilities = ["create", "read", "update"] }`,
		},
		"metadata that the token may not write": {
			spoil: func(w *world) { w.before(may("secret/metadata/certroll/pending", "read", "list")) }, severity: ledger.SeverityError,
			about: "secret/metadata/certroll/pending/any", says: "may not create, update, delete",
		},
		"a token that only reads": {
			spoil: func(w *world) { w.before(may("", "read")) }, severity: ledger.SeverityWarning, about: "the Vault token", says: "not the token of apply or run",
		},
		"a ref in the way of the ledger": {
			spoil: func(w *world) {
				if err := lab.Push(w.t.Context(), w.repo, "certroll", map[string]string{"README": ""}, "Say"); err != nil {
					w.t.Fatal(err)
				}
			}, severity: ledger.SeverityError, about: "the ledger", says: "refs/heads/certroll",
		},
		"a clock that is far off": {
			spoil: func(w *world) {
				w.before(func(r *http.Response) error {
					r.Header.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
					return nil
				})
			}, severity: ledger.SeverityError, about: "the clock of Vault", says: "ahead of it",
		},
		"a state directory that is a file": {
			spoil: func(w *world) {
				if err := os.WriteFile(filepath.Join(w.dir, "state"), nil, 0o600); err != nil {
					w.t.Fatal(err)
				}
			}, severity: ledger.SeverityError, about: "state_dir", says: "cannot be a directory",
		},
		"a destination without its secret": {
			settings: "notify \"ops\" {\n  webhook    = \"https://hooks.example.com/x\"\n  secret_env = \"CERTROLL_TEST_NO_SUCH\"\n}\n",
			severity: ledger.SeverityError, about: "notify ops", says: "CERTROLL_TEST_NO_SUCH",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := l.fresh(t, map[string]string{"certs.hcl": oneCertificate})
			if test.spoil != nil {
				test.spoil(w)
			}
			w.settings(test.settings)
			code := 0
			if test.severity == ledger.SeverityError {
				code = 1
			}
			x := w.found(code, "-no-canary")
			var mine []ledger.Finding
			for _, f := range x.Findings {
				if f.Severity == ledger.SeverityError || f.Severity == test.severity {
					mine = append(mine, f)
				}
			}
			if test.about == "" {
				if x.Errors != 0 {
					t.Errorf("found: %+v", mine)
				}
				return
			}
			if !hasFinding(x, test.severity, test.about, test.says) {
				t.Errorf("not found: %s; found: %+v", test.about, x.Findings)
			}
		})
	}
}

func hasFinding(x view.Examination, severity ledger.Severity, about, says string) bool {
	for _, f := range x.Findings {
		if f.Severity == severity && f.About == about && strings.Contains(f.Message+" "+f.Advice, says) {
			return true
		}
	}
	return false
}
