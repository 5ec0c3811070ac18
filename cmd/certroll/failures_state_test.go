package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/settings"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

// TestStateFails checks failures of Vault, Git and other reconcilers while the CA works.
func TestStateFails(t *testing.T) {
	sideBySide(t, map[string]func(*testing.T, *world){
		"sealed": sealedMeanwhile, "git away": gitAwayMeanwhile, "two applies": twoApplies, "two daemons": twoDaemons, "crash loop": crashLoop,
	})
}

// sealedMeanwhile: Vault is sealed between the order and the write of the pair. The live certificate stays, and after
// unsealing certroll finishes the same order with the same key.
func sealedMeanwhile(t *testing.T, l *world) {
	own := *l
	own.vault = labtest.Vault(t)
	own.vaultAddr, own.token = own.vault.Addr, own.vault.Token
	w, f := own.issued(t, "sealed")
	was := w.serial("sealed")
	f.breaks(before(finalization, func() {
		if err := w.vault.Seal(t.Context()); err != nil {
			t.Error(err)
		}
	}))
	w.says(applyNow, "0 done, 0 failed, 1 left to the next run", "Vault cannot be used since", "Vault is sealed", "vault operator unseal")
	if r := w.record("sealed"); r.State != ledger.StateLive || r.Hold != nil {
		t.Errorf("the record is %+v, as if it had failed", r)
	}
	if err := w.vault.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.stays("sealed", 1, was)
	pending := w.metadata(w.prefix + "/pending/sealed").Data.Custom["key_digest"]
	w.expireLease() // the sealed Vault prevented its release
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/sealed", "sealed.lab.test")
	if m := w.metadata("tls/sealed"); m.Data.CurrentVersion != 2 || pending == "" || m.Data.Custom["key_digest"] != pending {
		t.Errorf("version %d has the key %s, want 2 with %q", m.Data.CurrentVersion, m.Data.Custom["key_digest"], pending)
	}
	w.tells("sealed", "issue success, rotate success")
	if n, over := w.countEvents("pass", "failure"), w.countEvents("pass", "success"); n != 1 || over != 1 {
		t.Errorf("%d events tell of the sealed Vault, and %d of its end", n, over)
	}
	f.orders(2, 2)
	w.noPending()
}

// gitAwayMeanwhile: the certificate goes live anyway, and the ledger gets its events exactly once when Git is back.
func gitAwayMeanwhile(t *testing.T, l *world) {
	w, f := l.issued(t, "away")
	was := w.serial("away")
	f.breaks(before(finalization, func() {
		if err := os.Rename(w.repo, w.repo+".away"); err != nil {
			t.Error(err)
		}
	}))
	w.says(applyNow, "writing the ledger", filepath.Base(w.repo), "safe in the journal")
	live := w.serial("away")
	if m := w.metadata("tls/away"); m.Data.CurrentVersion != 2 || live == was {
		t.Errorf("it did not go live: %+v", m)
	}
	w.checkPair("tls/away", "away.lab.test")
	if n := w.journalled(live); n != 1 {
		t.Errorf("the journal has %d entries of it, want 1", n)
	}
	if err := os.Rename(w.repo+".away", w.repo); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.certroll(0, "apply", "-auto-approve")
		w.tells("away", "issue success, rotate success")
	}
	if e := w.audit()[1]; e.NewSerial != live || e.OldSerial != was {
		t.Errorf("event %+v", e)
	}
	if n := w.journalled(live); n != 0 {
		t.Errorf("the journal still has %d entries", n)
	}
	f.orders(2, 2)
	w.noPending()
}

// journalled counts the journal's lines that contain a text.
func (w *world) journalled(text string) int {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "state", "journal-*", "journal"))
	if err != nil || len(files) != 1 {
		w.t.Fatalf("journals: %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// another starts a certroll for the same repository and Vault with its own state directory, as on another machine.
func (w *world) another(args ...string) (*exec.Cmd, *output) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, settings.DefaultFile))
	if err != nil {
		w.t.Fatal(err)
	}
	text := strings.Replace(string(b), filepath.Join(w.dir, "state"), filepath.Join(w.dir, "other-state"), 1)
	other := filepath.Join(w.dir, "other.hcl")
	if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return w.started(append(args, "-config", other)...)
}

func (w *world) started(args ...string) (*exec.Cmd, *output) {
	w.t.Helper()
	cmd, out := w.command(args...), &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return cmd, out
}

