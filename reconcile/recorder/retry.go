package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/statuspage"
	"certroll/reconcile/throttle"
	"certroll/spec/text"
)

// Retry is a person's request to try certificates again now.
type Retry struct {
	Certificates []string
	Actor        string // user@host
	Why          string // reason in the person's words, or ""
	Force        bool   // also before the end of the CA's rate limit
	// Declared returns the names of the spec's certificates. They can be retried before
	// they have a record. nil: the spec is unknown.
	Declared func() []string
}

// Retried is the outcome of a retry for one certificate.
type Retried struct {
	Certificate string
	Hold        *ledger.Hold  // hold that no longer applies; nil: none of its own, or only Undone
	Undone      *UndoneHold   // nil: its secret did not disappear lately
	Event       *ledger.Event // nil: nothing holds the certificate, and nothing was recorded
	Failures    int           // consecutive failures, which the back-off continues from
}

// UndoneHold is the hold of a secret that another program keeps deleting or overwriting.
type UndoneHold struct {
	Until time.Time
	Held  bool // false: only the next loss of the secret would have been held
}

// Retry ends the holds of certificates by an event and a record. The failures keep
// counting, so that the next failure waits as long as it would have without the retry. If
// an issuer or DNS account is held as a whole, the certificate becomes its next probe.
//
// Retry bypasses the journal and writes to the ledger directly: the journal is for events
// that cannot be repeated, and certroll run may have it open. It ends all holds or none.
func (r *Recorder) Retry(ctx context.Context, want Retry) (done []Retried, commit string, err error) {
	now := r.Now().UTC()
	tree, _, _, err := r.Writer.Snapshot(ctx)
	if err != nil {
		return nil, "", err
	}
	r.Writer.Mend(ctx, tree)
	done, entries, err := want.entries(tree, r.Writer.Records, now)
	if err != nil || len(entries) == 0 {
		return done, "", err
	}
	// The entries are made again from the tree of the commit: another process may have
	// written since.
	commit, err = r.Writer.Ledger.Commit(ctx, statuspage.CommitMessage(entries), func(tree fs.FS) (map[string][]byte, error) {
		var err error
		if done, entries, err = want.entries(tree, r.Writer.Records, now); err != nil || len(entries) == 0 {
			return nil, err
		}
		return r.Writer.Edit(tree, entries)
	})
	if err != nil {
		return nil, "", fmt.Errorf("writing the ledger: %w; nothing was recorded, repeat the command", err)
	}
	return done, commit, nil
}

// entries returns the outcomes and the ledger entries, judged by the given tree.
func (w Retry) entries(tree fs.FS, cache *archive.RecordCache, now time.Time) ([]Retried, []ledger.Entry, error) {
	records, err := cache.Read(tree)
	if err != nil {
		return nil, nil, err
	}
	events, err := archive.ReadHistory(tree, now.Add(-archive.HistorySpan))
	if err != nil {
		return nil, nil, err
	}
	// A hold of an issuer or DNS account is in no record, so that the retry is an event
	// alone.
	together := heldAsWhole(events)
	var done []Retried
	var entries []ledger.Entry
	var refused []error
	for _, name := range w.Certificates {
		record := records[name]
		if record == nil && !w.declares(name) {
			refused = append(refused, fmt.Errorf("retrying %q: the ledger has no record of it and the config repo does not declare it; check the name (certroll status lists all).%s",
				name, text.Meant(name, slices.Concat(slices.Sorted(maps.Keys(records)), w.names()))))
			continue
		}
		if err := w.refusal(name, record, now); err != nil {
			refused = append(refused, err)
			continue
		}
		if record == nil {
			record = &ledger.Record{Certificate: name} // held before its first attempt
		}
		d := Retried{Certificate: name, Failures: record.Failures}
		if h := record.Hold; h != nil && h.Until.After(now) {
			d.Hold = h
		}
		d.Undone = undoneHold(record, events, now)
		if d.Hold != nil || together || d.Undone != nil {
			e := w.entry(record, d, now)
			d.Event = &e.Event
			entries = append(entries, e)
		}
		done = append(done, d)
	}
	if len(refused) > 0 {
		return nil, nil, errors.Join(refused...)
	}
	return done, entries, nil
}

