//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

// mostMemory is the most memory that certroll may need, whatever is pushed.
const mostMemory = 200 << 20

// pushZeros commits a file of zeros.
func (w *world) pushZeros(repo, branch, file string, size int64) {
	w.t.Helper()
	if err := lab.PushZeros(w.t.Context(), repo, branch, file, size); err != nil {
		w.t.Fatal(err)
	}
}

// proc returns a file in /proc of a running process.
func proc(tb testing.TB, pid int, name string) string {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// peak returns the peak memory of a running process in bytes. The rusage of an ended child is no substitute: the kernel
// includes the parent's memory from before exec.
func peak(tb testing.TB, pid int) int64 {
	tb.Helper()
	bytes, err := peakIn(proc(tb, pid, "status"))
	if err != nil {
		tb.Fatal(err)
	}
	return bytes
}

// peakIn reads the peak memory in bytes from the text of /proc/PID/status.
func peakIn(status string) (int64, error) {
	var kB int64
	_, rest, _ := strings.Cut(status, "VmHWM:")
	_, err := fmt.Sscan(rest, &kB)
	return kB << 10, err
}

// checkPeak compares the peak memory of a running certroll with mostMemory.
func (w *world) checkPeak(cmd *exec.Cmd) {
	w.t.Helper()
	bytes := peak(w.t, cmd.Process.Pid)
	w.t.Logf("peak memory %d MB", bytes>>20)
	if bytes > mostMemory && !raced {
		w.t.Errorf("it needed %d MB", bytes>>20)
	}
}

// TestRunOutlastsABomb: certroll rejects a push of 600 MB of zeros with the file's name and records the rejection. The
// last good revision stays in force, and memory use stays low.
func TestRunOutlastsABomb(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	server := labtest.GitHTTP(t)
	url, err := server.Create("bomb")
	if err != nil {
		t.Fatal(err)
	}
	w.repo, w.repoURL, w.repoMore = server.Path("bomb"), url, httpAuth(server)
	w.env = append(w.env, "CERTROLL_GIT_TOKEN="+server.Token)
	w.push(map[string]string{"certs.hcl": oneCertificate}, "Declare a certificate")
	w.settings(`interval = "1s"`)
	cmd, out := w.startRun()
	w.until("the first certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })

	w.pushZeros(w.repo, "main", "sub/big.bin", 600_000_000)
	w.until("the refusal", out, func() bool { return strings.Contains(out.String(), "sub/big.bin (object ") })
	if err := w.vault.API(t.Context(), "DELETE", "secret/data/tls/api", nil, nil); err != nil {
		t.Fatal(err)
	}
	w.until("what was deleted", out, func() bool { return w.countEvents("issue", "success") == 2 })
	w.checkPeak(cmd)
	w.stopRun(cmd, out)
	w.checkPair("tls/api", "api.lab.test")
}

// TestRunOutlastsADamagedLedger: someone pushes garbage and a file of hundreds of MB into the ledger, while the daemon
// runs or before it starts. certroll names the files and issues certificates anyway.
func TestRunOutlastsADamagedLedger(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`interval = "1s"`)
	cmd, out := w.startRun()
	w.until("the first certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	const branch = "certroll/status"
	damage := func(files map[string]string) {
		t.Helper()
		var err error
		for range 20 { // certroll may push concurrently
			if err = lab.Push(t.Context(), w.repo, branch, files, "Damage it"); err == nil {
				return
			}
		}
		t.Fatal(err)
	}
	damage(map[string]string{"certificates/api.json": "garbage", "certificates/zz.json": "{"})
	w.until("the finding", out, func() bool { return w.countEvents("note", "failure") >= 2 })
	w.push(map[string]string{"more.hcl": strings.ReplaceAll(oneCertificate, "api", "more")}, "Declare another")
	w.until("the second certificate", out, func() bool { return w.countEvents("issue", "success") == 2 })
	w.stopRun(cmd, out)

	w.pushZeros(w.repo, branch, "certificates/huge.json", 600_000_000)
	if err := os.RemoveAll(w.dir + "/state"); err != nil { // as on a new machine
		t.Fatal(err)
	}
	if err := w.vault.API(t.Context(), "DELETE", "secret/data/tls/more", nil, nil); err != nil {
		t.Fatal(err)
	}
	cmd, out = w.startRun()
	w.until("what was deleted", out, func() bool { return w.countEvents("issue", "success") == 3 })
	w.until("the finding of the large file", out, func() bool { return w.mentions("certificates/huge.json") })
	w.checkPeak(cmd)
	w.stopRun(cmd, out)
}

// mentions reports whether an event says that a file of the ledger is unreadable.
func (w *world) mentions(file string) bool {
	return slices.ContainsFunc(w.events(), func(e auditEvent) bool {
		return e.Reason == string(ledger.ReasonDamaged) && strings.Contains(e.Message, file)
	})
}
