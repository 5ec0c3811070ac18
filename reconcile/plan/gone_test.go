package plan_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// TestDeletedSecretIsTold checks that the deletion of a live secret pages once, is
// notified as tampering, and is followed by a reissue at once.
func TestDeletedSecretIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		undo func(w *reconciletest.World)
		says string
	}{
		"deleted":                   {func(w *reconciletest.World) { w.Vault.Deletes("secret/tls/api", true) }, "vault kv undelete -mount=secret -versions=1 tls/api brings it back without the CA"},
		"deleted with all versions": {func(w *reconciletest.World) { delete(w.Vault.Secrets, "secret/tls/api") }, "no command brings it back"},
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("www", "www.example.com"))
			w.Settle()
			tc.undo(w)
			w.At = w.At.Add(time.Hour)
			w.Settle()
			deletions := w.Deletions(t)
			if len(deletions) != 1 || deletions[0].Severity != ledger.SeverityPage || !strings.Contains(deletions[0].Message, tc.says) || deletions[0].VaultPath != "secret/tls/api" {
				t.Fatalf("told: %+v", deletions)
			}
			events := w.Ledger.Events(t)
			if e := events[len(events)-1]; e.Operation != ledger.KindIssue || e.Reason != ledger.ReasonDeleted || e.Status != ledger.Success {
				t.Errorf("it was not issued again: %+v", e)
			}
			var kinds []outbox.NoticeKind
			for _, n := range outbox.Notices(events, len(events)-2) {
				kinds = append(kinds, n.Kinds[0])
			}
			if !slices.Equal(kinds, []outbox.NoticeKind{outbox.NoticeTampered, outbox.NoticeResolved}) {
				t.Errorf("notices: %v", kinds)
			}
			if r := w.Ledger.Record(t, "api"); r.Gone != nil || r.StateAt(w.At) != ledger.StateInOrder {
				t.Errorf("the record after it: %+v", r)
			}
		})
	}
}

// TestDeletedSecretShowsUntilItIsBack checks that while the CA is down the record says
// that the secret is gone and how it returns. If a person restores it, certroll orders
// nothing.
func TestDeletedSecretShowsUntilItIsBack(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("www", "www.example.com"))
	w.Settle()
	w.Vault.Deletes("secret/tls/api", true)
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_unavailable", Text: "503"} }
	for range 3 {
		w.At = w.At.Add(time.Hour)
		if _, err := w.Apply(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.Deletions(t)); n != 1 {
		t.Errorf("%d events, want one", n)
	}
	r := w.Ledger.Record(t, "api")
	if r.Gone == nil || r.Gone.Version != 1 || r.StateAt(w.At) != ledger.StateDeleted || !strings.Contains(r.WaitsFor(), "vault kv undelete") || !strings.Contains(r.WaitsFor(), "503") {
		t.Errorf("the record says %q, gone %+v", r.WaitsFor(), r.Gone)
	}
	if page := string(w.Ledger.Tree["STATUS.md"].Data); !strings.Contains(page, "**deleted, page**") {
		t.Errorf("STATUS.md:\n%s", page)
	}
	orders := w.Ca.Calls["order"]
	w.Ca.Fail = nil
	w.Vault.Deletes("secret/tls/api", false)
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.Gone != nil || r.State != ledger.StateLive || w.Ca.Calls["order"] != orders {
		t.Errorf("%d orders; the record after it was brought back: %+v", w.Ca.Calls["order"]-orders, r)
	}
}

// TestDeletedWhileRenewalIsOff checks a deleted secret with renewal.auto off. certroll
// writes nothing, records that it left the secret alone, pages, and shows the problem
// until the secret is back.
func TestDeletedWhileRenewalIsOff(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c, reconciletest.Certificate("www", "www.example.com"))
	w.Settle()
	c.Renewal.Auto = false
	w.Settle()
	w.Vault.Deletes("secret/tls/api", true)
	for range 2 {
		w.At = w.At.Add(time.Hour)
		w.Settle()
	}
	events := w.Ledger.Events(t)
	if e := events[len(events)-1]; e.Reason != ledger.ReasonLeftAlone || e.Severity != ledger.SeverityPage || len(w.Deletions(t)) != 0 {
		t.Errorf("event: %+v", e)
	}
	if r := w.Ledger.Record(t, "api"); r.StateAt(w.At) != ledger.StateDeleted {
		t.Errorf("its state is %s: %+v", r.StateAt(w.At), r)
	}
	w.Vault.Deletes("secret/tls/api", false)
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.StateAt(w.At) != ledger.StateUnmanaged || r.Gone != nil || len(w.Ca.Orders) != 2 {
		t.Errorf("its state is %s, %d orders: %+v", r.StateAt(w.At), len(w.Ca.Orders), r)
	}
}

