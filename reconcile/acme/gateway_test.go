package acme

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/spec"
)

// confined returns a DNS account of the config repo that may reach only the allowed
// servers.
func confined(t *testing.T, r *rig, provider string, credentials map[string]string, allow ...string) *spec.DNSAccount {
	t.Helper()
	rules, why := spec.ParseProbeRules(allow)
	if why != "" {
		t.Fatal(why)
	}
	a := &spec.DNSAccount{
		Name: "repo", Challenge: spec.DNS01, Provider: provider, FollowCNAME: true, Parallel: 1, Credentials: map[string]spec.Value{},
		Propagation: spec.Propagation{Nameservers: []string{r.dns.Addr}, Timeout: time.Second, Interval: 100 * time.Millisecond},
		Reach:       spec.Reach{Rules: rules},
	}
	for name, text := range credentials {
		a.Credentials[name] = literal(text)
	}
	return a
}

func hostPortOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestProviderIsConfined checks that a provider cannot reach a metadata service on this
// machine, neither by a redirect nor by a configured URL. No error quotes the service's
// answer.
func TestProviderIsConfined(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dns: nameServer(t, "lab.test"), opts: Options{Resolve: fromTable(nil), PresentRetry: []time.Duration{time.Millisecond}}}
	var asked, redirected atomic.Int32
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, "AccessKeyId=INTERNAL-METADATA-SECRET-42")
	}))
	t.Cleanup(metadata.Close)
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		redirected.Add(1)
		http.Redirect(w, r, metadata.URL+"/latest/meta-data/iam/security-credentials/role", http.StatusFound)
	}))
	t.Cleanup(attacker.Close)
	c := r.client()
	try := func(a *spec.DNSAccount) string {
		t.Helper()
		err := c.Canary(t.Context(), a, "x.lab.test", nil)
		if err == nil {
			t.Fatal("it worked")
		}
		if strings.Contains(err.Error(), "INTERNAL-METADATA") || asked.Load() != 0 {
			t.Errorf("the metadata service was asked %d times: %v", asked.Load(), err)
		}
		return err.Error()
	}
	acmeDNS := func(url string, allow ...string) *spec.DNSAccount {
		return confined(t, r, "acme-dns", map[string]string{"ACME_DNS_API_BASE": url, "ACME_DNS_STORAGE_BASE_URL": url}, allow...)
	}
	try(acmeDNS(attacker.URL, hostPortOf(t, attacker)))
	if redirected.Load() == 0 {
		t.Error("what is allowed was not reached")
	}
	if said := try(acmeDNS(metadata.URL)); !strings.Contains(said, "leads to no address that may be connected to") || !strings.Contains(said, "trust.endpoints") {
		t.Errorf("an address that is not allowed: %s", said)
	}
	byName := strings.Replace(metadata.URL, "127.0.0.1", "localhost", 1)
	if said := try(acmeDNS(byName, "localhost:*")); !strings.Contains(said, "leads to no address that may be connected to") {
		t.Errorf("a name that leads there: %s", said)
	}
	// An account in certroll.hcl is not confined.
	a := acmeDNS(metadata.URL)
	a.Reach = spec.Reach{Anything: true, Ambient: true}
	if err := c.Canary(t.Context(), a, "x.lab.test", nil); err == nil || asked.Load() == 0 {
		t.Errorf("a block of certroll.hcl does not reach it: %v", err)
	}
}

// TestAmbientIdentityIsWithheld checks that route53 without a key uses neither ~/.aws
// nor the machine's instance role unless the account allows it.
func TestAmbientIdentityIsWithheld(t *testing.T) {
	labtest.AllProviders(t)
	t.Parallel()
	r := &rig{t: t, dns: nameServer(t, "lab.test"), opts: Options{Resolve: fromTable(nil), PresentRetry: []time.Duration{time.Millisecond}}}
	c := r.client()
	began := time.Now()
	err := c.Canary(t.Context(), confined(t, r, "route53", map[string]string{"AWS_REGION": "us-east-1", "AWS_MAX_RETRIES": "1"}), "x.lab.test", nil)
	if err == nil || !strings.Contains(err.Error(), "EC2 IMDS") && !strings.Contains(err.Error(), "credential") {
		t.Errorf("after %s it failed of something else than missing credentials: %v", time.Since(began), err)
	}
}

// TestForeignRecordStays checks that a foreign TXT record survives while rfc2136
// answers a challenge at the same name.
func TestForeignRecordStays(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	if err := r.dns.Add(`_acme-challenge.shared.lab.test. 60 IN TXT "another client's challenge"`); err != nil {
		t.Fatal(err)
	}
	r.issue(r.client(), []*spec.DNSAccount{account("dns", r.server())}, "shared.lab.test")
	if left := r.dns.Challenges(); len(left) != 1 {
		t.Errorf("there are the challenges %v, want the foreign one alone", left)
	}
}
