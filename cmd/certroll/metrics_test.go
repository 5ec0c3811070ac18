package main

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"certroll/reconcile"
	"certroll/spec"
)

// TestMetricsDocumented: every metric is in the reference, follows the
// conventions, and is told of some certificate.
func TestMetricsDocumented(t *testing.T) {
	m := newMetrics()
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	live := &reconcile.Live{NotAfter: at.Add(time.Hour), IssuedAt: at, Version: 3, Issuer: "le"}
	secret := reconcile.Secret{Owner: "api", Live: live}
	record := &reconcile.Record{Certificate: "api", State: reconcile.StateFailing, Failures: 3, Severity: reconcile.SeverityPage, RenewAt: &at,
		LastFailure: &reconcile.Failure{Class: reconcile.ClassCAA}}
	m.passed(reconcile.Pass{
		Report: &reconcile.Report{Results: []reconcile.Result{{Event: reconcile.Event{Operation: reconcile.KindRenew, Status: reconcile.Failed, Class: reconcile.ClassCAA}}}},
		Standing: []reconcile.Action{
			{Certificate: "api", Kind: reconcile.KindHold, Reason: reconcile.ReasonBackoff, NotBefore: at, Spec: &spec.Certificate{}, Secret: secret, Record: record},
			{Certificate: "off", Kind: reconcile.KindNone, Reason: reconcile.ReasonUnmanaged, Spec: &spec.Certificate{}},
			{Certificate: "gone", Kind: reconcile.KindRetire},
		},
		Records: []*reconcile.Record{record}, Rewound: at,
	}, "c0ffee", at)
	m.hold(reconcile.ReasonUnsigned)
	m.look(func() []reconcile.Look {
		return []reconcile.Look{{Certificate: "api", Endpoint: "api.example.com:443", Verdict: reconcile.ServesStale, NotAfter: &at, At: at}}
	})
	m.notified("ops", nil)
	problems, err := testutil.GatherAndLint(m)
	if err != nil || len(problems) > 0 {
		t.Error(err, problems)
	}
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, found := range regexp.MustCompile("(?m)^\\| `(certroll_[a-z_]+)`").FindAllStringSubmatch(string(text), -1) {
		documented[found[1]] = true
	}
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !documented[f.GetName()] {
			t.Errorf("%s is not in docs/metrics.md", f.GetName())
		}
		delete(documented, f.GetName())
	}
	for name := range documented {
		t.Errorf("%s is in docs/metrics.md and was not told", name)
	}
}

// TestMetricsOfARun: a scrape of the daemon shows what it did.
func TestMetricsOfARun(t *testing.T) {
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`
interval = "1s"
listen   = "127.0.0.1:0"`)
	cmd, out := w.startRun()
	w.until("the certificate", out, func() bool { return w.told("issue", "success") == 1 })
	address := regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())
	if address == nil {
		t.Fatalf("it does not say where it listens:\n%s", out)
	}
	var body string
	w.until("the metrics", out, func() bool {
		resp, err := http.Get("http://" + address[1] + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		body = string(b)
		return err == nil && strings.Contains(body, `certroll_certificate_not_after_timestamp_seconds{certificate="api",issuer="pebble"}`)
	})
	for _, line := range []string{`certroll_certificates{state="live"} 1`, `certroll_operations_total{class="",dns_account="lab",issuer="pebble",operation="issue",status="success"} 1`} {
		if !strings.Contains(body, line) {
			t.Errorf("the metrics lack %s:\n%s", line, body)
		}
	}
	w.noSecrets(body)
	w.stopRun(cmd, out)
}