// TestAnEmptyVaultIsOneProblem checks that many deletions held by the brake have the brake's
// event alone, and that the record of each says that its secret is gone.
func TestAnEmptyVaultIsOneProblem(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Crowd(20, "example.com")...)
	w.Settle()
	stored := maps.Clone(w.Vault.Secrets)
	clear(w.Vault.Secrets)
	before := len(w.Ledger.Events(t))
	for range 3 {
		w.At = w.At.Add(time.Hour)
		w.Settle()
	}
	if n := len(w.Deletions(t)); n != 0 {
		t.Errorf("%d events beside the brake's", n)
	}
	if n := len(w.Ledger.Events(t)) - before; n != 1 {
		t.Errorf("%d events, want one", n)
	}
	for _, c := range w.Desired.Certificates {
		if r := w.Ledger.Record(t, c.Name); r.StateAt(w.At) != ledger.StateDeleted || !strings.Contains(r.WaitsFor(), "deleted with all its versions") {
			t.Errorf("%s is %s: %s", c.Name, r.StateAt(w.At), r.WaitsFor())
		}
	}
	maps.Copy(w.Vault.Secrets, stored)
	w.Settle()
	for _, c := range w.Desired.Certificates {
		if r := w.Ledger.Record(t, c.Name); r.Gone != nil || r.StateAt(w.At) != ledger.StateInOrder {
			t.Errorf("%s is %s after its secret came back", c.Name, r.StateAt(w.At))
		}
	}
	if n := len(w.Ca.Orders); n != 20 {
		t.Errorf("%d orders", n)
	}
}

// TestDeletedWhileTheBrakeHolds checks a deleted secret whose reissue waits for a person: it
// pages with the command that restores it, and its record says so until it is back or a
// person accepts the reissue.
func TestDeletedWhileTheBrakeHolds(t *testing.T) {
	for _, accepts := range []bool{false, true} {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("www", "www.example.com"))
		w.Settle()
		www := w.Desired.Certificates[1]
		www.Domains = append(www.Domains, spec.Domain{ASCII: "more.example.com"})
		w.Settle()
		w.Vault.Deletes("secret/tls/api", true)
		for range 3 {
			w.At = w.At.Add(time.Hour)
			w.Settle()
		}
		if n := w.Stopped(); n != 1 {
			t.Fatalf("the brake holds %d", n)
		}
		deletions := w.Deletions(t)
		if len(deletions) != 1 || deletions[0].Severity != ledger.SeverityPage || !strings.Contains(deletions[0].Message, "vault kv undelete -mount=secret -versions=1 tls/api") {
			t.Errorf("told: %+v", deletions)
		}
		if r := w.Ledger.Record(t, "api"); r.Gone == nil || r.StateAt(w.At) != ledger.StateDeleted || !strings.Contains(r.WaitsFor(), "vault kv undelete") {
			t.Errorf("the record says %q, gone %+v", r.WaitsFor(), r.Gone)
		}
		orders := len(w.Ca.Orders)
		if accepts {
			if _, err := w.Accept(plan.MassHold(w.Plan()).ID); err != nil {
				t.Fatal(err)
			}
			orders++
		} else {
			w.Vault.Deletes("secret/tls/api", false)
		}
		w.Settle()
		if r := w.Ledger.Record(t, "api"); r.Gone != nil || r.StateAt(w.At) != ledger.StateInOrder || len(w.Ca.Orders) != orders || len(w.Deletions(t)) != 1 {
			t.Errorf("accepted %t: %d orders, want %d; the record after it: %+v", accepts, len(w.Ca.Orders), orders, r)
		}
	}
}
