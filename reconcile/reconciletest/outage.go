package reconciletest

import (
	"testing"

	"certroll/reconcile/ledger"
)

// GitError is what a Git that cannot be reached says.
func GitError() error { return &CaError{Code: "git", Text: "no route to host"} }

// ToldOutages are the statuses of the events about whole passes.
func (w *World) ToldOutages(t *testing.T) (told []ledger.Status) {
	t.Helper()
	for _, e := range w.Ledger.Events(t) {
		if e.Operation == ledger.KindPass {
			told = append(told, e.Status)
		}
	}
	return told
}

// Away has the ledger fail, or come back.
func (l *MemLedger) Away(err error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	l.Err = err
}