// twoApplies: a second apply has the same plan while the first is working. It waits, names the other one, and finds its
// work done.
func twoApplies(t *testing.T, l *world) {
	w, f := l.faulty(t, declare("", "twice1", "twice2"))
	reached, goOn := make(chan struct{}), make(chan struct{})
	f.breaks(before(finalization, func() { close(reached); <-goOn }))
	first, firstOut := w.started("apply", "-auto-approve")
	await(t, reached, firstOut)
	second, secondOut := w.another("apply", "-auto-approve")
	w.until("the second one's wait", secondOut, func() bool { return strings.Contains(secondOut.String(), "waiting for ") })
	if !strings.Contains(secondOut.String(), "Plan: 2 to issue") || !strings.Contains(secondOut.String(), " pid ") {
		t.Errorf("the second one says\n%s", secondOut)
	}
	close(goOn)
	for cmd, out := range map[*exec.Cmd]*output{first: firstOut, second: secondOut} {
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v:\n%s", err, out)
		}
	}
	if !strings.Contains(firstOut.String(), "2 done, 0 failed") || !strings.Contains(secondOut.String(), "0 done, 0 failed, 2 done or changed by another process meanwhile") {
		t.Errorf("the first one says\n%s\nand the second one\n%s", firstOut, secondOut)
	}
	w.once(f, "twice1", "twice2")
}

// twoDaemons start at the same moment for the same repository.
func twoDaemons(t *testing.T, l *world) {
	w, f := l.faulty(t, declare("", "twins1", "twins2", "twins3"))
	w.editSettings(func(text string) string { return text + "\ninterval = \"1s\"\n" })
	goOn := make(chan struct{})
	f.breaks(before(newOrder, func() { <-goOn }))
	one, oneOut := w.started("run", "-log-level", "debug")
	two, twoOut := w.another("run", "-log-level", "debug")
	waits := func() bool { return strings.Contains(oneOut.String()+twoOut.String(), "waiting for ") }
	w.until("that one waits for the other", oneOut, waits)
	close(goOn)
	w.until("the certificates", oneOut, func() bool { return w.countEvents("issue", "success") == 3 })
	// Once both know a later revision, both have made another pass.
	w.push(map[string]string{"labels.hcl": strings.ReplaceAll(declare("", "twins4")["certs.hcl"], "\n}", "\n  labels = { late = \"yes\" }\n}")}, "Declare one more")
	w.until("the late certificate", oneOut, func() bool { return w.countEvents("issue", "success") == 4 })
	head := w.git("rev-parse", "main")
	w.until("that both know the revision", oneOut, func() bool {
		return strings.Contains(oneOut.String(), head) && strings.Contains(twoOut.String(), head)
	})
	w.stopRun(one, oneOut)
	w.stopRun(two, twoOut)
	w.once(f, "twins1", "twins2", "twins3", "twins4")
}

// once requires that each certificate was ordered and recorded exactly once.
func (w *world) once(f *front, names ...string) {
	w.t.Helper()
	f.orders(len(names), len(names))
	for _, name := range names {
		w.checkPair("tls/"+name, name+".lab.test")
		if v := w.metadata("tls/" + name).Data.CurrentVersion; v != 1 {
			w.t.Errorf("%s is at version %d, want 1", name, v)
		}
		w.tells(name, "issue success")
		if r := w.record(name); r.State != ledger.StateLive {
			w.t.Errorf("the record of %s says %s", name, r.State)
		}
	}
	w.noPending()
}

func await(t *testing.T, done <-chan struct{}, out *output) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatalf("it did not come that far:\n%s", out)
	}
}

// crashLoop: something kills the daemon repeatedly while the CA is down, each time before it can record the result of
// its attempt. The back-off bounds the requests to the CA, whatever the number of starts: a few runs that end without a
// result count as a failure, which is recorded and held like any other.
func crashLoop(t *testing.T, l *world) {
	w, f := l.faulty(t, declare("", "loop"))
	w.program = build(t)
	f.breaks(at(newOrder, problem(http.StatusServiceUnavailable, "serverInternal", "Service busy; retry later.")))
	run := func(until func() bool) {
		t.Helper()
		cmd, out := w.started("run")
		w.until("a question to the CA, or a failure", out, until)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()  // it was killed
		w.expireLease() // the lease also limits the rate, but this test is about the back-off
	}
	for starts := 0; w.countEvents("issue", "failure") == 0; starts++ {
		if starts > 5 {
			t.Fatalf("the CA was asked for an order at each of %d starts", starts)
		}
		asked := f.count(newOrder)
		run(func() bool { return f.count(newOrder) > asked || w.countEvents("issue", "failure") > 0 })
	}
	w.waits(w.failed("loop", ledger.ClassInternal, "ended without telling how it went", 1), time.Minute, 66*time.Second)
	asked := f.count(newOrder)
	if asked < 1 || asked > 3 {
		t.Errorf("the CA was asked for %d orders until that was a failure, want 3 at most", asked)
	}
	for range 25 {
		start := time.Now()
		run(func() bool { return time.Since(start) > 300*time.Millisecond })
	}
	f.orders(asked, 0)
}
