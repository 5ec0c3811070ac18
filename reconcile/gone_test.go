package reconcile

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
)

// deletes has somebody delete the current version of a secret, or bring it back.
func (v *memVault) deletes(path string, deleted bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.secrets[path]
	s.versions[len(s.versions)-1].deleted = deleted
}

// deletions are the events that tell of a deleted secret.
func (w *world) deletions(t *testing.T) (told []ledger.Event) {
	t.Helper()
	for _, e := range w.ledger.events(t) {
		if e.Operation == ledger.KindNote && e.Reason == ledger.ReasonDeleted {
			told = append(told, e)
		}
	}
	return told
}

// TestDeletedSecretIsTold: somebody deletes what is live. That is an event that wakes
// a person, once, and what is notified as tampering; it is issued again at once.
func TestDeletedSecretIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		undo func(w *world)
		says string
	}{
		"deleted":                   {func(w *world) { w.vault.deletes("secret/tls/api", true) }, "vault kv undelete -mount=secret -versions=1 tls/api brings it back without the CA"},
		"deleted with all versions": {func(w *world) { delete(w.vault.secrets, "secret/tls/api") }, "no command brings it back"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, certificate("api", "api.example.com"), certificate("www", "www.example.com"))
			w.settle()
			tc.undo(w)
			w.at = w.at.Add(time.Hour)
			w.settle()
			told := w.deletions(t)
			if len(told) != 1 || told[0].Severity != ledger.SeverityPage || !strings.Contains(told[0].Message, tc.says) || told[0].VaultPath != "secret/tls/api" {
				t.Fatalf("told: %+v", told)
			}
			events := w.ledger.events(t)
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
			if r := w.ledger.record(t, "api"); r.Gone != nil || r.Stands(w.at) != ledger.StandsInOrder {
				t.Errorf("the record after it: %+v", r)
			}
		})
	}
}

// TestDeletedSecretShowsUntilItIsBack: while the CA is away the record says that it is
// gone and how it comes back; brought back by hand, nothing is ordered for it.
func TestDeletedSecretShowsUntilItIsBack(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"), certificate("www", "www.example.com"))
	w.settle()
	w.vault.deletes("secret/tls/api", true)
	w.ca.fail = func(string, int) error { return &caError{class: "ca_unavailable", text: "503"} }
	for range 3 {
		w.at = w.at.Add(time.Hour)
		if _, err := w.apply(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.deletions(t)); n != 1 {
		t.Errorf("%d events, want one", n)
	}
	r := w.ledger.record(t, "api")
	if r.Gone == nil || r.Gone.Version != 1 || r.Stands(w.at) != ledger.StandsDeleted || !strings.Contains(r.WaitsFor(), "vault kv undelete") || !strings.Contains(r.WaitsFor(), "503") {
		t.Errorf("the record says %q, gone %+v", r.WaitsFor(), r.Gone)
	}
	if page := string(w.ledger.tree["STATUS.md"].Data); !strings.Contains(page, "**deleted, page**") {
		t.Errorf("STATUS.md:\n%s", page)
	}
	orders := w.ca.calls["order"]
	w.ca.fail = nil
	w.vault.deletes("secret/tls/api", false)
	w.settle()
	if r := w.ledger.record(t, "api"); r.Gone != nil || r.State != ledger.StateLive || w.ca.calls["order"] != orders {
		t.Errorf("%d orders; the record after it was brought back: %+v", w.ca.calls["order"]-orders, r)
	}
}

// TestDeletedWhileRenewalIsOff: the owner wants nothing written there. It is told as
// left alone, wakes a person, and shows until it is there again.
func TestDeletedWhileRenewalIsOff(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c, certificate("www", "www.example.com"))
	w.settle()
	c.Renewal.Auto = false
	w.settle()
	w.vault.deletes("secret/tls/api", true)
	for range 2 {
		w.at = w.at.Add(time.Hour)
		w.settle()
	}
	events := w.ledger.events(t)
	if e := events[len(events)-1]; e.Reason != ledger.ReasonLeftAlone || e.Severity != ledger.SeverityPage || len(w.deletions(t)) != 0 {
		t.Errorf("event: %+v", e)
	}
	if r := w.ledger.record(t, "api"); r.Stands(w.at) != ledger.StandsDeleted {
		t.Errorf("it stands %s: %+v", r.Stands(w.at), r)
	}
	w.vault.deletes("secret/tls/api", false)
	w.settle()
	if r := w.ledger.record(t, "api"); r.Stands(w.at) != ledger.StandsUnmanaged || r.Gone != nil || len(w.ca.orders) != 2 {
		t.Errorf("it stands %s, %d orders: %+v", r.Stands(w.at), len(w.ca.orders), r)
	}
}

// TestAnEmptyVaultIsOneProblem: what the brake holds is not told of each certificate.
func TestAnEmptyVaultIsOneProblem(t *testing.T) {
	w := newWorld(t, crowd(20, "example.com")...)
	w.settle()
	clear(w.vault.secrets)
	w.at = w.at.Add(time.Hour)
	w.settle()
	if n := len(w.deletions(t)); n != 0 {
		t.Errorf("%d events beside the brake's", n)
	}
}
