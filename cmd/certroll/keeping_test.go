package main

import (
	"net/http"
	"strings"
	"testing"

	"certroll/reconcile/ledger"
)

// TestSecretThatKeepsTooLittle: plan warns of limits that a secret has in addition to its mount's, without another
// request.
func TestSecretThatKeepsTooLittle(t *testing.T) {
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	limits := map[string]any{"max_versions": 1, "delete_version_after": "24h", "cas_required": true}
	if err := w.vault.API(t.Context(), http.MethodPost, "secret/metadata/tls/api", limits, nil); err != nil {
		t.Fatal(err)
	}
	out := strings.Join(strings.Fields(w.certroll(0, "plan")), " ")
	for _, want := range []string{
		"the secret secret/tls/api keeps one version (max_versions = 1 in its own metadata)", "vault kv metadata patch -mount=secret -max-versions=10 tls/api",
		"the secret secret/tls/api deletes each version after 24h0m0s (delete_version_after in its own metadata)", "cas_required in its own metadata",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
}

// TestSecretThatKeepsDisappearing: for a secret whose versions disappear, certroll orders one more certificate and no
// third.
func TestSecretThatKeepsDisappearing(t *testing.T) {
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	for range 4 {
		if err := w.vault.API(t.Context(), http.MethodDelete, "secret/data/tls/api", nil, nil); err != nil {
			t.Fatal(err)
		}
		w.certroll(0, "apply", "-auto-approve")
	}
	var meta struct {
		Data struct {
			Current int `json:"current_version"`
		}
	}
	if err := w.vault.API(t.Context(), http.MethodGet, "secret/metadata/tls/api", nil, &meta); err != nil {
		t.Fatal(err)
	}
	if meta.Data.Current != 2 {
		t.Errorf("the secret is at version %d, want 2", meta.Data.Current)
	}
	out := strings.Join(strings.Fields(w.certroll(0, "plan")), " ")
	for _, want := range []string{"secret/tls/api is gone again", "version 2 was deleted 20", "vault kv undelete -mount=secret -versions=2 tls/api"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
}

// TestMountThatKeepsTooLittle: before it writes anything, certroll warns of a mount that would delete the key in use,
// or the certificate before its expiry.
func TestMountThatKeepsTooLittle(t *testing.T) {
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("")
	if out := w.certroll(0, "plan"); strings.Contains(out, "Warning") {
		t.Errorf("a mount in order is warned of:\n%s", out)
	}
	config := map[string]any{"max_versions": 1, "delete_version_after": "48h"}
	if err := w.vault.API(t.Context(), http.MethodPost, "secret/config", config, nil); err != nil {
		t.Fatal(err)
	}
	out := strings.Join(strings.Fields(w.certroll(0, "plan")), " ")
	for _, want := range []string{
		"Warning: the mount secret/ keeps one version of a secret (max_versions = 1)", "vault write secret/config max_versions=10",
		"deletes each version after 48h0m0s (delete_version_after), the current one too", "Plan: 1 to issue.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
}

// TestDeletedSecretStands: a secret deleted while the CA is down shows as deleted, with the command that restores it
// without the CA. A destroyed secret shows no such command.
func TestDeletedSecretStands(t *testing.T) {
	t.Parallel()
	w, f := newLab(t).faulty(t, declare("", "api", "www", "web"))
	w.certroll(0, "apply", "-auto-approve")
	ordered, _ := f.answers()
	f.breaks(at(newOrder, problem(http.StatusServiceUnavailable, "serverInternal", "Service busy; retry later.")))
	call := func(method, path string, in any) {
		t.Helper()
		if err := w.vault.API(t.Context(), method, "secret/"+path, in, nil); err != nil {
			t.Fatal(err)
		}
	}
	first := map[string][]int{"versions": {1}}
	call(http.MethodDelete, "data/tls/api", nil)
	w.certroll(1, "apply", "-auto-approve")
	const undelete = "vault kv undelete -mount=secret -versions=1 tls/api"
	for _, args := range [][]string{{"status"}, {"status", "api"}} {
		if out := w.certroll(2, args...); !strings.Contains(out, "deleted") || !strings.Contains(strings.Join(strings.Fields(out), " "), undelete) {
			t.Errorf("%v says\n%s", args, out)
		}
	}
	if page := w.ledgerFile("STATUS.md"); !strings.Contains(page, "**deleted, page**") {
		t.Errorf("STATUS.md:\n%s", page)
	}
	call(http.MethodPost, "undelete/tls/api", first)
	w.certroll(0, "apply", "-auto-approve")
	if out := w.certroll(0, "status"); strings.Contains(out, "deleted") {
		t.Errorf("status after it was brought back:\n%s", out)
	}
	if made, _ := f.answers(); made != ordered {
		t.Errorf("%d orders for what was brought back", made-ordered)
	}

	call(http.MethodPut, "destroy/tls/www", first)
	w.certroll(1, "apply", "-auto-approve")
	if out := strings.Join(strings.Fields(w.certroll(2, "status", "www")), " "); !strings.Contains(out, "was destroyed") || strings.Contains(out, "undelete") {
		t.Errorf("status of what was destroyed:\n%s", out)
	}
	warned := 0
	for _, e := range w.audit() {
		if e.Operation == ledger.KindNote && e.Reason == ledger.ReasonDeleted && e.Severity == ledger.SeverityPage {
			warned++
		}
	}
	if warned != 2 {
		t.Errorf("%d events tell of two deletions", warned)
	}
}

// TestDeletedSecretIsHeld: a deleted secret whose reissue the brake holds shows as deleted, with the command that
// restores it and the exit code for it. The brake holds it because the other certificate changed on the same day.
func TestDeletedSecretIsHeld(t *testing.T) {
	t.Parallel()
	two := oneCertificate + strings.ReplaceAll(oneCertificate, "api", "www")
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": two})
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	w.push(map[string]string{"certs.hcl": strings.Replace(two, `"www.lab.test"`, `"www.lab.test", "more.lab.test"`, 1)}, "Another name")
	w.certroll(0, "apply", "-auto-approve")
	if err := w.vault.API(t.Context(), http.MethodDelete, "secret/data/tls/api", nil, nil); err != nil {
		t.Fatal(err)
	}
	if out := w.certroll(1, "apply", "-auto-approve"); !strings.Contains(out, "2 of 2 live certificates within 24 hours: 1 gone from Vault now, 1 changed earlier") {
		t.Fatalf("the brake does not hold it:\n%s", out)
	}
	w.certroll(1, "apply", "-auto-approve")
	const undelete = "vault kv undelete -mount=secret -versions=1 tls/api"
	for _, args := range [][]string{{"status"}, {"status", "api"}, {"expiring", "2000"}} {
		code := 2
		if args[0] == "expiring" {
			code = 1
		}
		if out := w.certroll(code, args...); !strings.Contains(out, "deleted") || !strings.Contains(strings.Join(strings.Fields(out), " "), undelete) {
			t.Errorf("%v says\n%s", args, out)
		}
	}
	if n := w.countEvents("note", "failure"); n != 1 {
		t.Errorf("%d events", n)
	}
	if err := w.vault.API(t.Context(), http.MethodPost, "secret/undelete/tls/api", map[string][]int{"versions": {1}}, nil); err != nil {
		t.Fatal(err)
	}
	w.certroll(0, "apply", "-auto-approve")
	w.certroll(0, "status")
}
