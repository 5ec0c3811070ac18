package reconcile

import (
	"certroll/reconcile/statuspage"
)

// FirstFiles returns the files of an empty ledger, by path: a STATUS.md without
// certificates.
func FirstFiles() map[string][]byte {
	return map[string][]byte{"STATUS.md": statuspage.StatusPage(nil, nil)}
}
