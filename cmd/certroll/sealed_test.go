package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"certroll/examples/lab/labtest"
)

// TestVaultGoesAwayInAPass: Vault is sealed, or the token is revoked, at the nth finalization of many certificates. The
// ledger gets one event and its end. No certificate fails, and none is ordered twice, unless Vault did not store its
// order's URL.
func TestVaultGoesAwayInAPass(t *testing.T) {
	sideBySide(t, map[string]func(*testing.T, *world){
		"apply, sealed":            func(t *testing.T, l *world) { applyWithoutVault(t, l, 20, 7, false) },
		"apply, token revoked":     func(t *testing.T, l *world) { applyWithoutVault(t, l, 10, 4, true) },
		"run, another token comes": logsInWithinThePass,
	})
}

// nth calls do at the nth request to a resource, before the CA responds.
func nth(path string, n int32, do func()) caFault {
	var seen atomic.Int32
	return func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, path) && seen.Add(1) == n {
			do()
		}
		return false
	}
}

// crowdOf returns a world with its own Vault and n certificates to issue. certroll reads its token from a file.
func crowdOf(t *testing.T, l *world, n int) (w *world, f *front, names []string) {
	t.Helper()
	own := *l
	own.vault = labtest.Vault(t)
	own.vaultAddr = own.vault.Addr
	for i := range n {
		names = append(names, fmt.Sprintf("c%02d", i))
	}
	w, f = own.faulty(t, declare("", names...))
	w.prefix = "certroll" // the policy's prefix
	w.settings("interval = \"1s\"\nlisten = \"127.0.0.1:0\"\n")
	w.logsInBy(fmt.Sprintf("auth \"token-file\" {\n    token_file = %q\n  }", w.tokenFile()))
	w.handOut()
	return w, f, names
}

// logsInBy adds an auth block to the settings.
func (w *world) logsInBy(auth string) {
	w.t.Helper()
	w.editSettings(func(text string) string { return strings.Replace(text, "\nvault {\n", "\nvault {\n  "+auth+"\n", 1) })
}

func (w *world) tokenFile() string { return filepath.Join(w.dir, "token") }

