package reconciletest

import (
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// Pause turns the renewal off, as a record that was told knows.
func Pause(v *View, until time.Time, reason string) {
	v.C.Renewal.Auto, v.C.Renewal.Until, v.C.Renewal.Reason = false, until, reason
	v.Record.Unmanaged = &ledger.Unmanaged{Since: Start, Until: times.Optional(until), Reason: reason, Overdue: true}
}
