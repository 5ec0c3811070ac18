package acme

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/redact"
)

// TestChildKilledInTheMiddle checks that a DNS child that crashes fails only the call
// in progress, and that the next child removes the record that the crashed one wrote.
func TestChildKilledInTheMiddle(t *testing.T) {
	needsLinux(t)
	r := newRig(t, lab.PebbleOptions{})
	r.dns.SetLag(300 * time.Millisecond)
	program, pidFile := command(t)[0], filepath.Join(t.TempDir(), "pid")
	r.opts.Child = []string{"sh", "-c", `echo $$ > "$1"; exec "$0"`, program, pidFile}
	c := r.client()
	var once sync.Once
	r.log.on = func(step, detail string) {
		if strings.Contains(detail, "to be seen by") {
			once.Do(func() {
				text, err := os.ReadFile(pidFile)
				if err != nil {
					t.Error(err)
					return
				}
				pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
				if err != nil {
					t.Error(err)
					return
				}
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			})
		}
	}
	r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "killed.lab.test")
	r.clean()
}

func TestChildThatCrashes(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.opts.Child = []string{os.Args[0], "crashing-child"}
	value := random(t)
	r.secrets(map[string]string{"SECRET": value})
	a := account("dns", r.server())
	a.Credentials["DNSUPDATE_TSIG_SECRET"] = secret("SECRET")
	c := r.client()
	_, csr := request(t, "crash.lab.test")
	_, _, _, err := c.Finish(t.Context(), r.issuer, r.order(c, "crash.lab.test"), csr, []*spec.DNSAccount{a}, r.log.add)
	e := fails(t, err, ledger.ClassDNSUnavailable, false)
	if !strings.Contains(e.Error(), "about to fail on purpose, with "+redact.Struck) {
		t.Errorf("the error lacks the child's last words: %v", e)
	}
	if strings.Contains(e.Error(), value) || r.log.has(value) {
		t.Error("the error or a report has the secret")
	}
}

func needsLinux(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("runs a shell script as the DNS child, and looks into /proc")
	}
}
