package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

// anchor returns the checkpoint in Vault, or nil if there is none.
func (w *world) anchor() map[string]string {
	w.t.Helper()
	var keys struct {
		Data struct{ Keys []string }
	}
	if err := w.vault.API(w.t.Context(), "LIST", "secret/metadata/"+w.prefix+"/anchor", nil, &keys); err != nil {
		return nil
	}
	if len(keys.Data.Keys) != 1 {
		w.t.Fatalf("the anchors are %v", keys.Data.Keys)
	}
	return w.secret(w.prefix + "/anchor/" + keys.Data.Keys[0])
}

// rewrite replaces the ledger by one with a valid chain and another word in its log.
func (w *world) rewrite(old, anew string) {
	w.t.Helper()
	tree := filepath.Join(w.t.TempDir(), "tree")
	file := filepath.Join(tree, w.git("ls-tree", "-r", "--name-only", "certroll/status", "audit/"))
	run := func(args ...string) {
		w.t.Helper()
		cmd := exec.CommandContext(w.t.Context(), "git", args...)
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=M", "GIT_AUTHOR_EMAIL=m@example.com", "GIT_COMMITTER_NAME=M", "GIT_COMMITTER_EMAIL=m@example.com")
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("clone", "-q", "-b", "certroll/status", w.repo, tree)
	b, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), old, anew, 1)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	run("-C", tree, "checkout", "-q", "--orphan", "anew")
	run("-C", tree, "commit", "-q", "-a", "-m", "issue api: success")
	run("-C", tree, "push", "-q", "-f", "origin", "anew:certroll/status")
}

func (w *world) rewinds() []ledger.Event {
	w.t.Helper()
	return slices.DeleteFunc(w.audit(), func(e ledger.Event) bool { return e.Reason != ledger.ReasonRewound })
}

