package acme

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// finishFails orders and finishes a certificate and returns the error.
func (r *rig) finishFails(c *Client, accounts []*spec.DNSAccount, names ...string) error {
	r.t.Helper()
	_, csr := request(r.t, names...)
	_, _, _, err := c.Finish(r.t.Context(), r.issuer, r.order(c, names...), csr, accounts, r.log.add)
	if err == nil {
		r.t.Fatal("Finish succeeded")
	}
	return err
}

func (r *rig) wrongKey(name string) *spec.DNSAccount {
	s := r.server()
	s.secret = "d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZy1rZXk="
	return account(name, s)
}

func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	names := []string{"r1.lab.test", "r2.lab.test", "r3.lab.test"}
	t.Run("another account takes over", func(t *testing.T) {
		_, csr := request(t, names...)
		_, used, passed, err := c.Finish(t.Context(), r.issuer, r.order(c, names...), csr, []*spec.DNSAccount{r.wrongKey("old"), account("new", r.server())}, r.log.add)
		if err != nil || used != "new" {
			t.Errorf("the account that worked is %q (%v), want new", used, err)
		}
		if len(passed) != 1 {
			t.Fatalf("%d accounts were passed over, want old, once for all names: %v", len(passed), passed)
		}
		if e := fails(t, passed[0], ledger.ClassDNSUnauthorized, false); e.Account() != "old" {
			t.Errorf("passed over was %q, want old", e.Account())
		}
		if !r.log.has("going on with the DNS account new: writing the TXT record _acme-challenge.r") {
			t.Errorf("the change of accounts is not among the reports:\n%s", r.log)
		}
	})
	t.Run("there is no other", func(t *testing.T) {
		e := fails(t, r.finishFails(c, []*spec.DNSAccount{r.wrongKey("old")}, "r4.lab.test"), ledger.ClassDNSUnauthorized, false)
		if !strings.Contains(e.Error(), "DNS account old") || e.Account() != "old" {
			t.Errorf("the error does not name the account: %v", e)
		}
	})
	t.Run("none of several", func(t *testing.T) {
		down := account("down", nameserver{closedPort, "key.", "c2VjcmV0LXNlY3JldA==", "hmac-sha256."})
		e := fails(t, r.finishFails(c, []*spec.DNSAccount{r.wrongKey("old"), down}, "r5.lab.test"), ledger.ClassDNSUnavailable, false)
		if !strings.Contains(e.Error(), "DNS account old") || !strings.Contains(e.Error(), "DNS account down") {
			t.Errorf("the error does not tell of both accounts: %v", e)
		}
	})
	r.clean()
}

// closedPort is an address where nothing listens. A port that was free a moment ago may
// meanwhile belong to another test.
const closedPort = "127.0.0.1:1"

func TestProviderUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	r.dns.FailUpdates(lab.ServFail)
	e := fails(t, r.finishFails(c, []*spec.DNSAccount{account("dns", r.server())}, "u1.lab.test"), ledger.ClassDNSUnavailable, false)
	if !strings.Contains(e.Error(), "SERVFAIL") {
		t.Errorf("the error lacks the server's words: %v", e)
	}
	// Three tries, and one removal of what may have been written.
	if got := r.dns.Updates(); got != 4 {
		t.Errorf("%d updates were sent, want 4", got)
	}
	t.Run("for a moment", func(t *testing.T) {
		r.log.on = func(_, detail string) {
			if strings.Contains(detail, "trying again in") {
				r.dns.FailUpdates(lab.None)
			}
		}
		r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "u2.lab.test")
	})
	r.clean()
}

// TestCNAMEUnavailable checks that certroll retries a failed CNAME lookup as often as a
// failed provider call.
func TestCNAMEUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	r.dns.FailQueries(lab.ServFail)
	e := fails(t, r.finishFails(c, []*spec.DNSAccount{account("dns", r.server())}, "c1.lab.test"), ledger.ClassDNSUnavailable, false)
	if !strings.Contains(e.Error(), "looking for a CNAME") || !strings.Contains(e.Error(), "SERVFAIL") {
		t.Errorf("the error lacks what was looked for and the server's words: %v", e)
	}
	if !r.log.has("trying again in 20ms") {
		t.Errorf("it was not tried three times:\n%s", r.log)
	}
	t.Run("for a moment", func(t *testing.T) {
		r.log.on = func(_, detail string) {
			if strings.Contains(detail, "trying again in") {
				r.dns.FailQueries(lab.None)
			}
		}
		r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "c2.lab.test")
	})
	r.clean()
}

