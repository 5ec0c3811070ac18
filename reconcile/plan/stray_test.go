package plan_test

import (
	"strings"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/reconciletest"
)

// lateWrite is the data of a pending secret that reached Vault after another replica
// had done the work: the attempt of a certificate dies as soon as the data is there,
// the secret is kept aside, and the rest of the work is done.
func lateWrite(t *testing.T, w *reconciletest.World) map[string]string {
	t.Helper()
	for n := 1; n < 100; n++ {
		w.DyingAt(n)
		if s := w.Vault.Secrets[reconciletest.PendingOfAPI]; s != nil && len(s.Versions) > 0 {
			return s.Versions[0].Data
		}
	}
	t.Fatal("no pending secret was written")
	return nil
}

// TestLateWriteOfAPendingSecret holds nothing back. Where the certificate is live, one
// pass destroys the key that nobody uses, without an order, and says so once.
func TestLateWriteOfAPendingSecret(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("web", "web.example.com"))
	data := lateWrite(t, w)
	w.Settle()
	orders, recorded := len(w.Ca.Orders), len(w.Ledger.Events(t))
	w.Arrives(data)
	for _, a := range w.Plan() {
		if a.Kind == ledger.KindHold {
			t.Errorf("%s is held: %s", a.Certificate, a.Detail)
		}
	}
	w.Settle()
	if w.Vault.Secrets[reconciletest.PendingOfAPI] != nil {
		t.Error("the key is still there")
	}
	if n := len(w.Ca.Orders); n != orders {
		t.Errorf("%d orders, want %d", n, orders)
	}
	events := w.Ledger.Events(t)
	if len(events) != recorded+1 {
		t.Fatalf("%d more events, want 1", len(events)-recorded)
	}
	if e := events[recorded]; e.Certificate != "api" || e.Operation != ledger.KindRepair || e.Status != ledger.Success || !strings.Contains(e.Detail, "reached Vault late") {
		t.Errorf("it is told as %+v", e)
	}
	if again := w.Settle(); again.Commit != "" {
		t.Errorf("there is more to do afterwards: %+v", w.Plan())
	}
}

// TestLateWriteAndARotation: a rotation that is due replaces what came late.
func TestLateWriteAndARotation(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	data := lateWrite(t, w)
	w.Settle()
	orders, serial := len(w.Ca.Orders), w.Only().Secret.Live.Serial
	w.Arrives(data)
	c.Rotate = "leaked"
	w.Settle()
	if now := w.Only(); now.Kind != ledger.KindNone || now.Secret.Live.Serial == serial || now.Secret.Version != 2 {
		t.Errorf("after the rotation: %+v", now)
	}
	if n := len(w.Ca.Orders); n != orders+1 || w.Vault.Secrets[reconciletest.PendingOfAPI] != nil {
		t.Errorf("%d orders, want %d; left is %+v", n, orders+1, w.Vault.Secrets[reconciletest.PendingOfAPI])
	}
}

// TestLateWriteBeforeTheFirstIssue: the attempt that comes goes on with it, and writes
// its metadata before anything else: a run that dies then is known again.
func TestLateWriteBeforeTheFirstIssue(t *testing.T) {
	for n := 1; ; n++ {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
		w.Arrives(lateWrite(t, w))
		died := w.DyingAt(n)
		if s := w.Vault.Secrets[reconciletest.PendingOfAPI]; s != nil && len(s.Versions) > 1 && s.Custom[observe.MetaVersion] == "" {
			t.Errorf("call %d: the pending secret was written again, still without metadata", n)
		}
		w.Settle()
		reconciletest.CheckSettled(t, w)
		if w.Vault.Secrets[reconciletest.PendingOfAPI] != nil {
			t.Errorf("call %d: a pending secret is left", n)
		}
		if !died {
			return
		}
	}
}
