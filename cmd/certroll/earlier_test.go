package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

// earlierCommit is the last certroll that identified accounts by their contact and ran the DNS providers in its own
// process. Upgrades start from its state.
const earlierCommit = "ebfea9c49aab0761d572b060d22dbca1c71c791d"

// earlier returns the same world with the earlier certroll.
func (w *world) earlier() *world {
	w.t.Helper()
	old := *w
	old.program = labtest.Earlier(w.t, earlierCommit)
	return &old
}

// nothingToDo requires that a plan, possibly with warnings, has no action.
func (w *world) nothingToDo() {
	w.t.Helper()
	if out := w.certroll(0, "plan"); !strings.Contains(out, "Nothing to do") {
		w.t.Errorf("there is something to do:\n%s", out)
	}
}

// TestUpgradeAndBack: an earlier certroll has issued, rotated, run, and been killed in the middle of an order. The
// current one continues with the same settings, state directory, ledger and Vault: it finishes that order, registers no
// account and finds nothing else to do. Both versions then work next to each other under one lease. At the end the
// earlier one continues alone.
func TestUpgradeAndBack(t *testing.T) {
	t.Parallel()
	labtest.Earlier(t, earlierCommit) // builds before any server starts
	w, f := newLab(t).faulty(t, declare("", "a", "b"))
	old := w.earlier()
	old.certroll(0, "apply", "-auto-approve")
	w.push(declare(`rotate = "now"`, "a", "b"), "Rotate them")
	old.certroll(0, "apply", "-auto-approve")
	w.editSettings(func(text string) string {
		return strings.Replace(text, `issuer "pebble"`, `issuer "renamed"`, 1) + "\ninterval = \"1s\"\n"
	})
	declared := func(names ...string) map[string]string {
		files := map[string]string{"certs.hcl": strings.ReplaceAll(declare(`rotate = "now"`, "a", "b")["certs.hcl"], "issuer.pebble", "issuer.renamed")}
		for _, name := range names {
			files[name+".hcl"] = strings.ReplaceAll(declare("", name)["certs.hcl"], "issuer.pebble", "issuer.renamed")
		}
		return files
	}
	w.push(declared("c"), "Rename the issuer, declare another")
	cmd, out := old.startRun()
	w.until("the earlier one's certificate", out, func() bool { return w.countEvents("issue", "success") == 3 })

	reached := make(chan struct{})
	f.breaks(before(finalization, func() { close(reached); <-t.Context().Done() }))
	w.push(declared("d"), "Declare one that is not finished")
	await(t, reached, out)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	f.mend()
	w.expireLease()
	const made = 6 // a, b, both rotated, c, d
	f.orders(made, made)
	registered, documents := f.count(newAccount), len(w.accountDocuments())
	pending := w.secret(w.prefix + "/pending/d")["key"]

	if out := w.certroll(0, "doctor", "-upgrade"); !strings.Contains(out, "Nothing would be held") {
		t.Errorf("doctor --upgrade: %s", out)
	}
	if out := w.certroll(0, "plan"); !strings.Contains(out, "1 to issue") {
		t.Errorf("what was begun is not the only thing to do:\n%s", out)
	}
	w.certroll(0, "apply", "-auto-approve")
	f.orders(made, made)
	if got := w.secret("tls/d")["private_key"]; got != pending || pending == "" {
		t.Error("the order was finished with another key")
	}
	w.nothingToDo()
	if out := w.certroll(0, "audit", "verify", "-anchor"); strings.Contains(out, "FAIL") {
		t.Errorf("audit verify: %s", out)
	}
	w.push(declared("e"), "Declare one after the upgrade")
	w.certroll(0, "apply", "-auto-approve")
	f.orders(made+1, made+1)

	// Replicas of both versions. The second starts while the first is working on an order. Either may take the next
	// one, and nothing is done twice.
	sides := map[string]*world{"earlier": old, "present": w}
	issued := w.countEvents("issue", "success")
	for i, pair := range [][2]string{{"earlier", "present"}, {"present", "earlier"}} {
		first, second := sides[pair[0]], sides[pair[1]]
		reached, goOn := make(chan struct{}), make(chan struct{})
		f.breaks(before(finalization, func() { close(reached); <-goOn }))
		w.push(declared(fmt.Sprintf("f%d", i)), "Declare for the first")
		one, oneOut := first.startRun()
		await(t, reached, oneOut)
		two, twoOut := second.another("run", "-log-level", "debug")
		t.Cleanup(func() { _ = two.Process.Kill() })
		w.until("that the other waits", twoOut, func() bool { return strings.Contains(twoOut.String(), "waiting for ") })
		close(goOn)
		w.until("the first one's certificate", oneOut, func() bool { return w.countEvents("issue", "success") == issued+2*i+1 })
		w.push(declared(fmt.Sprintf("g%d", i)), "Declare for either")
		w.until("one more certificate", twoOut, func() bool { return w.countEvents("issue", "success") == issued+2*i+2 })
		head := w.git("rev-parse", "main")
		w.until("that both know the revision", twoOut, func() bool {
			return strings.Contains(oneOut.String(), head) && strings.Contains(twoOut.String(), head)
		})
		w.stopRun(one, oneOut)
		w.stopRun(two, twoOut)
	}
	f.orders(made+5, made+5)

	// Downgrade to the earlier version.
	old.nothingToDo()
	w.push(declared("h"), "Declare one after going back")
	old.certroll(0, "apply", "-auto-approve")
	f.orders(made+6, made+6)
	old.certroll(0, "audit", "verify")
	w.nothingToDo()
	w.certroll(0, "audit", "verify", "-anchor")
	for _, name := range []string{"a", "b", "c", "d", "e", "f0", "g0", "f1", "g1", "h"} {
		w.checkPair("tls/"+name, name+".lab.test")
	}
	w.noPending()
	if n := f.count(newAccount) - registered; n != 0 {
		t.Errorf("newAccount was asked %d times more", n)
	}
	if n := len(w.accountDocuments()); n > documents+1 { // the account's document and a pointer
		t.Errorf("%d account documents, and %d before the upgrade", n, documents)
	}
}