// undoneHold returns the hold of a certificate whose secret disappeared lately; nil: it did
// not. Only Vault shows whether the secret is missing now, so the events tell whether
// certroll holds it.
func undoneHold(r *ledger.Record, events []ledger.Event, now time.Time) *UndoneHold {
	last := plan.LastUndone(r, now)
	if last == nil {
		return nil
	}
	for _, e := range slices.Backward(events) {
		if e.Certificate == r.Certificate && e.Operation == ledger.KindHold && e.Reason == ledger.ReasonUndone && e.Time.After(last.At) && e.HoldUntil != nil && e.HoldUntil.After(now) {
			return &UndoneHold{Until: *e.HoldUntil, Held: true}
		}
	}
	return &UndoneHold{Until: plan.UndoneUntil(r, last)}
}

// heldAsWhole reports whether any issuer or DNS account is held.
func heldAsWhole(events []ledger.Event) bool {
	for _, t := range throttle.Circuits(events) {
		if t.Open() || t.Count() >= throttle.BreakAfter {
			return true
		}
	}
	return false
}

// names returns the names of the spec's certificates; nil if the spec is unknown.
func (w Retry) names() []string {
	if w.Declared == nil {
		return nil
	}
	return w.Declared()
}

func (w Retry) declares(name string) bool { return slices.Contains(w.names(), name) }

// refusal returns why a certificate cannot be retried, or nil.
func (w Retry) refusal(name string, r *ledger.Record, now time.Time) error {
	switch {
	case r == nil, r.State == ledger.StateRetired && w.declares(name):
		return nil
	case r.State == ledger.StateRetired:
		return fmt.Errorf("retrying %q: it is retired, there is nothing to try", name)
	}
	if h := r.Hold; h != nil && h.Class == ledger.ClassRateLimited && h.Until.After(now) && !w.Force {
		return fmt.Errorf("retrying %q: the CA asked to wait until %s; it rejects an earlier try and may count it (%s). Wait, or give --force",
			name, h.Until.UTC().Format(time.RFC3339), h.Reason)
	}
	return nil
}

// entry returns the event, with a record without the hold if there is one to end.
func (w Retry) entry(r *ledger.Record, d Retried, now time.Time) ledger.Entry {
	e := ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("retry", r.Certificate, w.Actor, now.Format(time.RFC3339Nano)), Time: now.Truncate(time.Millisecond),
		Operation: ledger.KindRetry, Certificate: r.Certificate, Status: ledger.Success, Reason: ledger.ReasonRetry, Detail: w.detail(d),
		Actor: text.FirstOf(w.Actor, "unknown"), Cause: "command", Failures: r.Failures, Forced: w.Force,
	}
	if f := r.LastFailure; f != nil {
		e.Issuer, e.DNSAccount = f.Issuer, f.DNSAccount
	}
	if l := r.Live; l != nil {
		e.OldSerial, e.VaultPath, e.VaultVer = l.Serial, l.Mount+"/"+l.Path, l.Version
		e.Issuer = text.FirstOf(e.Issuer, l.Issuer)
	}
	if d.Hold == nil && d.Undone == nil {
		return ledger.Entry{Event: e}
	}
	fresh := *r
	fresh.Hold, fresh.Undone = nil, nil // the person has taken care of the program that undid it
	// One second after the replaced record, whatever this machine's clock says. With a
	// fast clock, the record would otherwise look newer than the next failure and its
	// hold.
	fresh.UpdatedAt = r.UpdatedAt.Add(time.Second)
	return ledger.Entry{Event: e, Record: &fresh}
}

// detail returns the event's text: the person's reason and the hold that ended.
func (w Retry) detail(d Retried) string {
	why := strings.Join(strings.Fields(w.Why), " ")
	if why == "" {
		why = "a person asked for it to be tried again"
	}
	held := func(until time.Time, by string) string {
		return fmt.Sprintf("%s; it was held until %s (%s)", why, until.UTC().Format(time.RFC3339), by)
	}
	switch {
	case d.Hold != nil:
		return held(d.Hold.Until, string(d.Hold.Class))
	case d.Undone != nil && d.Undone.Held:
		return held(d.Undone.Until, string(ledger.ReasonUndone))
	default:
		return why
	}
}
