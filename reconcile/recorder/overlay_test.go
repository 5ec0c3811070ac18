package recorder_test

import (
	"strings"
	"testing"

	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// TestRemovedBeforeGitIsBack checks that on_remove applies to a certificate that only
// the journal knows.
func TestRemovedBeforeGitIsBack(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.OnRemove = spec.Revoke
	w := reconciletest.NewWorld(t, c)
	again := w.GoesOn()
	again()
	w.Desired = reconciletest.Desire()
	again()
	if _, readable, _, _ := w.Vault.ReadMetadata(t.Context(), "secret", "tls/api"); readable || len(w.Ca.Revoked) != 1 {
		t.Errorf("the secret is readable %v, revoked were %v", readable, w.Ca.Revoked)
	}
}

// TestMovedBeforeGitIsBack checks that a new path is used from the next renewal on,
// also for a certificate that only the journal knows.
func TestMovedBeforeGitIsBack(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	again := w.GoesOn()
	again()
	c.Vault.Path = "tls/moved"
	again()
	if n, _ := w.Ca.Ordered(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// TestIdleWhileGitIsAway checks that a finished action whose event waits for Git is
// neither repeated nor re-read in each pass.
func TestIdleWhileGitIsAway(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	again := w.GoesOn()
	again()
	looks := 0
	w.Vault.Fail = func(_, path string) error {
		if strings.HasPrefix(path, "secret/tls/") {
			looks++
		}
		return nil
	}
	again()
	if looks > 0 || len(w.Journal.Lines) != 1 {
		t.Errorf("an idle pass looked %d times, the journal has %d entries", looks, len(w.Journal.Lines))
	}
	w.Ledger.Err = nil
	w.Settle()
	if keys := w.KeysOfState(); len(keys) > 0 || len(w.Ledger.Events(t)) != 1 {
		t.Errorf("once Git is back %q stay, and %d events are told", keys, len(w.Ledger.Events(t)))
	}
}
