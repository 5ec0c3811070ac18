package attempt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// TestFailedRenderBurnsTheKey checks that certroll discards a key whose fields fail to
// render: changed fields must not reveal more of the same key. No change of the spec
// shortens the wait for the next order.
func TestFailedRenderBurnsTheKey(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com", "www.example.com")
	// With one name, as in the samples, the fields render.
	c.Vault.Fields = reconciletest.FieldsLike(t, `{ key = cert.private_key, n = tostring(tonumber(length(cert.names) == 1 ? "1" : "no")) }`)
	w := reconciletest.NewWorld(t, c)
	report, err := w.Apply(t.Context())
	if err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	e := report.Results[0].Event
	if e.Class != ledger.ClassConfig || !strings.Contains(e.Message, "the key was destroyed") || e.HoldUntil == nil {
		t.Errorf("event: %+v", e)
	}
	if d, err := w.Reconciler().PendingSecrets.Load(t.Context(), "api"); d != nil || err != nil {
		t.Errorf("the draft is there still: %v", err)
	}
	if orders := len(w.Ca.Orders); orders != 1 {
		t.Errorf("%d orders", orders)
	}
	// Neither other fields nor another issuer end the wait.
	for i := range 4 {
		c.Vault.Fields = reconciletest.FieldsLike(t, fmt.Sprintf(`{ key = cert.private_key, n%d = tostring(tonumber(length(cert.names) == 1 ? "1" : "no")) }`, i))
		w.Desired = reconciletest.Desire(c)
		reconciletest.Expect(t, w.Only(), ledger.KindHold, ledger.ReasonBackoff, "failure 1 in a row")
		w.At = w.At.Add(time.Second)
	}
	if orders := len(w.Ca.Orders); orders != 1 {
		t.Errorf("%d orders", orders)
	}
	// After the wait, corrected fields are written with a new key.
	c.Vault.Fields = reconciletest.FieldsLike(t, `{ key = cert.private_key, crt = cert.fullchain }`)
	w.Desired = reconciletest.Desire(c)
	w.At = w.At.Add(time.Hour)
	w.Settle()
	if orders := len(w.Ca.Orders); orders != 2 {
		t.Errorf("%d orders", orders)
	}
}

// TestUnresolvedPasswordKeepsTheDraft checks that a password that cannot be read does
// not discard the key: a later run finishes the order.
func TestUnresolvedPasswordKeepsTheDraft(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Vault.Fields = reconciletest.FieldsLike(t, `{ p12 = pkcs12(env("CERTROLL_DNS_STORE")) }`)
	w := reconciletest.NewWorld(t, c)
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if d, err := w.Reconciler().PendingSecrets.Load(t.Context(), "api"); d == nil || err != nil {
		t.Errorf("the draft is gone: %v", err)
	}
}

// TestPasswordThatEndsInALineBreak checks that certroll creates no keystore with such a
// password for a new secret. It keeps using the password for a keystore that consumers
// already open with it.
func TestPasswordThatEndsInALineBreak(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Vault.Fields = reconciletest.FieldsLike(t, `{ p12 = pkcs12(env("CERTROLL_DNS_STORE")) }`)
	w := reconciletest.NewWorld(t, c)
	w.Opts.Resolve = func(context.Context, spec.Value) (string, error) { return "changeit\n", nil }
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	failed := w.Ledger.Events(t)[0]
	if said := failed.Message; failed.Class != ledger.ClassConfig || !strings.Contains(said, "the environment variable CERTROLL_DNS_STORE ends in a line break") {
		t.Errorf("%s: %s", failed.Class, said)
	}

	c.Vault.Fields = spec.Fields{}
	w.At = w.At.Add(time.Hour)
	w.Settle()
	c.Vault.Fields = reconciletest.FieldsLike(t, `{ p12 = pkcs12(env("CERTROLL_DNS_STORE")) }`)
	c.Rotate = "once more"
	w.At = w.At.Add(time.Hour)
	if report, err := w.Apply(t.Context()); err != nil || len(report.Results) != 1 || report.Failed() != 0 {
		t.Errorf("report %+v, error %v", report, err)
	}
}
