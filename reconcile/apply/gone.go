package apply

import (
	"fmt"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// noteGone writes one event and record for each secret that another program deleted. The
// event pages, and the record says so until the secret exists again. A deletion that the
// brake holds, or that renewal.auto = false leaves alone, has another event.
func (r *Reconciler) noteGone(actions []plan.Action, rev ledger.Revision, now time.Time) error {
	for i := range actions {
		a := &actions[i]
		g := a.Gone(now)
		// An absence that is in the record already has its event.
		if g == nil || g == a.Record.Gone || a.Reason == ledger.ReasonMass || a.Reason == ledger.ReasonLeftAlone || a.Record.ForeignVersion != nil {
			continue
		}
		record := *a.Record
		record.Gone, record.UpdatedAt = g, record.Next(now)
		record.ComesFrom(a.Former, now)
		e := ledger.Event{
			Schema: ledger.EventSchema, Time: now.UTC().Truncate(time.Millisecond), Operation: ledger.KindNote, Certificate: a.Certificate,
			Status: ledger.Failed, Severity: ledger.SeverityPage, Reason: ledger.ReasonDeleted, Class: ledger.ClassVault, Actor: "unknown", Cause: "drift", Revision: rev.Commit,
			OldSerial: record.Live.Serial, Issuer: record.Live.Issuer, VaultPath: a.At.String(), VaultVer: g.Version, Message: g.Text(a.At),
		}
		e.ID = ledger.EventID("gone", e.Certificate, record.Live.Serial, fmt.Sprint(record.Live.Version, g.Version, g.Destroyed), g.At.Format(time.DateOnly))
		if err := r.Writer.Note(ledger.Entry{Event: e, Record: &record}); err != nil {
			return err
		}
	}
	return nil
}
