package plan_test

import (
	"strings"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/reconciletest"
)

// lateWrite returns the data of a pending secret that reaches Vault after another
// replica has done the work. It lets an attempt die as soon as the data is stored,
// takes the data away, and finishes the work.
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

// TestLateWriteOfAPendingSecret checks that a late pending secret holds nothing. If the
// certificate is live, one pass destroys the unused key without an order and records
// that once.
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

// TestLateWriteAndARotation checks that a due rotation replaces a late pending secret.
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

// TestLateWriteBeforeTheFirstIssue checks that the next attempt continues a late
// pending secret and writes its metadata first, so that it is recognized if that run
// dies.
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