// elsewhere returns a machine that has never seen this ledger.
func (w *world) elsewhere(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, settings.DefaultFile))
	if err != nil {
		w.t.Fatal(err)
	}
	text := strings.Replace(string(b), filepath.Join(w.dir, "state"), filepath.Join(w.dir, name), 1)
	file := filepath.Join(w.dir, name+".hcl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// hasNoAnchor: a token that can read only the certificates' metadata cannot read the checkpoint.
func (w *world) hasNoAnchor() {
	w.t.Helper()
	labtest.NeedsPolicies(w.t, w.vault)
	rules, err := os.ReadFile("../../examples/vault-policies/plan.hcl")
	if err != nil {
		w.t.Fatal(err)
	}
	w.token = newToken(w.t, w.vault, "plan-"+w.prefix, string(rules))
	if said := w.certroll(0, "audit", "verify"); !strings.Contains(said, "The checkpoint in Vault was not checked: ") || !strings.Contains(said, "permission denied") {
		w.t.Errorf("audit verify:\n%s", said)
	}
	w.saysWith(console.ExitUnseen, "audit verify --anchor", "reading the checkpoint in Vault", "permission denied")
}

// TestRewrittenLedgerIsFound: an attacker with push access rewrites the ledger. A machine that has never seen it
// detects this by the checkpoint in Vault, records it in the ledger, and continues.
func TestRewrittenLedgerIsFound(t *testing.T) {
	t.Parallel()
	w, _ := newLab(t).faulty(t, declare("", "api"))
	w.certroll(0, "apply", "-auto-approve")
	head := w.git("rev-parse", "certroll/status")
	if a := w.anchor(); a["head"] != head || a["events"] != "1" || a["line"] != "1" || !strings.HasPrefix(a["hash"], "sha256:") {
		t.Fatalf("the anchor is %v, the head is %s", a, head)
	}
	if said := w.certroll(0, "audit", "verify"); !strings.Contains(said, "In order: 1 event in 1 file, 2 commits, head "+head+", compared with its checkpoint in Vault.") {
		t.Errorf("audit verify:\n%s", said)
	}
	t.Run("by the policy for plan", func(t *testing.T) { w.as(t).hasNoAnchor() })

	w.rewrite(`"detail":"`, `"detail":"by a friend: `)
	fresh := w.elsewhere("fresh")
	w.says("audit verify --config "+fresh, "the branch does not go on from the head that was anchored in Vault at 20", "expected a head that descends from commit "+head,
		"line 1", "another line is where the last one was", "expected a line of hash sha256:", "seen hash sha256:", "Not in order: 2 findings: 1 event in 1 file, 1 commit")
	w.says("audit verify --json --config "+fresh, `"in_order": false`, `"held": true`, "anchored in Vault")

	// certroll leaves live certificates alone and does what is due.
	w.push(declare("", "api", "web"), "Declare another")
	said := w.certroll(0, "apply", "-auto-approve", "-config", w.elsewhere("third"))
	if !strings.Contains(said, "the ledger was rewritten") || !strings.Contains(said, head) {
		t.Errorf("apply does not say it:\n%s", said)
	}
	w.checkPair("tls/web", "web.lab.test")
	if v := w.metadata("tls/api").Data.CurrentVersion; v != 1 {
		t.Errorf("api is at version %d", v)
	}
	if e := w.rewinds(); len(e) != 1 || e[0].Severity != "page" || !strings.Contains(e[0].Message, head) {
		t.Errorf("events: %+v", e)
	}
	if a := w.anchor(); a["head"] != w.git("rev-parse", "certroll/status") || a["events"] != "4" { // the checkpoint written by a machine without a cache
		t.Errorf("the anchor is %v", a)
	}
	w.certroll(0, "apply", "-auto-approve", "-config", w.elsewhere("fourth"))
	if n := len(w.rewinds()); n != 1 {
		t.Errorf("it is told %d times", n)
	}
	// The log itself contains the finding, also for a machine that never saw the lost head, until a person accepts it.
	fifth := w.elsewhere("fifth")
	w.says("audit verify --anchor --config "+fifth, "the log says that the ledger was rewritten", "git push --force origin "+head+":refs/heads/certroll/status", "with 1 event", "Not in order: 1 finding")
	w.says("audit accept "+strings.Repeat("0", 40), "records no lost head", "certroll audit verify")
	w.certroll(0, "audit", "accept", head, "-config", fifth)
	w.certroll(0, "audit", "verify", "-anchor", "-config", fifth)
	w.certroll(0, "audit", "verify")
}

// TestRewoundMetric: the daemon exports a metric about the rewind, and keeps issuing.
func TestRewoundMetric(t *testing.T) {
	t.Parallel()
	w, _ := newLab(t).faulty(t, declare("", "api"))
	w.certroll(0, "apply", "-auto-approve")
	w.rewrite(`"detail":"`, `"detail":"by a friend: `)
	w.push(declare("", "api", "web"), "Declare another")
	w.editSettings(func(text string) string {
		return strings.Replace(text, `listen = ""`, `listen = "127.0.0.1:0"`, 1) + "\ninterval = \"1s\"\n"
	})
	cmd, out := w.another("run")
	w.until("the other certificate", out, func() bool { return w.countEvents("issue", "success") == 2 })
	address := regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())
	if address == nil {
		t.Fatalf("it does not say where it listens:\n%s", out)
	}
	w.until("the metrics", out, func() bool {
		body := get(t, "http://"+address[1]+"/metrics")
		return strings.Contains(body, "\ncertroll_ledger_rewound_timestamp_seconds 1.") && strings.Contains(body, "\ncertroll_ledger_anchored 1\n")
	})
	w.stopRun(cmd, out)
	if said := out.String(); !strings.Contains(said, `level=ERROR msg="the ledger was rewritten"`) {
		t.Errorf("the log does not say it:\n%s", said)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		return ""
	}
	return b.String()
}
