package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"certroll/examples/lab/labtest"
)

// author is a person with a clone of the config repo and the real git.
type author struct {
	w     *world
	clone string
}

func (w *world) author() *author {
	w.t.Helper()
	a := &author{w, w.t.TempDir()}
	a.git("clone", "--quiet", w.repo, ".")
	return a
}

func (a *author) git(args ...string) string {
	a.w.t.Helper()
	cmd := exec.CommandContext(a.w.t.Context(), "git", args...)
	cmd.Dir = a.clone
	cmd.Env = append(os.Environ(), "HOME="+a.clone, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		a.w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits a file and pushes. options are git's options before "commit".
func (a *author) push(name, text string, options ...string) string {
	a.w.t.Helper()
	if err := os.WriteFile(filepath.Join(a.clone, name), []byte(text), 0o600); err != nil {
		a.w.t.Fatal(err)
	}
	a.git("add", name)
	a.git(append(options, "commit", "--quiet", "-m", "Change "+name)...)
	a.git("push", "--quiet", "--force", "origin", "HEAD:main")
	return a.git("rev-parse", "HEAD")
}

// certificateNamed is oneCertificate with another name.
func certificateNamed(name string) string { return strings.ReplaceAll(oneCertificate, "api", name) }

// denied returns the events of held revisions.
func (w *world) denied() []auditEvent {
	w.t.Helper()
	var list []auditEvent
	if w.countEvents("config", "denied") == 0 {
		return nil
	}
	for _, e := range w.events() {
		if e.Operation == "config" && e.Status == "denied" {
			list = append(list, e)
		}
	}
	return list
}

// TestSignedCommits: if certroll.hcl names signers, plan and apply reject a head without their signature, and run holds
// it, also after a restart.
func TestSignedCommits(t *testing.T) {
	t.Parallel()
	labtest.Needs(t, "ssh-keygen")
	w := newLab(t).fresh(t, map[string]string{"README.md": "certificates\n"})
	key, allowed := filepath.Join(w.dir, "ada"), filepath.Join(w.dir, "allowed_signers")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(allowed, append([]byte("ada@example.com namespaces=\"git\" "), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.settings("interval = \"1s\"\nverify {\n  ssh_allowed_signers = \"" + allowed + "\"\n}")
	ada := w.author()
	signed := []string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + key, "-c", "commit.gpgSign=true"}

	unsigned := ada.push("certs.hcl", oneCertificate)
	for _, command := range []string{"plan", "apply --auto-approve"} {
		w.says(command, "taking commit "+unsigned, "commit not signed", `"Change certs.hcl" by Ada <ada@example.com>`, "git commit --amend -S")
	}
	if out := w.certroll(0, "plan", "-ref", "main"); !strings.Contains(out, "the signature of main was not checked") || !strings.Contains(out, "1 to issue") {
		t.Errorf("a proposal is not shown:\n%s", out)
	}
	if out := w.certroll(0, "plan", "-config-dir", ada.clone); !strings.Contains(out, "no signature was checked for the files in") || !strings.Contains(out, "1 to issue") {
		t.Errorf("a directory is planned without a word on signatures:\n%s", out)
	}
	ada.push("more.hcl", certificateNamed("more"), signed...)
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/api", "api.lab.test")
	w.checkPair("tls/more", "more.lab.test")

	cmd, out := w.startRun()
	w.until("the signed revision", out, func() bool { return strings.Contains(out.String(), "certificates=2") })
	unsigned = ada.push("evil.hcl", certificateNamed("evil"))
	w.until("the head that is not signed", out, func() bool { return len(w.denied()) == 1 })
	w.stopRun(cmd, out)
	if e := w.denied()[0]; e.Reason != "unsigned" || e.Class != "config" || e.Revision != unsigned || e.Actor != "Ada <ada@example.com>" || !strings.Contains(e.Message, "not signed") {
		t.Errorf("event: %+v", e)
	}
	if !strings.Contains(out.String(), "revision held back") {
		t.Errorf("the log does not say it:\n%s", out)
	}

	// After a restart the last good revision is in force, and the hold is not recorded again.
	if err := w.vault.API(t.Context(), "DELETE", "secret/data/tls/more", nil, nil); err != nil {
		t.Fatal(err)
	}
	cmd, out = w.startRun()
	w.until("what was deleted", out, func() bool { return w.countEvents("issue", "success") == 3 })
	if w.metadataIsThere("tls/evil") {
		t.Error("what nobody signed was issued")
	}
	ada.push("certs.hcl", oneCertificate+"# looked at\n", signed...)
	w.until("the head that is signed", out, func() bool { return w.countEvents("issue", "success") == 4 })
	w.stopRun(cmd, out)
	w.checkPair("tls/evil", "evil.lab.test")
	if n := len(w.denied()); n != 1 {
		t.Errorf("it was told %d times", n)
	}
}

// metadataIsThere reports whether a secret was ever written.
func (w *world) metadataIsThere(path string) bool {
	return w.vault.API(w.t.Context(), "GET", "secret/metadata/"+path, nil, nil) == nil
}

// TestRewrittenHistory: certroll holds a forced push until a person accepts it, also if only the ledger knows the
// revision in force.
func TestRewrittenHistory(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`interval = "1s"`)
	ada := w.author()
	good := ada.git("rev-parse", "HEAD")
	cmd, out := w.startRun()
	w.until("the first certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })

	ada.git("checkout", "--quiet", "--orphan", "rewritten")
	forced := ada.push("evil.hcl", certificateNamed("evil"))
	w.until("the forced push", out, func() bool { return len(w.denied()) == 1 })
	if e := w.denied()[0]; e.Reason != "rewritten" || e.Revision != forced || e.OldRevision != good || !strings.Contains(e.Message, "certroll accept "+forced) {
		t.Errorf("event: %+v", e)
	}
	w.stopRun(cmd, out)
	for _, command := range []string{"plan", "apply --auto-approve"} {
		w.says(command, "history rewritten", "does not descend from "+good, "certroll accept "+forced)
	}

	// On a new disk only the ledger knows the revision in force, and no last good revision is stored.
	if err := os.RemoveAll(filepath.Join(w.dir, "state")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd, out = w.startRun()
	w.until("that there is none", out, func() bool { return strings.Contains(out.String(), "there is no good revision yet") })
	w.until("the forced push, by the ledger", out, func() bool { return len(w.denied()) == 2 })
	if w.metadataIsThere("tls/evil") {
		t.Error("what nobody accepted was issued")
	}
	w.says("accept "+good, "the head is "+forced+" now")
	if out := w.certroll(0, "accept", forced); !strings.Contains(out, "Accepted "+forced) {
		t.Errorf("accept says %s", out)
	}
	w.stopRun(cmd, out) // after a failed pass it would wait a minute
	cmd, out = w.startRun()
	w.until("what was accepted", out, func() bool { return w.countEvents("issue", "success") == 2 })
	w.checkPair("tls/evil", "evil.lab.test")
	var said []string
	for _, e := range w.events() {
		if e.Operation == "config" && e.Status == "success" {
			said = append(said, e.Reason)
		}
	}
	if !slices.Equal(said, []string{"accepted", "revision_taken"}) || len(w.denied()) != 2 {
		t.Errorf("told of the revision: %q, %d held back", said, len(w.denied()))
	}
	w.until("the end of the attempt", out, func() bool { return !w.metadataIsThere("certroll/pending/evil") })
	w.certroll(0, "plan", "-detailed-exitcode")

	// Forcing the branch back needs new consent, because consent is for one commit and used up.
	ada.git("push", "--quiet", "--force", "origin", good+":main")
	w.until("the way back", out, func() bool { return len(w.denied()) == 3 })
	w.says("apply --auto-approve", "does not descend from "+forced)
	w.certroll(0, "accept", good)
	w.until("the first one accepted", out, func() bool { return strings.Contains(out.String(), "instead_of="+forced) })
	ada.git("push", "--quiet", "--force", "origin", forced+":main")
	w.until("the second forced push", out, func() bool { return len(w.denied()) == 4 })
	w.stopRun(cmd, out)

	w.repoMore = "allow_rewrites = true"
	w.settings("")
	w.certroll(0, "plan")
}

// TestPolicy: plan and apply reject what a policy forbids, and run rejects the revision, each with file and line.
func TestPolicy(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"teams/shop/a.hcl": oneCertificate})
	const policies = `
interval = "1s"
policy "shop" {
  files   = ["teams/shop/**"]
  names   = ["api.lab.test", "**.shop.lab.test"]
  issuers = ["pebble"]
}`
	w.settings(policies)
	cmd, out := w.startRun()
	w.until("what is allowed", out, func() bool { return w.countEvents("issue", "success") == 1 })
	w.push(map[string]string{"teams/shop/b.hcl": certificateNamed("pay")}, "Ask for another team's name")
	w.until("the refusal", out, func() bool { return w.countEvents("config", "failure") == 1 })
	w.stopRun(cmd, out)
	events := w.events()
	if e := events[len(events)-1]; e.Reason != "revision_refused" || !strings.Contains(e.Message, "teams/shop/b.hcl:3:14: Forbidden by policy") ||
		!strings.Contains(e.Message, `does not allow the name "pay.lab.test"`) {
		t.Errorf("event: %+v", e)
	}
	for _, command := range []string{"plan", "apply --auto-approve"} {
		w.says(command, "Forbidden by policy", `on teams/shop/b.hcl:3:14, in certificate "pay":`, `Policy "shop" (certroll.hcl:`, `it allows "api.lab.test" and "**.shop.lab.test"`)
	}
	if w.metadataIsThere("tls/pay") {
		t.Error("what a policy forbids was issued")
	}
	w.settings(strings.Replace(policies, `"api.lab.test"`, `"api.lab.test", "pay.lab.test"`, 1))
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/pay", "pay.lab.test")
}
