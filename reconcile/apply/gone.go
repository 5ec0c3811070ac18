package apply

import (
	"fmt"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// mostGoneEvents is the number of deletions held by the brake from which on they have the
// brake's event alone: an empty Vault is one problem, and not a page for each certificate.
const mostGoneEvents = 5

// noteGone writes one event and record for each secret that another program deleted. The
// event pages, and the record says so until the secret exists again. A deletion that
// renewal.auto = false leaves alone has another event.
func (r *Reconciler) noteGone(actions []plan.Action, rev ledger.Revision, now time.Time) error {
	var held []*plan.Action
	for i := range actions {
		a := &actions[i]
		g := a.Gone(now)
		switch {
		// An absence that is in the record already has its event.
		case g == nil || g == a.Record.Gone || a.Reason == ledger.ReasonLeftAlone || a.Record.ForeignVersion != nil:
		case a.Reason == ledger.ReasonMass:
			held = append(held, a)
		default:
			if err := r.Writer.Note(goneEntry(a, rev, now)); err != nil {
				return err
			}
		}
	}
	brake := plan.MassEvents(actions, rev, now)
	for _, a := range held {
		entry := goneEntry(a, rev, now)
		if len(held) >= mostGoneEvents && len(brake) > 0 {
			entry.Event = brake[0] // NoteMass wrote it, and the ledger has an event once
		}
		if err := r.Writer.Note(entry); err != nil {
			return err
		}
	}
	return nil
}

// goneEntry returns the event and the record of a secret that another program deleted.
func goneEntry(a *plan.Action, rev ledger.Revision, now time.Time) ledger.Entry {
	g, record := a.Gone(now), *a.Record
	record.Gone, record.UpdatedAt = g, record.Next(now)
	record.ComesFrom(a.Former, now)
	e := ledger.Event{
		Schema: ledger.EventSchema, Time: now.UTC().Truncate(time.Millisecond), Operation: ledger.KindNote, Certificate: a.Certificate,
		Status: ledger.Failed, Severity: ledger.SeverityPage, Reason: ledger.ReasonDeleted, Class: ledger.ClassVault, Actor: "unknown", Cause: "drift", Revision: rev.Commit,
		OldSerial: record.Live.Serial, Issuer: record.Live.Issuer, VaultPath: a.At.String(), VaultVer: g.Version, Message: g.Text(a.At),
	}
	e.ID = ledger.EventID("gone", e.Certificate, record.Live.Serial, fmt.Sprint(record.Live.Version, g.Version, g.Destroyed), g.At.Format(time.DateOnly))
	return ledger.Entry{Event: e, Record: &record}
}