// allowed matches the lines for certroll.hcl in the output of doctor --upgrade.
var allowed = regexp.MustCompile(`(?s)\n(trust \{\n.*?\n\}\n)`)

// TestUpgradeHoldsWhatWasInForce: the earlier version has a revision in force that a new rule rejects: an issuer in the
// config repo at an address that certroll.hcl does not allow. Its certificates are held, others are still issued from
// that revision, and the lines that doctor --upgrade prints end the hold.
func TestUpgradeHoldsWhatWasInForce(t *testing.T) {
	t.Parallel()
	labtest.Earlier(t, earlierCommit) // builds before any server starts
	w, f := newLab(t).faulty(t, declare("", "free", "more"))
	w.push(map[string]string{"own.hcl": fmt.Sprintf("issuer \"own\" {\n  directory = %q\n  email = \"team@example.com\"\n  terms_of_service_agreed = true\n  ca_bundle = <<-PEM\n%s\n  PEM\n}\n",
		w.directory, w.caBundle) + strings.ReplaceAll(declare("", "bound")["certs.hcl"], "issuer.pebble", "issuer.own")}, "Declare an issuer")
	old := w.earlier()
	w.editSettings(func(text string) string { return text + "\ninterval = \"1s\"\n" })
	cmd, out := old.startRun()
	w.until("the certificates", out, func() bool { return w.countEvents("issue", "success") == 3 }) // of three, two may be issued again at once
	w.stopRun(cmd, out)
	registered := f.count(newAccount)

	said := w.certroll(1, "doctor", "-upgrade")
	lines := allowed.FindStringSubmatch(said)
	if lines == nil || !strings.Contains(said, "holds bound") || strings.Contains(said, "free") {
		t.Fatalf("doctor --upgrade: %s", said)
	}
	for _, name := range []string{"free", "bound"} {
		if err := w.vault.API(t.Context(), "DELETE", "secret/data/tls/"+name, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	cmd, out = w.startRun()
	w.until("the one that is not concerned", out, func() bool { return w.countEvents("issue", "success") == 4 })
	w.until("the hold", out, func() bool { return w.countEvents("hold", "held") == 1 })
	w.checkPair("tls/free", "free.lab.test")
	if n := w.metadata("tls/bound").Data.CurrentVersion; n != 1 {
		t.Errorf("what is held was written: version %d", n)
	}
	for _, line := range strings.Split(strings.TrimSpace(lines[1]), "\n") {
		if !strings.Contains(w.lastEventWith("hold").Message+out.String(), strings.TrimSpace(line)) {
			t.Errorf("the hold does not name %q", line)
		}
	}

	// Another revision with the same issuer is rejected, and the last good one stays in force.
	w.push(map[string]string{"late.hcl": declare("", "late")["certs.hcl"]}, "Declare another")
	w.until("the refusal", out, func() bool { return w.countEvents("config", "failure") == 1 })
	if w.metadataIsThere("tls/late") {
		t.Error("a revision that was rejected was followed")
	}
	w.stopRun(cmd, out)

	// The printed lines end the hold. The trust block exists already.
	w.editSettings(func(text string) string {
		inner := strings.TrimSuffix(strings.TrimPrefix(lines[1], "trust {\n"), "}\n")
		return strings.Replace(text, "trust {\n", "trust {\n"+inner, 1)
	})
	cmd, out = w.startRun()
	w.until("the others", out, func() bool { return w.countEvents("issue", "success") == 6 })
	w.stopRun(cmd, out)
	w.checkPair("tls/bound", "bound.lab.test")
	w.checkPair("tls/late", "late.lab.test")
	w.nothingToDo()
	if n := f.count(newAccount) - registered; n != 0 {
		t.Errorf("newAccount was asked %d times more", n)
	}

	// The earlier version rejects the unknown line with an error.
	if out := old.certroll(1, "plan"); !strings.Contains(out, "endpoints") {
		t.Errorf("the earlier one says %s", out)
	}
	w.editSettings(func(text string) string {
		return regexp.MustCompile(`(?m)^ *endpoints = .*\n`).ReplaceAllString(text, "")
	})
	old.nothingToDo()
	if left, err := os.ReadDir(filepath.Join(w.dir, "state")); err != nil || len(left) == 0 {
		t.Errorf("the state directory: %v, %v", left, err)
	}
}

// lastEventWith returns the last event of an operation.
func (w *world) lastEventWith(operation string) auditEvent {
	w.t.Helper()
	var last auditEvent
	for _, e := range w.events() {
		if e.Operation == operation {
			last = e
		}
	}
	return last
}

// TestUpgradeKeepsHolds: a hold by the earlier version after a failure lasts until the same moment in the current
// version, without a request to the CA. The same applies to a downgrade.
func TestUpgradeKeepsHolds(t *testing.T) {
	t.Parallel()
	labtest.Earlier(t, earlierCommit) // builds before any server starts
	l := newLab(t)
	for name, upgrade := range map[string]bool{"upgrade": true, "back": false} {
		t.Run(name, func(t *testing.T) {
			w, f := l.faulty(t, declare("", "held"))
			first, second := w.earlier(), w
			if !upgrade {
				first, second = second, first
			}
			f.breaks(at(newOrder, problem(http.StatusForbidden, "rejectedIdentifier", "The name is not to be had.")))
			first.certroll(1, "apply", "-auto-approve")
			before := w.record("held").Hold
			f.mend()
			second.certroll(0, "apply", "-auto-approve")
			if after := w.record("held").Hold; before == nil || after == nil || !after.Until.Equal(before.Until) {
				t.Errorf("the hold was %+v, and is %+v", before, after)
			}
			f.orders(1, 0)
			second.certroll(0, "retry", "held")
			second.certroll(0, "apply", "-auto-approve")
			w.checkPair("tls/held", "held.lab.test")
			first.nothingToDo()
		})
	}
}

// TestUpgradeOfWhatWaits: the current version continues the earlier one's unfinished work: a staged key that was
// published, fields that are keystores, a secret to delete, an email that changed with the upgrade, and events that
// could not be pushed.
func TestUpgradeOfWhatWaits(t *testing.T) {
	t.Parallel()
	labtest.Earlier(t, earlierCommit) // builds before any server starts
	w, f := newLab(t).faulty(t, declare("on_remove = \"delete\"", "gone"))
	w.push(map[string]string{"mail.hcl": strings.Replace(nextCertificate, "tlsa ", "\"store.p12\" = pkcs12(vault(\"secret/dns/keystore\", \"password\"))\n      tlsa ", 1)}, "Publish the next key")
	if err := w.vault.API(t.Context(), http.MethodPost, "secret/data/dns/keystore", map[string]any{"data": map[string]string{"password": "a long password"}}, nil); err != nil {
		t.Fatal(err)
	}
	old := w.earlier()
	old.certroll(0, "apply", "-auto-approve")
	w.nothingToDo()
	next := w.checkNextKey("mail", w.checkPair("tls/mail", "mail.lab.test"))

	// The earlier version cannot push the events of a rotation and of a deletion.
	w.push(map[string]string{"certs.hcl": "", "mail.hcl": strings.Replace(strings.Replace(nextCertificate, "  key {", "  rotate = \"leaked\"\n  key {", 1),
		"tlsa ", "\"store.p12\" = pkcs12(vault(\"secret/dns/keystore\", \"password\"))\n      tlsa ", 1)}, "Rotate, remove")
	f.breaks(before(finalization, func() {
		if err := os.Rename(w.repo, w.repo+".away"); err != nil {
			t.Error(err)
		}
	}))
	old.certroll(1, "apply", "-auto-approve")
	if err := os.Rename(w.repo+".away", w.repo); err != nil {
		t.Fatal(err)
	}
	renewed := w.checkPair("tls/mail", "mail.lab.test")
	if spki(renewed) != next {
		t.Error("the rotation used another key than was published")
	}
	registered := f.count(newAccount)
	w.editSettings(func(s string) string { return strings.Replace(s, `"ops@example.com"`, `"new-team@example.com"`, 1) })
	for range 2 {
		w.certroll(0, "apply", "-auto-approve", "-accept-removals", "1")
		w.tells("mail", "issue success, rotate success")
	}
	w.checkNextKey("mail", renewed)
	w.nothingToDo()
	if r := w.record("gone"); r.State == ledger.StateLive {
		t.Errorf("what was removed is %s", r.State)
	}
	w.push(declare("", "late"), "Declare another")
	w.certroll(0, "apply", "-auto-approve")
	if n := f.count(newAccount) - registered; n != 0 {
		t.Errorf("newAccount was asked %d times more", n)
	}
	w.certroll(0, "audit", "verify", "-anchor")
	f.orders(4, 4)
	w.noPending()
}
