package reconcile

import (
	"certroll/reconcile/statuspage"
)

// FirstFiles are those that a ledger begins with, by path: STATUS.md of no
// certificate.
func FirstFiles() map[string][]byte {
	return map[string][]byte{"STATUS.md": statuspage.StatusPage(nil, nil)}
}
