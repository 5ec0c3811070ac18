package acme

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/redact"
)

// webhook is a fake DNS service for lego's httpreq. Unlike rfc2136 it can store several
// values at one name.
type webhook struct {
	dns      *lab.DNS
	password string
	zones    []string // the zones it serves; empty: all
	gather   int      // number of writes that must be in flight before it answers any

	mu      sync.Mutex
	arrived int
	all     chan struct{}
}

func newWebhook(r *rig) *webhook {
	return &webhook{dns: r.dns, password: random(r.t), all: make(chan struct{})}
}

// account returns an account at the service whose password is a reference.
func (h *webhook) account(t testing.TB, r *rig, name string) *spec.DNSAccount {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	r.secrets(map[string]string{"PASSWORD": h.password})
	return &spec.DNSAccount{
		Reach: spec.Reach{Anything: true},
		Name:  name, Challenge: spec.DNS01, Provider: "httpreq", FollowCNAME: true, Parallel: 8,
		Credentials: map[string]spec.Value{
			"HTTPREQ_ENDPOINT": literal(server.URL), "HTTPREQ_USERNAME": literal("ops"), "HTTPREQ_PASSWORD": secret("PASSWORD"),
		},
		Propagation: spec.Propagation{Nameservers: []string{h.dns.Addr}, Timeout: time.Minute, Interval: 100 * time.Millisecond},
	}
}

func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct{ FQDN, Value string }
	err := json.NewDecoder(r.Body).Decode(&m)
	_, password, _ := r.BasicAuth()
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case password != h.password:
		http.Error(w, "the password "+password+" is not the one", http.StatusUnauthorized)
	case !h.serves(m.FQDN):
		http.Error(w, "no such zone", http.StatusForbidden)
	case r.URL.Path == "/present":
		err = h.present(m.FQDN, m.Value)
	default:
		err = h.cleanup(m.FQDN, m.Value)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (h *webhook) serves(name string) bool {
	for _, zone := range h.zones {
		if strings.HasSuffix(name, "."+zone+".") {
			return true
		}
	}
	return len(h.zones) == 0
}

func (h *webhook) present(name, value string) error {
	h.mu.Lock()
	if h.arrived++; h.arrived == h.gather {
		close(h.all)
	}
	h.mu.Unlock()
	if h.gather > 0 {
		select {
		case <-h.all:
		case <-time.After(time.Minute):
			return errors.New("the others did not come")
		}
	}
	return h.dns.Add(fmt.Sprintf("%s 1 IN TXT %q", name, value))
}

func (h *webhook) cleanup(name, value string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := h.dns.TXT(name)
	h.dns.Remove(name, "TXT")
	for _, v := range rest {
		if v == value {
			continue
		}
		if err := h.dns.Add(fmt.Sprintf("%s 1 IN TXT %q", name, v)); err != nil {
			return err
		}
	}
	return nil
}

// TestTwoValuesAtOneName checks that a name and its wildcard are validated in parallel,
// with two values at one name.
func TestTwoValuesAtOneName(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	a := newWebhook(r).account(t, r, "hook")
	var seen []string
	r.log.on = func(step, _ string) {
		if step == "validate" && seen == nil {
			seen = r.dns.TXT("_acme-challenge.two.lab.test.")
		}
	}
	r.issue(r.client(), []*spec.DNSAccount{a}, "two.lab.test", "*.two.lab.test")
	if len(seen) != 2 || seen[0] == seen[1] {
		t.Errorf("when the CA was asked the name had the values %v, want two", seen)
	}
	r.clean()
}

// TestNamesSideBySide checks that names are processed in parallel: the service answers
// only when the records of all names are being written, so the test would not end
// otherwise.
func TestNamesSideBySide(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	h := newWebhook(r)
	h.gather = 6
	a := h.account(t, r, "hook")
	var names []string
	for i := range h.gather {
		names = append(names, fmt.Sprintf("side%d.lab.test", i))
	}
	r.issue(r.client(), []*spec.DNSAccount{a}, names...)
	r.clean()
}

// TestAccountsOfDifferentZones checks a certificate with names in two zones and an
// account for each. The first account's failure to write to the second zone must not
// exclude it from its own.
func TestAccountsOfDifferentZones(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	password := random(t)
	var accounts []*spec.DNSAccount
	for _, zone := range []string{"lab.test", "other.test"} {
		h := newWebhook(r)
		h.zones, h.password = []string{zone}, password
		accounts = append(accounts, h.account(t, r, zone))
	}
	r.opts.Names = 1 // sequential, and in the worst order
	r.issue(r.client(), accounts, "a.other.test", "b.lab.test", "c.other.test", "d.lab.test")
	if !r.log.has("going on with the DNS account other.test: ") {
		t.Errorf("the change of accounts is not among the reports:\n%s", r.log)
	}
	r.clean()
}

// TestSecretsInProviderErrors checks that a service that quotes its credentials cannot
// bring them into the error.
func TestSecretsInProviderErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	a := newWebhook(r).account(t, r, "hook")
	wrong := random(t)
	r.secrets(map[string]string{"PASSWORD": wrong})
	e := fails(t, r.finishFails(r.client(), []*spec.DNSAccount{a}, "quoted.lab.test"), ledger.ClassDNSUnauthorized, false)
	if !strings.Contains(e.Error(), "the password "+redact.Struck+" is not the one") {
		t.Errorf("the error lacks the service's words: %v", e)
	}
	if strings.Contains(e.Error(), wrong) || r.log.has(wrong) {
		t.Error("the error or a report has the secret")
	}
	if e.Account() != "hook" {
		t.Errorf("the error is of the account %q, want hook", e.Account())
	}
}
