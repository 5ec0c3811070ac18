package reconciletest

import (
	"testing"

	"certroll/reconcile/ledger"
)

// Deletes has somebody delete the current version of a secret, or bring it back.
func (v *MemVault) Deletes(path string, deleted bool) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	s := v.Secrets[path]
	s.Versions[len(s.Versions)-1].Deleted = deleted
}

// Deletions are the events that tell of a deleted secret.
func (w *World) Deletions(t *testing.T) (told []ledger.Event) {
	t.Helper()
	for _, e := range w.Ledger.Events(t) {
		if e.Operation == ledger.KindNote && e.Reason == ledger.ReasonDeleted {
			told = append(told, e)
		}
	}
	return told
}
