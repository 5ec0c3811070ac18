package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const webhookSecret = "a secret of this test alone"

func signed(body string) string {
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// TestSignatureOfGitHubsExample is the one that GitHub's documentation gives to
// test implementations with.
func TestSignatureOfGitHubsExample(t *testing.T) {
	h := http.Header{"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}}
	if !webhookKinds["github"](h, []byte("Hello, World!"), "It's a Secret to Everybody") {
		t.Error("it is refused")
	}
}

func TestWebhooks(t *testing.T) {
	push, ledger := `{"ref":"refs/heads/main"}`, `{"ref":"refs/heads/certroll/status"}`
	cases := map[string]struct {
		kind, header, value string
		body                string
		status              int
		told                bool
	}{
		"GitHub":                   {"github", "X-Hub-Signature-256", "sha256=" + signed(push), push, 202, true},
		"GitHub, another branch":   {"github", "X-Hub-Signature-256", "sha256=" + signed(`{"ref":"refs/heads/topic"}`), `{"ref":"refs/heads/topic"}`, 202, false},
		"GitHub, the ledger":       {"github", "X-Hub-Signature-256", "sha256=" + signed(ledger), ledger, 202, false},
		"GitHub, a ping":           {"github", "X-Hub-Signature-256", "sha256=" + signed(`{"zen":"x"}`), `{"zen":"x"}`, 202, true},
		"GitHub, unsigned":         {"github", "X-Other", "", push, 403, false},
		"GitHub, empty signature":  {"github", "X-Hub-Signature-256", "sha256=", push, 403, false},
		"GitHub, another's":        {"github", "X-Hub-Signature-256", "sha256=" + signed(ledger), push, 403, false},
		"GitHub, without a prefix": {"github", "X-Hub-Signature-256", signed(push), push, 403, false},
		"GitLab":                   {"gitlab", "X-Gitlab-Token", webhookSecret, push, 202, true},
		"GitLab, a wrong token":    {"gitlab", "X-Gitlab-Token", webhookSecret + "x", push, 403, false},
		"GitLab, no token":         {"gitlab", "X-Other", "", push, 403, false},
		"Gitea":                    {"gitea", "X-Gitea-Signature", signed(push), push, 202, true},
		"Forgejo":                  {"forgejo", "X-Forgejo-Signature", signed(push), push, 202, true},
		"Forgejo, not hex":         {"forgejo", "X-Forgejo-Signature", "zz", push, 403, false},
		"generic":                  {"generic", "X-Certroll-Signature", "sha256=" + signed(push), push, 202, true},
		"generic, without a ref":   {"generic", "X-Certroll-Signature", "sha256=" + signed(""), "", 202, true},
	}
	t.Setenv("CERTROLL_TEST_WEBHOOK", webhookSecret)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			told := make(chan struct{}, 1)
			w := &webhook{
				settings: &webhookSettings{Kind: tc.kind, SecretEnv: "CERTROLL_TEST_WEBHOOK"}, sealed: webhookKinds[tc.kind],
				ref: "main", ledger: "certroll/status", told: told, room: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler),
			}
			req := httptest.NewRequest(http.MethodPost, "/webhooks/"+tc.kind, strings.NewReader(tc.body))
			req.Header.Set(tc.header, tc.value)
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, req)
			if rec.Code != tc.status || len(told) == 1 != tc.told {
				t.Errorf("status %d, told %v; want %d, %v", rec.Code, len(told) == 1, tc.status, tc.told)
			}
		})
	}
}

// FuzzWebhook: no delivery without the secret is believed, whatever it says.
func FuzzWebhook(f *testing.F) {
	f.Add("github", "sha256=00", []byte(`{"ref":"refs/heads/main"}`))
	f.Add("gitlab", "", []byte("{"))
	f.Setenv("CERTROLL_TEST_WEBHOOK", webhookSecret)
	headers := map[string]string{"github": "X-Hub-Signature-256", "gitlab": "X-Gitlab-Token", "gitea": "X-Gitea-Signature", "forgejo": "X-Forgejo-Signature", "generic": "X-Certroll-Signature"}
	f.Fuzz(func(t *testing.T, kind, proof string, body []byte) {
		if headers[kind] == "" || strings.HasSuffix(proof, signed(string(body))) || proof == webhookSecret {
			t.Skip()
		}
		told := make(chan struct{}, 1)
		w := &webhook{settings: &webhookSettings{Kind: kind, SecretEnv: "CERTROLL_TEST_WEBHOOK"}, sealed: webhookKinds[kind], told: told, room: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler)}
		req := httptest.NewRequest(http.MethodPost, "/webhooks/"+kind, bytes.NewReader(body))
		req.Header[headers[kind]] = []string{proof}
		rec := httptest.NewRecorder()
		if w.ServeHTTP(rec, req); rec.Code != http.StatusForbidden || len(told) > 0 {
			t.Errorf("status %d, told %d", rec.Code, len(told))
		}
	})
}

// TestPushToApplied: a signed delivery brings what was pushed into Vault, long
// before the next pull.
func TestPushToApplied(t *testing.T) {
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`
interval = "1h"
listen   = "127.0.0.1:0"
webhook "forgejo" { secret_file = "` + filepath.Join(w.dir, "webhook-secret") + `" }`)
	if err := os.WriteFile(filepath.Join(w.dir, "webhook-secret"), []byte(webhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := w.startRun()
	w.until("the first certificate", out, func() bool { return w.told("issue", "success") == 1 })
	address := regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())[1]
	w.push(map[string]string{"more.hcl": strings.ReplaceAll(oneCertificate, "api", "more")}, "Declare another")
	pushed := time.Now()
	if got := deliver(t, address, "forgejo", http.Header{"X-Forgejo-Signature": {signed("{}")}}, "{}"); got != http.StatusAccepted {
		t.Fatalf("the delivery was answered with %d:\n%s", got, out)
	}
	w.until("the second certificate", out, func() bool { return w.told("issue", "success") == 2 })
	t.Logf("from the push to the ledger: %s", time.Since(pushed).Round(time.Millisecond))
	if got := deliver(t, address, "forgejo", nil, "{}"); got != http.StatusForbidden {
		t.Errorf("a delivery without a signature was answered with %d", got)
	}
	w.stopRun(cmd, out)
	if strings.Contains(out.String(), webhookSecret) {
		t.Error("the log holds the secret")
	}
}

func deliver(t *testing.T, address, kind string, h http.Header, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/webhooks/"+kind, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if h != nil {
		req.Header = h
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
