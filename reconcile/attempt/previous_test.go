package attempt_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// movedWorld returns a world with a certificate whose vault.path changed, and which was
// rotated since.
func movedWorld(t *testing.T, previous spec.OnRemove) (*reconciletest.World, *spec.Certificate) {
	t.Helper()
	c := reconciletest.Certificate("web", "web.example.com")
	c.Vault.Previous = spec.Keep
	w := reconciletest.NewWorld(t, c, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	c.Vault.Path, c.Vault.Previous = "tls/front", previous
	c.Rotate = "the key leaked"
	w.At = w.At.Add(time.Hour)
	w.Settle()
	return w, c
}

// TestMovedSecretIsLeftBehind checks that event, notice, record and STATUS.md name the
// secret left at the old path until somebody deletes it.
func TestMovedSecretIsLeftBehind(t *testing.T) {
	w, _ := movedWorld(t, spec.Keep)
	events := w.Ledger.Events(t)
	e := events[len(events)-1]
	if e.LeftBehind != "secret/tls/web" || !strings.Contains(e.Detail, "moved: secret/tls/web stays at version 1 and is no longer renewed") || !strings.Contains(e.Detail, "read secret/tls/front") {
		t.Errorf("event: %+v", e)
	}
	if n := outbox.Notices(events, len(events)-1); len(n) != 1 || !slices.Contains(n[0].Kinds, outbox.NoticeProblem) {
		t.Errorf("notices: %+v", n)
	}
	r := w.Ledger.Record(t, "web")
	if len(r.LeftBehind) != 1 || r.LeftBehind[0].Path != "tls/web" || r.Live.Path != "tls/front" {
		t.Fatalf("record: %+v", r)
	}
	if page := string(w.Ledger.Tree["STATUS.md"].Data); !strings.Contains(page, "## Left behind") || !strings.Contains(page, "secret/tls/web") {
		t.Errorf("STATUS.md:\n%s", page)
	}
	// Later plans do nothing about the old secret and do not report it again.
	if n := reconciletest.Count(w.Plan(), ledger.KindNone); n != 2 {
		t.Errorf("the plan: %+v", w.Plan())
	}
	if err := w.Vault.Destroy(t.Context(), "secret", "tls/web"); err != nil {
		t.Fatal(err)
	}
	orders := len(w.Ca.Orders)
	w.Settle()
	if r := w.Ledger.Record(t, "web"); len(r.LeftBehind) != 0 || len(w.Ca.Orders) != orders || len(w.Deletions(t)) != 0 {
		t.Errorf("after it was deleted: %+v", r)
	}
}

// TestPreviousIsDeleted checks vault.previous = "delete": certroll deletes the old
// secret after writing the new one, and retries a failed deletion. It keeps a path that
// another certificate uses or will use.
func TestPreviousIsDeleted(t *testing.T) {
	gone := func(w *reconciletest.World) bool {
		_, readable, _, err := w.Vault.ReadMetadata(t.Context(), "secret", "tls/web")
		return err == nil && !readable
	}
	t.Run("at once", func(t *testing.T) {
		w, _ := movedWorld(t, spec.Delete)
		events := w.Ledger.Events(t)
		if e := events[len(events)-1]; !gone(w) || e.LeftBehind != "" || !strings.Contains(e.Detail, "deleted after the move to secret/tls/front: secret/tls/web") {
			t.Errorf("gone %v, event: %+v", gone(w), e)
		}
		if r := w.Ledger.Record(t, "web"); len(r.LeftBehind) != 0 || len(w.Deletions(t)) != 0 {
			t.Errorf("record: %+v", r)
		}
	})
	t.Run("said later", func(t *testing.T) {
		w, c := movedWorld(t, spec.Keep)
		c.Vault.Previous = spec.Delete
		orders := len(w.Ca.Orders)
		w.Settle()
		if r := w.Ledger.Record(t, "web"); !gone(w) || len(r.LeftBehind) != 0 || len(w.Ca.Orders) != orders {
			t.Errorf("gone %v, record: %+v", gone(w), r)
		}
	})
	t.Run("Vault refuses at first", func(t *testing.T) {
		c := reconciletest.Certificate("web", "web.example.com")
		w := reconciletest.NewWorld(t, c, reconciletest.Certificate("api", "api.example.com"))
		w.Settle()
		c.Vault.Path, c.Vault.Previous, c.Rotate = "tls/front", spec.Delete, "moved"
		w.Vault.Fail = func(op, path string) error {
			if op == "delete" {
				return &reconciletest.CaError{Code: "vault", Text: "permission denied"}
			}
			return nil
		}
		w.Settle()
		if r := w.Ledger.Record(t, "web"); len(r.LeftBehind) != 1 || gone(w) {
			t.Errorf("record: %+v", r)
		}
		w.Vault.Fail = nil
		w.Settle()
		if r := w.Ledger.Record(t, "web"); len(r.LeftBehind) != 0 || !gone(w) {
			t.Errorf("record after the second try: %+v", r)
		}
	})
	t.Run("another certificate is to be there", func(t *testing.T) {
		w, _ := movedWorld(t, spec.Keep)
		heir := reconciletest.Certificate("heir", "web.example.com")
		heir.Vault.Path = "tls/web"
		w.Desired.Certificates[0].Vault.Previous = spec.Delete
		w.Desired.Certificates = append(w.Desired.Certificates, heir)
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		if gone(w) {
			t.Error("what another certificate is to take over was deleted")
		}
	})
}