// handOut writes a token with the policy for apply into certroll's token file.
func (w *world) handOut() {
	w.t.Helper()
	w.token = newToken(w.t, w.vault, "apply", applyPolicy(w.t))
	if err := os.WriteFile(w.tokenFile(), []byte(w.token), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func applyPolicy(t testing.TB) string {
	t.Helper()
	rules, err := os.ReadFile("../../examples/vault-policies/apply.hcl")
	if err != nil {
		t.Fatal(err)
	}
	return string(rules)
}

// loses seals Vault, or revokes certroll's token, at the nth finalization. back restores access.
func (w *world) loses(f *front, n int32, revoked bool) (back func()) {
	lose, back := func() error { return w.vault.Seal(w.t.Context()) }, func() {
		if err := w.vault.Unseal(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	if revoked {
		lose = func() error {
			return w.vault.API(w.t.Context(), http.MethodPost, "auth/token/revoke", map[string]any{"token": w.token}, nil)
		}
		back = w.handOut
	}
	f.breaks(nth(finalization, n, func() {
		if err := lose(); err != nil {
			w.t.Error(err)
		}
	}))
	return back
}

// isOneProblem requires one event and its end, and that all certificates are issued without a failure.
func (w *world) isOneProblem(names []string) {
	w.t.Helper()
	if n, over := w.countEvents("pass", "failure"), w.countEvents("pass", "success"); n != 1 || over != 1 {
		w.t.Errorf("%d events tell that Vault is away, %d that it is back; want one each", n, over)
	}
	for _, name := range names {
		w.tells(name, "issue success")
		w.checkPair("tls/"+name, name+".lab.test")
	}
	w.noPending()
}

// keptOrders counts the certificates that are live or have an order in their pending secret.
func (w *world) keptOrders(names []string) (n int) {
	w.t.Helper()
	for _, name := range names {
		var s struct {
			Data struct {
				Data map[string]string `json:"data"`
			} `json:"data"`
		}
		// The API returns an error for a missing secret.
		if w.vault.API(w.t.Context(), http.MethodGet, "secret/data/tls/"+name, nil, &s) == nil && s.Data.Data["fullchain"] != "" ||
			w.vault.API(w.t.Context(), http.MethodGet, "secret/data/certroll/pending/"+name, nil, &s) == nil && s.Data.Data["order_url"] != "" {
			n++
		}
	}
	return n
}

func applyWithoutVault(t *testing.T, l *world, n int, at int32, revoked bool) {
	w, f, names := crowdOf(t, l, n)
	back := w.loses(f, at, revoked)
	words := "Vault is sealed"
	if revoked {
		words = "the token is not valid any more"
	}
	said := w.says(applyNow, "0 failed", "left to the next run", "Vault cannot be used since", words)
	if strings.Count(said, words) > 2 { // in the error, and in the warning about the checkpoint
		t.Errorf("it says so more than once or twice:\n%s", said)
	}
	back()
	ordered, _ := f.answers()
	lost := ordered - w.keptOrders(names)
	w.expireLease() // the failure prevented its release
	w.certroll(0, "apply", "-auto-approve")
	w.isOneProblem(names)
	if made, _ := f.answers(); made != n+lost {
		t.Errorf("%d orders for %d certificates, of which Vault did not take %d URLs", made, n, lost)
	}
}

func runWithoutVault(t *testing.T, l *world, n int, at int32, revoked bool) {
	w, f, names := crowdOf(t, l, n)
	back := w.loses(f, at, revoked)
	cmd, out := w.startRun()
	w.until("the address", out, func() bool { return strings.Contains(out.String(), "msg=listening") })
	home := "http://" + regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())[1]
	const reachable = "certroll_reachable{side=\"vault\"} "
	w.until("that Vault is away", out, func() bool { return strings.Contains(get(t, home+"/metrics"), reachable+"0") })
	w.until("the event", out, func() bool { return w.countEvents("pass", "failure") > 0 })
	if ready, page := answerOf(t, home+"/readyz"), get(t, home+"/status.json"); !strings.Contains(ready, "vault") && !strings.Contains(ready, "Vault") || !strings.Contains(page, "vault") {
		t.Errorf("/readyz says %q, the page %s", ready, page)
	}
	back()
	w.until("the certificates", out, func() bool { return w.countEvents("issue", "success") == n && w.countEvents("pass", "success") > 0 })
	w.until("that Vault is back", out, func() bool {
		return strings.Contains(get(t, home+"/metrics"), reachable+"1") && answerOf(t, home+"/readyz") == "ok"
	})
	w.stopRun(cmd, out)
	w.isOneProblem(names)
	f.orders(f.count(newOrder), n)
	if failed := strings.Count(out.String(), "msg=action") - strings.Count(out.String(), "status=success"); failed > 0 {
		t.Errorf("%d actions failed:\n%s", failed, out)
	}
}

// answerOf returns the response body of a path, whatever the status.
func answerOf(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// logsInWithinThePass: if the auth method issues another token, the pass completes, and nothing is recorded as a
// problem.
func logsInWithinThePass(t *testing.T, l *world) {
	w, f, names := crowdOf(t, l, 10)
	api := func(path string, in, out any) {
		t.Helper()
		if err := w.vault.API(t.Context(), http.MethodPost, path, in, out); err != nil {
			t.Fatal(err)
		}
	}
	api("sys/auth/approle", map[string]any{"type": "approle"}, nil)
	api("auth/approle/role/certroll", map[string]any{"token_policies": []string{labtest.Policy(t, w.vault, "apply", applyPolicy(t))}, "token_ttl": "1h"}, nil)
	var role, secret struct {
		Data struct {
			RoleID   string `json:"role_id"`
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	if err := w.vault.API(t.Context(), http.MethodGet, "auth/approle/role/certroll/role-id", nil, &role); err != nil {
		t.Fatal(err)
	}
	api("auth/approle/role/certroll/secret-id", nil, &secret)
	secretFile := filepath.Join(w.dir, "secret-id")
	if err := os.WriteFile(secretFile, []byte(secret.Data.SecretID), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen atomic.Value // certroll's current token
	vault := reverse(t, w.vault.Addr, "", nil)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if token := req.Header.Get("X-Vault-Token"); token != "" {
			seen.Store(token)
		}
		vault.ServeHTTP(rw, req)
	}))
	t.Cleanup(server.Close)
	w.vaultAddr = server.URL
	w.settings("interval = \"1s\"\n")
	w.logsInBy(fmt.Sprintf("auth \"approle\" {\n    role_id        = %q\n    secret_id_file = %q\n  }", role.Data.RoleID, secretFile))
	f.breaks(nth(finalization, 4, func() { api("auth/token/revoke", map[string]any{"token": seen.Load()}, nil) }))
	cmd, out := w.startRun()
	w.until("the certificates", out, func() bool { return w.countEvents("issue", "success") == len(names) })
	w.stopRun(cmd, out)
	if !strings.Contains(out.String(), "Vault rejected the token; logged in again") {
		t.Errorf("no token died:\n%s", out)
	}
	w.once(f, names...)
	if n := w.countEvents("pass", "failure"); n > 0 {
		t.Errorf("%d events tell of a token that had a successor", n)
	}
}
