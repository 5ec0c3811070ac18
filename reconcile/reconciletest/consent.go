package reconciletest

import (
	"io/fs"
	"testing"
)

func (w *World) Snapshot(t *testing.T) fs.FS {
	t.Helper()
	tree, _, err := w.Ledger.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
