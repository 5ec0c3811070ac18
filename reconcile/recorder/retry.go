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

// Retry is a person's word that certificates are to be tried again now.
type Retry struct {
	Certificates []string
	Actor        string // user@host
	Why          string // in the person's words, or ""
	Force        bool   // also against a rate limit that the CA stated
	// Declared are the names of the spec's certificates, which may be retried before
	// they have a record; nil: the spec is not known.
	Declared func() []string
}

// Retried is what became of it for one certificate.
type Retried struct {
	Certificate string
	Hold        *ledger.Hold  // that was ended; nil where only what holds many could be
	Event       *ledger.Event // nil: nothing holds it back, and nothing was told
	Failures    int           // in a row, which the back-off goes on from
}

// Retry ends the holds of certificates: by an event and a record, and by
// nothing else. The failures keep counting, so that one more waits as long as
// it would have. Where an issuer or a DNS account is held as a whole, the
// certificate is its next probe.
//
// It goes straight to the ledger: the journal is for what cannot be told
// again, and `certroll run` may have it open. All certificates, or none.
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

// entries are what the ledger is to be told, judged by what it says now.
func (w Retry) entries(tree fs.FS, cache *archive.RecordCache, now time.Time) ([]Retried, []ledger.Entry, error) {
	records, err := cache.Read(tree)
	if err != nil {
		return nil, nil, err
	}
	events, err := archive.ReadHistory(tree, now.Add(-archive.HistorySpan))
	if err != nil {
		return nil, nil, err
	}
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
			record = &ledger.Record{Certificate: name} // it was held before its first try
		}
		d := Retried{Certificate: name, Failures: record.Failures}
		if h := record.Hold; h != nil && h.Until.After(now) {
			d.Hold = h
		}
		if d.Hold != nil || together || plan.LastUndone(record, now) != nil {
			e := w.entry(record, d.Hold, now)
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

// heldAsWhole tells whether some issuer or DNS account is.
func heldAsWhole(events []ledger.Event) bool {
	for _, t := range throttle.Circuits(events) {
		if t.Open() || t.Count() >= throttle.BreakAfter {
			return true
		}
	}
	return false
}

func (w Retry) names() []string {
	if w.Declared == nil {
		return nil
	}
	return w.Declared()
}

func (w Retry) declares(name string) bool { return slices.Contains(w.names(), name) }

// refusal says why a certificate cannot be retried; nil where it can.
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

// entry is the event, and the record without its hold where it has one.
func (w Retry) entry(r *ledger.Record, h *ledger.Hold, now time.Time) ledger.Entry {
	e := ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("retry", r.Certificate, w.Actor, now.Format(time.RFC3339Nano)), Time: now.Truncate(time.Millisecond),
		Operation: ledger.KindRetry, Certificate: r.Certificate, Status: ledger.Success, Reason: ledger.ReasonRetry, Detail: w.detail(h),
		Actor: text.FirstOf(w.Actor, "unknown"), Cause: "command", Failures: r.Failures, Forced: w.Force,
	}
	if f := r.LastFailure; f != nil {
		e.Issuer, e.DNSAccount = f.Issuer, f.DNSAccount
	}
	if l := r.Live; l != nil {
		e.OldSerial, e.VaultPath, e.VaultVer = l.Serial, l.Mount+"/"+l.Path, l.Version
		e.Issuer = text.FirstOf(e.Issuer, l.Issuer)
	}
	if h == nil && plan.LastUndone(r, now) == nil {
		return ledger.Entry{Event: e}
	}
	fresh := *r
	fresh.Hold, fresh.Undone = nil, nil // what undid it is found, by the person's word
	// A second after the record it takes the place of, whatever the clock of
	// this machine says: one ahead must not make the next failure, with its
	// hold, look older than this.
	fresh.UpdatedAt = r.UpdatedAt.Add(time.Second)
	return ledger.Entry{Event: e, Record: &fresh}
}

func (w Retry) detail(h *ledger.Hold) string {
	why := strings.Join(strings.Fields(w.Why), " ")
	if why == "" {
		why = "a person asked for it to be tried again"
	}
	if h == nil {
		return why
	}
	return fmt.Sprintf("%s; it was held until %s (%s)", why, h.Until.UTC().Format(time.RFC3339), h.Class)
}
