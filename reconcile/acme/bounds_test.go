package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/acme/api"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// TestRequestsAreBounded checks that many concurrent certificates need few nonces:
// Let's Encrypt limits requests for new nonces.
func TestRequestsAreBounded(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	f := &faulty{}
	var nonces atomic.Int64
	f.answer = func(req *http.Request) *http.Response {
		if req.Method == http.MethodHead {
			nonces.Add(1)
		}
		return nil
	}
	r.opts.Transport = func(next http.RoundTripper) http.RoundTripper { f.next = next; return f }
	c := r.client()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if _, _, err := c.Order(t.Context(), r.issuer, []string{fmt.Sprintf("b%d.lab.test", i)}, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := nonces.Load(); n > ca.RequestsAtOnce+1 { // one for the new account
		t.Errorf("40 orders asked for %d nonces", n)
	}

	s, err := c.accounts.Session(t.Context(), r.issuer)
	if err != nil {
		t.Fatal(err)
	}
	release, arrived := make(chan struct{}), make(chan struct{})
	for range ca.RequestsAtOnce {
		wg.Go(func() {
			_, err := s.Call(t.Context(), "holding", func(*api.Core) error { arrived <- struct{}{}; <-release; return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range ca.RequestsAtOnce {
		<-arrived
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Call(ctx, "waiting", func(*api.Core) error { t.Error("a request more than allowed was made"); return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the time", err)
	}
	close(release)
	wg.Wait()
}

// TestManyNamesSideBySide checks that many names wait for propagation in parallel,
// although their requests are limited.
func TestManyNamesSideBySide(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.opts.PresentRetry = []time.Duration{} // a retried write would count twice
	h := newWebhook(r)
	h.gather = 30
	a := h.account(t, r, "hook")
	a.Parallel = h.gather
	var names []string
	for i := range h.gather {
		names = append(names, fmt.Sprintf("m%d.lab.test", i))
	}
	r.issue(r.client(), []*spec.DNSAccount{a}, names...)
	r.clean()
}

func TestBindingKeyThatIsNoBase64(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{EAB: map[string]string{"kid-1": "ZmFrZS1obWFjLWtleS1mb3ItdGVzdHMtb25seS0wMDAx"}})
	hmac := random(t) + "!"
	r.issuer.EAB = &spec.EAB{KeyID: literal("kid-1"), HMAC: literal(hmac)}
	_, _, err := r.client().Order(t.Context(), r.issuer, []string{"eab.lab.test"}, "")
	e := fails(t, err, ledger.ClassConfig, false)
	if !strings.Contains(e.Error(), "the eab hmac is not base64url") || strings.Contains(e.Error(), hmac) {
		t.Errorf("the error does not say so, or has the key: %v", e)
	}
}

// TestReasonOfARefusedTSIGKey checks that certroll reports why a name server rejects a
// TSIG key. lego drops this reason, which separates a wrong secret from an unknown key.
func TestReasonOfARefusedTSIGKey(t *testing.T) {
	bind := labtest.BIND(t, "lab.test")
	wrong := base64.StdEncoding.EncodeToString([]byte(random(t)))
	tests := map[string]struct{ key, secret, want string }{
		"wrong secret": {bind.KeyName, wrong, "BADSIG"},
		"unknown key":  {"other-key.", bind.Secret, "BADKEY"},
	}
	c := New(newMemory(), Options{Child: command(t)})
	defer func() { _ = c.Close() }()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := account("bind", nameserver{bind.Addr, test.key, test.secret, bind.Algorithm})
			p, err := c.providers.Open(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Release()
			answer := dnsprovider.Proof{Domain: "refused.lab.test", Token: "token", KeyAuth: "token.thumbprint"}
			e := fails(t, p.Present(t.Context(), answer, "_acme-challenge.refused.lab.test."), ledger.ClassDNSUnauthorized, false)
			if !strings.Contains(e.Error(), "NOTAUTH, "+test.want) || strings.Contains(e.Error(), test.secret) {
				t.Errorf("the error lacks the server's %q, or has the secret: %v", test.want, e)
			}
		})
	}
}
