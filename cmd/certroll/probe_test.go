package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
)

// service is a consumer that serves the certificate it loaded last.
type service struct {
	net.Listener
	pair atomic.Pointer[tls.Certificate]
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if pair := s.pair.Load(); pair != nil && hello.ServerName == "api.lab.test" {
			return pair, nil
		}
		return nil, errors.New("nothing is loaded for " + hello.ServerName)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.Listener = l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return s
}

// load reads the secret, as a consumer does at a reload.
func (s *service) load(w *world) {
	w.t.Helper()
	secret := w.secret("tls/api")
	pair, err := tls.X509KeyPair([]byte(secret["fullchain"]), []byte(secret["private_key"]))
	if err != nil {
		w.t.Fatal(err)
	}
	s.pair.Store(&pair)
}

// withProbe returns the certificate with more settings.
func withProbe(more string) map[string]string {
	return map[string]string{"certs.hcl": strings.Replace(oneCertificate, "{\n", "{\n"+more+"\n", 1)}
}

func probeJSON(w *world, code int, args ...string) view.Probed {
	w.t.Helper()
	out := w.certroll(code, append([]string{"probe", "-json"}, args...)...)
	var d view.Probed
	if err := json.Unmarshal([]byte(out), &d); err != nil || strings.Contains(out, `"looks": null`) {
		w.t.Fatalf("probe --json printed %s (%v)", out, err)
	}
	return d
}

// TestRenewedNeverLoaded: a consumer keeps serving version 1. certroll records that once, every place that an operator
// checks shows it, and after a reload certroll records its end.
func TestRenewedNeverLoaded(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`
interval = "1s"
listen   = "127.0.0.1:0"
probe {
  allow    = ["127.0.0.1:*"]
  interval = "1s"
  after    = "1s"
}`)
	w.certroll(0, "apply", "-auto-approve")
	s := newService(t)
	s.load(w)
	endpoint := s.Addr().String()
	probe := fmt.Sprintf("  probe = [%q]", endpoint)
	w.push(withProbe(probe), "Look at it")

	cmd, out := w.startRun()
	address := func() string {
		if m := regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String()); m != nil {
			return m[1]
		}
		return ""
	}
	metric := func(line string) func() bool {
		return func() bool {
			resp, err := http.Get("http://" + address() + "/metrics")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			return err == nil && strings.Contains(string(b), line)
		}
	}
	labels := fmt.Sprintf(`{certificate="api",endpoint=%q}`, endpoint)
	w.until("the first look", out, metric("certroll_probe_current"+labels+" 1"))
	first := w.checkPair("tls/api", "api.lab.test")

	w.push(withProbe(probe+"\n  rotate = \"the key was seen\""), "Rotate it")
	w.until("what was never loaded", out, func() bool { return w.countEvents("probe", "failure") == 1 })
	second := w.checkPair("tls/api", "api.lab.test")
	w.until("the metric", out, metric("certroll_probe_current"+labels+" 0"))
	if !metric("certroll_probe_served_not_after_timestamp_seconds"+labels)() || !metric("certroll_probe_last_timestamp_seconds"+labels)() {
		t.Error("when what is served expires, or was looked at, is not told")
	}
	says := fmt.Sprintf("%s serves serial %x, valid since", endpoint, first.SerialNumber.Bytes())
	for _, e := range w.events() {
		if e.Operation == "probe" && (e.Class != "stale" || e.Certificate != "api" || !strings.HasPrefix(e.Message, says) || !strings.Contains(e.Message, fmt.Sprintf("by serial %x (version 2 of secret/tls/api)", second.SerialNumber.Bytes())) || e.Detail == "") {
			t.Errorf("the event is %+v", e)
		}
	}
	w.says("status", "What is served", endpoint+" serves serial")
	w.says("status api", "probed "+endpoint, "stale, since", "last renewal")
	if page := w.ledgerFile("STATUS.md"); !strings.Contains(page, "## What is served\n\n- **api**, stale since") {
		t.Errorf("STATUS.md says:\n%s", page)
	}
	if d := probeJSON(w, 1); d.Problems != 1 || d.Looks[0].Verdict.Class() != ledger.ClassStale || d.Looks[0].Serial != fmt.Sprintf("%x", first.SerialNumber.Bytes()) {
		t.Errorf("probe saw %+v", d)
	}

	s.load(w)
	w.until("that it is loaded", out, func() bool { return w.countEvents("probe", "success") == 1 })
	w.until("the metric", out, metric("certroll_probe_current"+labels+" 1"))
	w.certroll(0, "status")
	if n := w.countEvents("probe", "failure"); n != 1 {
		t.Errorf("it was told %d times", n)
	}

	s.Close()
	w.until("that it is away", out, func() bool { return w.countEvents("probe", "failure") == 2 })
	w.push(map[string]string{"certs.hcl": oneCertificate}, "Look at it no more")
	w.until("that nobody looks", out, func() bool { return w.countEvents("probe", "success") == 2 })
	w.stopRun(cmd, out)
	if !strings.Contains(out.String(), "msg=probe certificate=api") {
		t.Errorf("the log does not tell:\n%s", out)
	}
	w.certroll(0, "audit", "verify")
}

