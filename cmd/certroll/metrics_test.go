package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestMetricsOfARun: a scrape shows what the daemon did.
func TestMetricsOfARun(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`
interval = "1s"
listen   = "127.0.0.1:0"`)
	cmd, out := w.startRun()
	w.until("the certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
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
