package reconcile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
	"certroll/spec"
)

// movedWorld has a certificate whose vault.path moved, and that was rotated since.
func movedWorld(t *testing.T, previous spec.OnRemove) (*world, *spec.Certificate) {
	t.Helper()
	c := certificate("web", "web.example.com")
	c.Vault.Previous = spec.Keep
	w := newWorld(t, c, certificate("api", "api.example.com"))
	w.settle()
	c.Vault.Path, c.Vault.Previous = "tls/front", previous
	c.Rotate = "the key leaked"
	w.at = w.at.Add(time.Hour)
	w.settle()
	return w, c
}

// TestMovedSecretIsLeftBehind: what stays at the old path is in the event, a notice, the
// record and STATUS.md until somebody deletes it.
func TestMovedSecretIsLeftBehind(t *testing.T) {
	w, _ := movedWorld(t, spec.Keep)
	events := w.ledger.events(t)
	e := events[len(events)-1]
	if e.LeftBehind != "secret/tls/web" || !strings.Contains(e.Detail, "moved: secret/tls/web stays at version 1 and is no longer renewed") || !strings.Contains(e.Detail, "read secret/tls/front") {
		t.Errorf("event: %+v", e)
	}
	if n := outbox.Notices(events, len(events)-1); len(n) != 1 || !slices.Contains(n[0].Kinds, outbox.NoticeProblem) {
		t.Errorf("notices: %+v", n)
	}
	r := w.ledger.record(t, "web")
	if len(r.LeftBehind) != 1 || r.LeftBehind[0].Path != "tls/web" || r.Live.Path != "tls/front" {
		t.Fatalf("record: %+v", r)
	}
	if page := string(w.ledger.tree["STATUS.md"].Data); !strings.Contains(page, "## Left behind") || !strings.Contains(page, "secret/tls/web") {
		t.Errorf("STATUS.md:\n%s", page)
	}
	// Nothing is done again for it, and it is not told again.
	if n := count(w.plan(), ledger.KindNone); n != 2 {
		t.Errorf("the plan: %+v", w.plan())
	}
	if err := w.vault.Destroy(t.Context(), "secret", "tls/web"); err != nil {
		t.Fatal(err)
	}
	orders := len(w.ca.orders)
	w.settle()
	if r := w.ledger.record(t, "web"); len(r.LeftBehind) != 0 || len(w.ca.orders) != orders || len(w.deletions(t)) != 0 {
		t.Errorf("after it was deleted: %+v", r)
	}
}

// TestPreviousIsDeleted: with vault.previous = "delete" the old secret goes after the new
// one is written, and once more where that did not work. What another certificate has, or
// is to have, stays.
func TestPreviousIsDeleted(t *testing.T) {
	gone := func(w *world) bool {
		_, readable, _, err := w.vault.ReadMetadata(t.Context(), "secret", "tls/web")
		return err == nil && !readable
	}
	t.Run("at once", func(t *testing.T) {
		w, _ := movedWorld(t, spec.Delete)
		events := w.ledger.events(t)
		if e := events[len(events)-1]; !gone(w) || e.LeftBehind != "" || !strings.Contains(e.Detail, "deleted after the move to secret/tls/front: secret/tls/web") {
			t.Errorf("gone %v, event: %+v", gone(w), e)
		}
		if r := w.ledger.record(t, "web"); len(r.LeftBehind) != 0 || len(w.deletions(t)) != 0 {
			t.Errorf("record: %+v", r)
		}
	})
	t.Run("said later", func(t *testing.T) {
		w, c := movedWorld(t, spec.Keep)
		c.Vault.Previous = spec.Delete
		orders := len(w.ca.orders)
		w.settle()
		if r := w.ledger.record(t, "web"); !gone(w) || len(r.LeftBehind) != 0 || len(w.ca.orders) != orders {
			t.Errorf("gone %v, record: %+v", gone(w), r)
		}
	})
	t.Run("Vault refuses at first", func(t *testing.T) {
		c := certificate("web", "web.example.com")
		w := newWorld(t, c, certificate("api", "api.example.com"))
		w.settle()
		c.Vault.Path, c.Vault.Previous, c.Rotate = "tls/front", spec.Delete, "moved"
		w.vault.fail = func(op, path string) error {
			if op == "delete" {
				return &caError{class: "vault", text: "permission denied"}
			}
			return nil
		}
		w.settle()
		if r := w.ledger.record(t, "web"); len(r.LeftBehind) != 1 || gone(w) {
			t.Errorf("record: %+v", r)
		}
		w.vault.fail = nil
		w.settle()
		if r := w.ledger.record(t, "web"); len(r.LeftBehind) != 0 || !gone(w) {
			t.Errorf("record after the second try: %+v", r)
		}
	})
	t.Run("another certificate is to be there", func(t *testing.T) {
		w, _ := movedWorld(t, spec.Keep)
		heir := certificate("heir", "web.example.com")
		heir.Vault.Path = "tls/web"
		w.desired.Certificates[0].Vault.Previous = spec.Delete
		w.desired.Certificates = append(w.desired.Certificates, heir)
		if _, err := w.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		if gone(w) {
			t.Error("what another certificate is to take over was deleted")
		}
	})
}
