package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"certroll/cmd/certroll/console"
)

// output collects the output of a running program.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// startRun starts the daemon.
func (w *world) startRun() (*exec.Cmd, *output) {
	w.t.Helper()
	cmd, out := w.command("run"), &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	// A failing test leaves the daemon running, but its directories are removed next.
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, out
}

// stopRun ends the daemon as systemd would, and requires exit code 0.
func (w *world) stopRun(cmd *exec.Cmd, out *output) {
	w.t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		w.t.Errorf("it ended with %v:\n%s", err, out)
	}
	w.noSecrets(out.String())
}

// longest bounds the wait for an effect of another process.
const longest = 3 * time.Minute

// until polls for an effect of the daemon.
func (w *world) until(what string, out *output, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(longest); !ok(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s did not come about:\n%s", what, out)
		}
		time.Sleep(50 * time.Millisecond) // polls another process
	}
}

// settled waits until a daemon has recorded everything that follows the issue of a certificate: success, the CA's
// renewal information, and the first examination. After that nothing reaches the ledger before the next due time.
func (w *world) settled(out *output, certificate string) {
	w.t.Helper()
	w.until("the end of the examination", out, func() bool { return strings.Contains(out.String(), "msg=examined") })
	w.until("the renewal information of "+certificate, out, func() bool {
		return w.countEvents("issue", "success") > 0 && w.record(certificate).RenewalInfo != nil
	})
}

// countEvents counts the ledger's events of an operation.
func (w *world) countEvents(operation, status string) int {
	if exec.CommandContext(w.t.Context(), "git", "-C", w.repo, "rev-parse", "-q", "--verify", "certroll/status").Run() != nil {
		return 0
	}
	n := 0
	for _, e := range w.events() {
		if e.Operation == operation && e.Status == status {
			n++
		}
	}
	return n
}

// TestRun: the daemon issues, follows a push, and rejects a bad revision as a whole. The last good revision stays in
// force, also after a restart.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`interval = "1s"`)
	cmd, out := w.startRun()
	w.until("the first certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	w.checkPair("tls/api", "api.lab.test")

	// A reload applies the new interval and reports that parallel needs a restart.
	w.settings("interval = \"2s\"\nparallel = 3")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.until("the reload", out, func() bool { return strings.Contains(out.String(), "restart_for=parallel") })

	w.push(map[string]string{"more.hcl": strings.ReplaceAll(oneCertificate, "api", "more")}, "Declare another")
	w.until("the second certificate", out, func() bool { return w.countEvents("issue", "success") == 2 })

	w.push(map[string]string{"bad.hcl": "certificate \"bad\" {}\n"}, "Break it")
	w.until("the refusal", out, func() bool { return w.countEvents("config", "failure") == 1 })
	w.stopRun(cmd, out)
	if !strings.Contains(out.String(), "bad.hcl:1:1") || !strings.Contains(out.String(), "Missing setting") {
		t.Errorf("the mistake is not shown:\n%s", out)
	}

	// After a restart the daemon still has the last good revision, and issues a deleted secret from it although the
	// head is bad.
	if err := w.vault.API(t.Context(), "DELETE", "secret/data/tls/more", nil, nil); err != nil {
		t.Fatal(err)
	}
	cmd, out = w.startRun()
	w.until("what was deleted", out, func() bool { return w.countEvents("issue", "success") == 3 })
	w.stopRun(cmd, out)
	w.checkPair("tls/more", "more.lab.test")
	if n := w.countEvents("config", "failure"); n != 1 {
		t.Errorf("the refusal was told %d times", n)
	}

	w.push(map[string]string{"bad.hcl": strings.ReplaceAll(oneCertificate, "api", "bad")}, "Mend it")
	cmd, out = w.startRun()
	w.until("the mended one", out, func() bool { return w.countEvents("issue", "success") == 4 })
	w.stopRun(cmd, out)
}

// TestRunOutlastsGit: while Git is unavailable the daemon keeps working, and records its events later.
func TestRunOutlastsGit(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`interval = "1s"`)
	cmd, out := w.startRun()
	w.until("the first certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	away := w.repo + ".away"
	if err := exec.CommandContext(t.Context(), "mv", w.repo, away).Run(); err != nil {
		t.Fatal(err)
	}
	if err := w.vault.API(t.Context(), "DELETE", "secret/data/tls/api", nil, nil); err != nil {
		t.Fatal(err)
	}
	w.until("the certificate without Git", out, func() bool { return w.metadata("tls/api").Data.CurrentVersion == 2 })
	if err := exec.CommandContext(t.Context(), "mv", away, w.repo).Run(); err != nil {
		t.Fatal(err)
	}
	w.until("the late story", out, func() bool { return w.countEvents("issue", "success") == 2 })
	w.stopRun(cmd, out)
}

// TestRunWaitsForVault: the daemon waits for a Vault that is sealed at the start, as after a reboot.
func TestRunWaitsForVault(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := l.fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`interval = "1s"`)
	if err := l.vault.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	cmd, out := w.startRun()
	w.until("word of the sealed Vault", out, func() bool { return strings.Contains(out.String(), "waiting for Vault") })
	if err := l.vault.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until("the certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	w.stopRun(cmd, out)
	if !strings.Contains(out.String(), "unseal it") {
		t.Errorf("it does not say what to do:\n%s", out)
	}
}

// TestPushToApplied: a signed webhook delivery applies a push long before the next pull.
func TestPushToApplied(t *testing.T) {
	const secret = "a secret of this test alone"
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`
interval = "1h"
listen   = "127.0.0.1:0"
webhook "forgejo" { secret_file = "` + filepath.Join(w.dir, "webhook-secret") + `" }`)
	if err := os.WriteFile(filepath.Join(w.dir, "webhook-secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := w.startRun()
	w.until("the first certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	address := regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())[1]
	w.push(map[string]string{"more.hcl": strings.ReplaceAll(oneCertificate, "api", "more")}, "Declare another")
	pushed := time.Now()
	deliver := func(signature string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/webhooks/forgejo", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if signature != "" {
			req.Header.Set("X-Forgejo-Signature", signature)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("{}"))
	if got := deliver(hex.EncodeToString(mac.Sum(nil))); got != http.StatusAccepted {
		t.Fatalf("the delivery was answered with %d:\n%s", got, out)
	}
	w.until("the second certificate", out, func() bool { return w.countEvents("issue", "success") == 2 })
	t.Logf("from the push to the ledger: %s", time.Since(pushed).Round(time.Millisecond))
	if got := deliver(""); got != http.StatusForbidden {
		t.Errorf("a delivery without a signature was answered with %d", got)
	}
	w.stopRun(cmd, out)
	if strings.Contains(out.String(), secret) {
		t.Error("the log holds the secret")
	}
}

// TestRunSaysWhatIsMissing: without certroll.hcl, run fails with that reason before it does anything.
func TestRunSaysWhatIsMissing(t *testing.T) {
	t.Chdir(t.TempDir())
	var out bytes.Buffer
	a := &app{Console: console.Console{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(string) string { return "" }}}
	if code := a.main([]string{"run"}); code != console.ExitError {
		t.Errorf("exit code %d", code)
	}
	said := out.String()
	if first, _, _ := strings.Cut(said, "\n"); !strings.Contains(first, "no certroll.hcl found") || strings.Contains(said, "listening") || !strings.Contains(said, "repo.url") {
		t.Errorf("it said:\n%s", said)
	}
}
