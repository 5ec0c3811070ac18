package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/cmd/certroll/planfile"
	"certroll/examples/lab/labtest"
	"certroll/gitsync"
)

// TestPlanFile: apply FILE executes the plan. If Vault or the config repo has changed since, it does nothing.
func TestPlanFile(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": twoCertificates})
	w.settings("")

	w.certroll(0, "plan", "-out", "first.plan")
	file, err := os.ReadFile(filepath.Join(w.dir, "first.plan"))
	if err != nil {
		t.Fatal(err)
	}
	w.noSecrets(string(file))

	// Another apply executes one of the two actions. Then the whole plan is rejected, and nothing changes.
	var one planfile.File
	if err := json.Unmarshal(file, &one); err != nil {
		t.Fatal(err)
	}
	one.Actions = one.Actions[:1]
	if err := one.Write(filepath.Join(w.dir, "one.plan")); err != nil {
		t.Fatal(err)
	}
	if out := w.certroll(0, "apply", "one.plan"); !strings.Contains(out, "Plan: 1 to issue.") || !strings.Contains(out, "1 done") {
		t.Errorf("apply:\n%s", out)
	}
	w.checkPair("tls/api", "api.lab.test", "www.lab.test")
	if code := w.statusOf("secret/metadata/tls/wild"); code != http.StatusNotFound {
		t.Errorf("what was not in the file was done: %d", code)
	}
	w.says("apply first.plan", "no longer matches the present state, and nothing was done", "api planned issue, secret/tls/api never written",
		"now none, secret/tls/api at version 1, serial", "Plan again.")
	if code := w.statusOf("secret/metadata/tls/wild"); code != http.StatusNotFound {
		t.Errorf("a refused plan was done in part: %d", code)
	}

	// The head of the config repo moves.
	w.certroll(0, "plan", "-out", "second.plan")
	w.push(map[string]string{"certs.hcl": strings.Replace(twoCertificates, "edge", "core", 1)}, "Rename the team")
	w.says("apply second.plan", "the config repo has moved on, and nothing was done", "(Rename the team) now", w.git("rev-parse", "main"), w.git("rev-parse", "main~1"))

	// A plan that still matches can be applied once.
	w.certroll(2, "plan", "-out", "third.plan", "-detailed-exitcode")
	w.certroll(0, "apply", "third.plan", "-json")
	w.checkPair("tls/wild", "lab.test", "*.lab.test")
	w.says("apply third.plan", "no longer matches the present state", "wild planned issue")
	w.certroll(0, "plan", "-detailed-exitcode")

	// A plan for one Vault is rejected for another.
	other := one
	other.Vault, other.Revision = "https://vault.example.com:8200", w.git("rev-parse", "main")
	other.Files = planfile.Digests([]gitsync.File{{Path: "certs.hcl", Bytes: []byte(strings.Replace(twoCertificates, "edge", "core", 1))}})
	if err := other.Write(filepath.Join(w.dir, "other.plan")); err != nil {
		t.Fatal(err)
	}
	w.says("apply other.plan", "made with Vault at https://vault.example.com:8200", "plan again")
}

// TestPlanOfARequest: a token with the metadata-only policy can plan a change exactly and can read no key. A plan from
// the ledger alone gives the same result.
func TestPlanOfARequest(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs/certs.hcl": twoCertificates})
	w.repoMore = `directory = "certs"`
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	base := w.git("rev-parse", "main")
	w.push(map[string]string{"certs/certs.hcl": strings.Replace(strings.Split(twoCertificates, `certificate "wild"`)[0], `"www.lab.test"`, `"www.lab.test", "new.lab.test"`, 1)}, "Change")

	rules, err := os.ReadFile("../../examples/vault-policies/plan.hcl")
	if err != nil {
		t.Fatal(err)
	}
	w.token = newToken(t, w.vault, "plan-of-a-request", string(rules))
	t.Run("reads no secret", func(t *testing.T) {
		labtest.NeedsPolicies(t, w.vault)
		for _, path := range []string{"secret/data/tls/api", "secret/data/tls/wild"} {
			if code := w.statusOf(path); code != http.StatusForbidden {
				t.Errorf("the token that plans reads %s: %d", path, code)
			}
		}
	})

	plan := func(args ...string) string {
		return w.certroll(2, append([]string{"plan", "-detailed-exitcode", "-base", base}, args...)...)
	}
	text := plan()
	for _, want := range []string{
		"= api  reissue waits until a person accepts it", "~ domains: api.lab.test www.lab.test -> api.lab.test www.lab.test new.lab.test (with this action)", "= wild  retire waits until a person accepts it", "on_remove is \"keep\"",
		"This change: 2 held back.", "certificate removed: wild", "(certs/certs.hcl:8)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
	// From the ledger alone, without a token, and from a checkout.
	w.token = ""
	w.git("clone", "-q", w.repo, filepath.Join(w.dir, "work"))
	exact := withoutFirst(text, "Compared with")
	for _, args := range [][]string{{"-offline"}, {"-offline", "-config", "certroll.hcl", "-config-dir", "work/certs"}} {
		if offline := plan(args...); !strings.Contains(offline, "Vault was not asked") || withoutFirst(offline, "Compared with") != exact {
			t.Errorf("%v:\n%s\nwant but for the warning\n%s", args, offline, text)
		}
	}
	// The plan of another ref.
	if out := w.certroll(0, "plan", "-offline", "-base", base, "-ref", base, "-detailed-exitcode"); !strings.Contains(out, "nothing to do") {
		t.Errorf("plan:\n%s", out)
	}
}

// withoutFirst returns the output after the line that contains a text.
func withoutFirst(out, text string) string {
	_, rest, _ := strings.Cut(out, text)
	_, rest, _ = strings.Cut(rest, "\n")
	return rest
}

// statusOf returns Vault's status for a read of a path with certroll's token.
func (w *world) statusOf(path string) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.vault.Addr+"/v1/"+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", w.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