func TestPropagation(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	t.Run("late", func(t *testing.T) {
		r.dns.SetLag(400 * time.Millisecond)
		r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "late.lab.test")
		if !r.log.has("waiting for the TXT record _acme-challenge.late.lab.test. to be seen by " + r.dns.Addr) {
			t.Errorf("the waiting is not among the reports:\n%s", r.log)
		}
	})
	t.Run("never", func(t *testing.T) {
		r.dns.SetLag(time.Hour)
		a := account("dns", r.server())
		a.Propagation.Timeout = 300 * time.Millisecond
		e := fails(t, r.finishFails(c, []*spec.DNSAccount{a}, "never.lab.test"), ledger.ClassDNSPropagation, false)
		if !strings.Contains(e.Error(), r.dns.Addr+" answered") {
			t.Errorf("the error does not say what the server answered: %v", e)
		}
	})
	t.Run("of two servers one is down", func(t *testing.T) {
		r.dns.SetLag(0)
		a := account("dns", r.server())
		a.Propagation.Nameservers = []string{closedPort, r.dns.Addr}
		r.issue(c, []*spec.DNSAccount{a}, "half.lab.test")
	})
	t.Run("a fixed wait", func(t *testing.T) {
		a := account("dns", r.server())
		a.Propagation.Wait = 30 * time.Millisecond
		checked := -1
		r.log.on = func(step, _ string) {
			if step == "validate" {
				checked = r.dns.Asked("_acme-challenge.wait.lab.test.", "TXT")
			}
		}
		start := time.Now()
		r.issue(c, []*spec.DNSAccount{a}, "wait.lab.test")
		if d := time.Since(start); d < 30*time.Millisecond {
			t.Errorf("it took %s, less than the wait", d)
		}
		if checked != 0 {
			t.Errorf("the name was asked for %d times before the CA was told, want none", checked)
		}
	})
	r.clean()
}

func TestCNAME(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	err := r.dns.Add(
		"_acme-challenge.diverted.lab.test. 1 IN CNAME hop.other.test.", "hop.other.test. 1 IN CNAME target.other.test.",
		"_acme-challenge.undiverted.lab.test. 1 IN CNAME target.other.test.",
		"_acme-challenge.circle.lab.test. 1 IN CNAME round.lab.test.", "round.lab.test. 1 IN CNAME _acme-challenge.circle.lab.test.",
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("followed", func(t *testing.T) {
		a := account("dns", r.server())
		a.Reach.Zones = []string{"other.test"}
		r.issue(c, []*spec.DNSAccount{a}, "diverted.lab.test")
		if !r.log.has("writing the TXT record target.other.test.") {
			t.Errorf("the record went elsewhere:\n%s", r.log)
		}
	})
	t.Run("turned off", func(t *testing.T) {
		a := account("dns", r.server())
		a.FollowCNAME = false
		a.Propagation.Wait = time.Millisecond
		e := fails(t, r.finishFails(c, []*spec.DNSAccount{a}, "undiverted.lab.test"), ledger.ClassValidation, true)
		if !r.log.has("writing the TXT record _acme-challenge.undiverted.lab.test.") {
			t.Errorf("the record went elsewhere: %v\n%s", e, r.log)
		}
	})
	t.Run("in a circle", func(t *testing.T) {
		fails(t, r.finishFails(c, []*spec.DNSAccount{account("dns", r.server())}, "circle.lab.test"), ledger.ClassConfig, false)
	})
	t.Run("resolvers down", func(t *testing.T) {
		a := account("dns", r.server())
		a.Propagation.Nameservers = []string{closedPort}
		e := fails(t, r.finishFails(c, []*spec.DNSAccount{a}, "unresolved.lab.test"), ledger.ClassDNSUnavailable, false)
		if !strings.Contains(e.Error(), "looking for a CNAME") {
			t.Errorf("the error does not say what was done: %v", e)
		}
	})
	r.clean()
}

// TestCertificatesThatShareARecord checks names of several certificates that lead to
// one record, with a provider that removes all its values at once: the certificates
// must take turns and wait for caches.
func TestCertificatesThatShareARecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	w := &wholesale{}
	whole := w.account(t, r, "whole")
	const n = 4
	for i := range n {
		if err := r.dns.Add(fmt.Sprintf("_acme-challenge.s%d.lab.test. 1 IN CNAME _acme-challenge.shared.other.test.", i)); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, csr := request(t, fmt.Sprintf("s%d.lab.test", i))
			url, _, err := c.Order(t.Context(), r.issuer, []string{fmt.Sprintf("s%d.lab.test", i)}, "")
			if err == nil {
				_, _, _, err = c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{whole}, r.log.add)
			}
			if err != nil {
				t.Errorf("certificate %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if d := time.Since(start); d < (n-1)*time.Second {
		t.Errorf("it took %s: the TTL of a second was not waited for between the %d", d, n)
	}
	r.clean()
}

func TestInterruptedWhileWaiting(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.dns.SetLag(time.Hour)
	c := r.client()
	_, csr := request(t, "stop.lab.test")
	url := r.order(c, "stop.lab.test")
	ctx, cancel := context.WithCancel(t.Context())
	r.log.on = func(_, detail string) {
		if strings.Contains(detail, "to be seen by") {
			cancel()
		}
	}
	_, _, _, err := c.Finish(ctx, r.issuer, url, csr, []*spec.DNSAccount{account("dns", r.server())}, r.log.add)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an interruption", err)
	}
	fails(t, err, ledger.ClassInternal, false)
	r.clean()
}

