package acme

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"certroll/examples/lab"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// hostileCA is Pebble with altered answers.
type hostileCA struct {
	http.RoundTripper
	old, now string
}

func (h hostileCA) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(r)
	if err != nil || resp.Body == nil {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	if bytes.Contains(body, []byte(`"challenges"`)) { // of an authorization
		body = bytes.ReplaceAll(body, []byte(h.old), []byte(h.now))
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// TestForeignIdentifier checks that a CA that asks for a name outside the order causes
// no record to be written or removed, and that the order is discarded.
func TestForeignIdentifier(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	const foreign = "_acme-challenge.www.other.test. 60 IN TXT \"another client's challenge\""
	if err := r.dns.Add(foreign); err != nil {
		t.Fatal(err)
	}
	r.opts.Transport = func(rt http.RoundTripper) http.RoundTripper {
		return hostileCA{rt, `"value": "shop.lab.test"`, `"value": "www.other.test"`}
	}
	e := fails(t, r.finishFails(r.client(), []*spec.DNSAccount{account("dns", r.server())}, "shop.lab.test"), ledger.ClassCARejected, true)
	if !strings.Contains(e.Error(), `"www.other.test"`) || !strings.Contains(e.Error(), "no name for") {
		t.Errorf("it says %v", e)
	}
	if r.log.has("writing the TXT record") {
		t.Errorf("a record was written:\n%s", r.log)
	}
	if left := r.dns.Challenges(); len(left) != 1 {
		t.Errorf("there are the challenges %v", left)
	}
}

// TestCNAMEIsBounded checks that a team with its own zone cannot use a CNAME to replace
// a record in another zone of the account.
func TestCNAMEIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	err := r.dns.Add(
		"_acme-challenge.e.lab.test. 1 IN CNAME _dmarc.other.test.", `_dmarc.other.test. 60 IN TXT "v=DMARC1; p=reject"`,
		"_acme-challenge.f.lab.test. 1 IN CNAME _acme-challenge.other.test.",
		"_acme-challenge.g.lab.test. 1 IN CNAME g.acme.other.test.",
	)
	if err != nil {
		t.Fatal(err)
	}
	c := r.client()
	e := fails(t, r.finishFails(c, []*spec.DNSAccount{account("dns", r.server())}, "e.lab.test"), ledger.ClassConfig, false)
	if !strings.Contains(e.Error(), "it leads to _dmarc.other.test") || !strings.Contains(e.Error(), `dns { cname_zones = ["other.test"] }`) {
		t.Errorf("it says %v", e)
	}
	if r.log.has("writing the TXT record") {
		t.Errorf("a record was written:\n%s", r.log)
	}
	r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "f.lab.test")
	fails(t, r.finishFails(c, []*spec.DNSAccount{account("dns", r.server())}, "g.lab.test"), ledger.ClassConfig, false)
	a := account("dns", r.server())
	a.Reach.Led = []string{"g.acme.other.test"}
	r.issue(c, []*spec.DNSAccount{a}, "g.lab.test")
}

// TestConfinedIssuer checks that certroll contacts the CA of a config-repo issuer only
// at public addresses. It follows no redirect to another host and quotes nothing from
// what answers there.
func TestConfinedIssuer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	metadata := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, "AccessKeyId=INTERNAL-METADATA-SECRET-42")
	}))
	t.Cleanup(metadata.Close)
	redirecting := httptest.NewTLSServer(http.RedirectHandler(metadata.URL+"/latest/meta-data", http.StatusFound))
	t.Cleanup(redirecting.Close)
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: metadata.Certificate().Raw}))
	loopback, why := spec.ParseProbeRules([]string{"127.0.0.0/8:*"})
	if why != "" {
		t.Fatal(why)
	}
	order := func(i *spec.Issuer) *problem.Error {
		i.Name, i.AgreeTOS, i.CABundle = "x", true, bundle
		c := New(newMemory(), Options{})
		defer c.Close()
		_, _, err := c.Order(t.Context(), i, []string{"a.lab.test"}, "")
		e := problem.AsError("", err)
		if err == nil || strings.Contains(e.Error(), "INTERNAL-METADATA") {
			t.Errorf("%s: %v", i.Directory, err)
		}
		return e
	}
	if e := order(&spec.Issuer{Directory: metadata.URL + "/latest"}); ledger.Class(e.Class()) != ledger.ClassConfig || !strings.Contains(e.Error(), "leads to no address that may be connected to") {
		t.Errorf("a loopback address: %v", e)
	}
	if e := order(&spec.Issuer{Directory: strings.Replace(metadata.URL, "127.0.0.1", "localhost", 1) + "/latest"}); ledger.Class(e.Class()) != ledger.ClassConfig {
		t.Errorf("a name that leads to one: %v", e)
	}
	if asked.Load() != 0 {
		t.Error("it was connected to")
	}
	if e := order(&spec.Issuer{Directory: redirecting.URL + "/dir", Reach: spec.Reach{Rules: loopback}}); !strings.Contains(e.Error(), "redirects to another host") || asked.Load() != 0 {
		t.Errorf("a redirect: %v", e)
	}
	// An issuer in certroll.hcl and one in the config repo share no connection.
	free := &spec.Issuer{Directory: metadata.URL + "/latest", Reach: spec.Reach{Anything: true}}
	c := New(newMemory(), Options{})
	defer c.Close()
	one, err1 := c.cas.Of(free)
	two, err2 := c.cas.Of(&spec.Issuer{Directory: free.Directory})
	if err1 != nil || err2 != nil || one == two {
		t.Errorf("they share: %v %v", err1, err2)
	}
}

// TestHeldIsNotUsed checks that certroll contacts neither a CA nor a provider that a
// new rule of certroll.hcl holds.
func TestHeldIsNotUsed(t *testing.T) {
	t.Parallel()
	c := New(newMemory(), Options{})
	defer c.Close()
	held := []spec.Hold{{Subject: "x", Message: "a.hcl:1: Endpoint not allowed"}}
	if _, err := c.cas.Of(&spec.Issuer{Directory: "https://ca.example.com/dir", Held: held}); !problem.HasClass(err, ledger.ClassConfig) {
		t.Errorf("the issuer: %v", err)
	}
	if _, err := c.providers.Open(t.Context(), &spec.DNSAccount{Provider: "pdns", Held: held}); !problem.HasClass(err, ledger.ClassConfig) {
		t.Errorf("the account: %v", err)
	}
}
