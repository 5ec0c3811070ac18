package apply

import (
	"context"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// backfill reads each secret that an older certroll issued once, and records the facts
// about its chain that the older version did not record.
func (r *Reconciler) backfill(ctx context.Context, desired *spec.Spec, obs *plan.Observed) error {
	read := 0
	for _, c := range desired.Certificates {
		record, l := watchedLive(c, obs)
		if l == nil || l.KnowsChain() || obs.Secrets[ledger.Location{Mount: l.Mount, Path: l.Path}].IsStale() || r.chainsRead[l.Serial] {
			continue
		}
		if read++; read > backfillAtOnce || ctx.Err() != nil {
			return nil //nolint:nilerr // the rest follows in the next pass
		}
		if !r.Crew.ask(c.Name, obs.Turn) {
			continue // the attempt records the chain
		}
		err := r.backfillOne(ctx, c, record, l, obs)
		r.Crew.answered(c.Name, err == nil && obs.Records[c.Name] != record)
		if err != nil {
			return err
		}
	}
	return nil
}

// backfillOne reads one secret and writes an event and a record with its chain.
func (r *Reconciler) backfillOne(ctx context.Context, c *spec.Certificate, record *ledger.Record, l *ledger.Live, obs *plan.Observed) error {
	// Marked first: a process tries an unreadable secret only once.
	r.chainsRead[l.Serial] = true
	data, version, err := r.Secrets.Read(ctx, l.Mount, l.Path)
	if err != nil {
		return nil //nolint:nilerr // read again after the next start
	}
	p, err := keypair.FindIn(data)
	if err != nil || version != l.Version || keypair.SerialOf(p.Leaf()) != l.Serial {
		return nil //nolint:nilerr // no PEM field, or another program wrote it
	}
	live := *ledger.KeepNames(l, record.Live)
	live.SetChain(p.Chain, nil)
	live.Adopted = l.ARI == "" // only adopted pairs have no ARI identifier
	at := r.Opts.Now()
	next := *record
	next.Live, next.UpdatedAt = &live, record.Next(at)
	next.RenewAt = plan.RecordedRenewal(c, &live, next.RenewalInfo, at)
	e := ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("chain read", c.Name, l.Serial), Time: at.UTC().Truncate(time.Millisecond), Operation: ledger.KindNote, Certificate: c.Name,
		Status: ledger.Success, Reason: ledger.ReasonChainRead, Detail: "an earlier version of certroll issued it: its chain was read, which ends " + live.End().UTC().Format(time.RFC3339),
		Actor: "schedule", Cause: "schedule", OldSerial: l.Serial, NewSerial: l.Serial, Issuer: l.Issuer, VaultPath: l.Mount + "/" + l.Path, VaultVer: l.Version,
	}
	if err := r.Writer.Note(ledger.Entry{Event: e, Record: &next}); err != nil {
		return err
	}
	obs.Records[c.Name] = &next
	return nil
}