func TestCleanupFailureIsReported(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.log.on = func(step, _ string) {
		if step == "validate" {
			r.dns.FailUpdates(lab.Refuse)
		}
	}
	r.issue(r.client(), []*spec.DNSAccount{account("dns", r.server())}, "untidy.lab.test")
	if !r.log.has("cleanup: the TXT record _acme-challenge.untidy.lab.test. could not be removed") {
		t.Errorf("the failure is not among the reports:\n%s", r.log)
	}
}

func TestHTTP01(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	listen := &spec.DNSAccount{Name: "web", Challenge: spec.HTTP01, Listen: fmt.Sprintf("127.0.0.1:%d", r.ca.HTTPPort)}
	c := r.client()
	t.Run("names and an address", func(t *testing.T) {
		if _, used := r.issue(c, []*spec.DNSAccount{listen}, "h1.lab.test", "h2.lab.test", "127.0.0.1"); used != "web" {
			t.Errorf("the account that worked is %q, want web", used)
		}
	})
	t.Run("side by side", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				name := fmt.Sprintf("hs%d.lab.test", i)
				_, csr := request(t, name)
				url, _, err := c.Order(t.Context(), r.issuer, []string{name}, "")
				if err == nil {
					_, _, _, err = c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{listen}, nil)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("a wildcard needs another account", func(t *testing.T) {
		_, used := r.issue(c, []*spec.DNSAccount{listen, account("dns", r.server())}, "*.h3.lab.test")
		if used != "dns" {
			t.Errorf("the account that worked is %q, want dns", used)
		}
		fails(t, r.finishFails(c, []*spec.DNSAccount{listen}, "*.h4.lab.test"), ledger.ClassConfig, false)
	})
	t.Run("address in use", func(t *testing.T) {
		taken, err := net.Listen("tcp", listen.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = taken.Close() }()
		e := fails(t, r.finishFails(c, []*spec.DNSAccount{listen}, "h5.lab.test"), ledger.ClassConfig, false)
		if !strings.Contains(e.Error(), listen.Listen) {
			t.Errorf("the error does not name the address: %v", e)
		}
	})
}

func TestWebroot(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	root := t.TempDir()
	a := &spec.DNSAccount{Name: "web", Challenge: spec.HTTP01, Webroot: root}
	serveFiles(t, fmt.Sprintf("127.0.0.1:%d", r.ca.HTTPPort), root)
	c := r.client()
	r.issue(c, []*spec.DNSAccount{a}, "w1.lab.test", "w2.lab.test")
	if left, _ := filepath.Glob(filepath.Join(root, ".*")); len(left) > 0 {
		t.Errorf("directories of ours are left: %v", left)
	}
	mine := filepath.Join(root, ".well-known")
	if err := os.Mkdir(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	r.issue(c, []*spec.DNSAccount{a}, "w3.lab.test")
	if left, err := os.ReadDir(mine); err != nil || len(left) > 0 {
		t.Errorf("a directory that was there before is gone or not as it was: %v, %v", left, err)
	}
	a.Webroot = filepath.Join(root, "missing")
	fails(t, r.finishFails(c, []*spec.DNSAccount{a}, "w4.lab.test"), ledger.ClassConfig, false)
}

func TestTLSALPN01(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	a := &spec.DNSAccount{Name: "alpn", Challenge: spec.TLSALPN01, Listen: fmt.Sprintf("127.0.0.1:%d", r.ca.TLSPort)}
	if _, used := r.issue(r.client(), []*spec.DNSAccount{a}, "t1.lab.test", "t2.lab.test", "127.0.0.1"); used != "alpn" {
		t.Errorf("the account that worked is %q, want alpn", used)
	}
}