// TestProbeCommand: the command probes at once, with the token of plan, and only endpoints that certroll.hcl allows.
func TestProbeCommand(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := l.fresh(t, map[string]string{"certs.hcl": oneCertificate, "other.hcl": strings.ReplaceAll(oneCertificate, "api", "other")})
	w.settings("")
	w.saysWith(console.ExitUnseen, "probe other", `"other": it names no endpoints`)
	w.saysWith(console.ExitUnseen, "probe nobody", "declares no certificate of this name")
	if out := w.certroll(0, "probe"); !strings.Contains(out, "No certificate names an endpoint") {
		t.Errorf("it says:\n%s", out)
	}
	s := newService(t)
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w.push(withProbe(fmt.Sprintf("  probe = [%q, %q]", s.Addr(), "localhost:"+port)), "Look at it")
	w.saysWith(console.ExitUnseen, "probe", "Endpoint not allowed", "on certs.hcl:", "127.0.0.1 is none of the certificate's own names", "localhost is none")

	// An allowed name does not allow the address that it resolves to.
	w.settings(fmt.Sprintf("probe {\n  allow = [\"127.0.0.1:%s\", \"localhost:*\"]\n}", port))
	if d := probeJSON(w, 0); len(d.Looks) != 2 || d.Looks[0].Verdict != monitor.VerdictUnissued {
		t.Errorf("before there is a certificate, it saw %+v", d)
	}
	w.certroll(0, "apply", "-auto-approve")
	rules, err := os.ReadFile("../../examples/vault-policies/plan.hcl")
	if err != nil {
		t.Fatal(err)
	}
	w.token = newToken(t, l.vault, "plan", string(rules))
	w.says("probe", "unreachable", "shaking hands with "+s.Addr().String())
	s.load(w)
	if out := w.certroll(0, "probe", "api"); !strings.Contains(out, "current") || !strings.Contains(out, "ok 2 endpoints checked.") {
		t.Errorf("it says:\n%s", out)
	}
	w.settings("probe {\n  allow = [\"10.0.0.0/8:*\", \"localhost:*\", \"127.0.0.1:1\"]\n}")
	w.push(withProbe(fmt.Sprintf("  probe = [%q]", "localhost:"+port)), "Look at it by name")
	w.says("probe", "denied", "localhost leads to no address that may be connected to")

	w.settings("probe {\n  allow = [\"everything\"]\n}")
	w.saysWith(console.ExitUnseen, "probe", "probe.allow has", "the port is missing")
	w.settings("probe {\n  after = \"soon\"\n}")
	w.saysWith(console.ExitUnseen, "probe", "probe.after = \"soon\" is no duration")
}
