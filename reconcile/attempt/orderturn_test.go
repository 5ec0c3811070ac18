package attempt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// dual returns certificates with the same names, as for two key algorithms.
func dual(names ...string) []*spec.Certificate {
	var list []*spec.Certificate
	for _, n := range names {
		list = append(list, reconciletest.Certificate(n, "dual.example.com"))
	}
	return list
}

// TestOneOrderForSeveralCertificates checks certificates with the same names at a CA
// that returns the same open order for them. Each must get its own order, all in one
// pass.
func TestOneOrderForSeveralCertificates(t *testing.T) {
	w := reconciletest.NewWorld(t, dual("ec", "rsa", "other")...)
	w.Desired.Certificates[1].Key.Algorithm = spec.RSA
	w.Settle()
	if n := len(w.Ca.Orders); n != 3 {
		t.Errorf("%d orders for 3 certificates", n)
	}
	serials := map[string]bool{}
	for _, name := range []string{"ec", "rsa", "other"} {
		p := w.SecretPair("tls/" + name)
		if err := p.Check([]string{"dual.example.com"}, w.At); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		serials[keypair.SerialOf(p.Leaf())] = true
	}
	if len(serials) != 3 {
		t.Errorf("%d different certificates, want 3", len(serials))
	}
}

// TestOrderOfAnother checks that a certificate whose failed attempt's order the CA has
// given to another certificate makes one new order at once, without a failure.
func TestOrderOfAnother(t *testing.T) {
	all := dual("first", "second")
	w := reconciletest.NewWorld(t, all...)
	w.Desired.Certificates = all[:1]
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			return &reconciletest.CaError{Code: "dns_propagation", Text: "no TXT record"}
		}
		return nil
	}
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.Ca.Fail = nil
	w.Desired.Certificates = all[1:]
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 0 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if n := len(w.Ca.Orders); n != 1 {
		t.Fatalf("%d orders: the CA did not hand out the one that was open", n)
	}
	w.Desired.Certificates = all
	w.At = w.At.Add(time.Hour)
	report, err := w.Apply(t.Context())
	if err != nil || report.Failed() != 0 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if err := w.SecretPair("tls/first").Check([]string{"dual.example.com"}, w.At); err != nil {
		t.Error(err)
	}
	if n := len(w.Ca.Orders); n != 2 {
		t.Errorf("%d orders, want the shared one and a new one", n)
	}
}

// TestOrderOfAnotherForEver checks that a CA that answers each order with another's
// certificate gets one new order per attempt, and no more.
func TestOrderOfAnotherForEver(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Answer = strangersChain(t, w)
	report, err := w.Apply(t.Context())
	if err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	e := report.Results[0].Event
	if e.Class != ledger.ClassCARejected || !strings.Contains(e.Message, "has a certificate with another key") {
		t.Errorf("event: %+v", e)
	}
	if n := len(w.Ca.Replaced); n != 2 {
		t.Errorf("%d orders in one attempt, want 2", n)
	}
}

// strangersChain returns a chain of the CA for an unknown key.
func strangersChain(t testing.TB, w *reconciletest.World) []byte {
	t.Helper()
	k, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		t.Fatal(err)
	}
	return w.Ca.Sign([]string{"api.example.com"}, k.Public())
}

func TestOrderTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o attempt.OrderTurns
		nothing := func() {}
		done, err := o.AwaitTurn(t.Context(), "a", nothing)
		if err != nil {
			t.Fatal(err)
		}
		if other, err := o.AwaitTurn(t.Context(), "b", nothing); err != nil {
			t.Error(err)
		} else {
			other()
		}
		ctx, cancel := context.WithCancel(t.Context())
		waits := 0
		go func() { synctest.Wait(); cancel() }()
		if _, err := o.AwaitTurn(ctx, "a", func() { waits++ }); !errors.Is(err, context.Canceled) || waits != 1 {
			t.Errorf("got %v after %d reports, want an interruption after one", err, waits)
		}
		began := time.Now()
		if _, err := o.AwaitTurn(t.Context(), "a", nothing); err == nil || !strings.Contains(err.Error(), "this one is ordered after it") || time.Since(began) != attempt.AttemptTime {
			t.Errorf("got %v after %s, want an end after %s", err, time.Since(began), attempt.AttemptTime)
		}
		got := make(chan error)
		go func() {
			next, err := o.AwaitTurn(t.Context(), "a", nothing)
			if err == nil {
				next()
			}
			got <- err
		}()
		synctest.Wait()
		done()
		if err := <-got; err != nil {
			t.Error(err)
		}
		if n := o.Len(); n != 0 {
			t.Errorf("%d turns are kept", n)
		}
	})
}
