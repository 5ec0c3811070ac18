package reconciletest

import (
	"strings"

	"certroll/reconcile/ledger"
)

// LedgerRecords is how many certificates the ledger knows.
func (w *World) LedgerRecords() int {
	w.Ledger.Mu.Lock()
	defer w.Ledger.Mu.Unlock()
	n := 0
	for name := range w.Ledger.Tree {
		if strings.HasPrefix(name, ledger.RecordDir+"/") {
			n++
		}
	}
	return n
}
