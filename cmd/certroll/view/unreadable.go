package view

import (
	"fmt"
	"io"

	"certroll/reconcile/archive"
)

// WriteUnreadable lists the unreadable parts of the ledger.
func WriteUnreadable(w io.Writer, lost []archive.Breach) {
	for _, f := range lost {
		fmt.Fprintf(w, "Warning: %s in the ledger: %s\n", f.Where(), f.Problem)
	}
}
