package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// Per CA, askParallel queries run at once and AskAtOnce in one pass, and none starts after
// goTime. The rest follows in the next pass.
const (
	askParallel = 4
	AskAtOnce   = 200
	goTime      = time.Minute
)

// Question is one certificate whose renewal information is queried.
type Question struct {
	spec   *spec.Certificate
	live   *ledger.Live
	Issuer *spec.Issuer
	record *ledger.Record
}

// Ask queries the CAs for the renewal information (RFC 9773) that is due. Changes go into
// the observed records and the journal. A failed query is no error: the last known window
// and the threshold stay in force.
func (r *Reconciler) Ask(ctx context.Context, desired *spec.Spec, obs *plan.Observed) error {
	if err := r.Asks.Load(); err != nil {
		return err
	}
	there := map[string]bool{}
	looked := errors.Join(r.backfill(ctx, desired, obs), r.lookUp(ctx, desired, obs))
	if looked != nil {
		return looked
	}
	// Keep drops the times of everything that is not listed here.
	for url := range crlPoints(desired, obs) {
		there[crlMoment(url)], there[crlSince(url)] = true, true
	}
	due := map[string][]Question{} // by CA
	for _, q := range Questions(desired, obs) {
		there[q.live.ARI], there[q.Issuer.Directory] = true, true
		if r.Asks.AskDue(q.live.ARI, r.Opts.Now()) && r.Asks.AskDue(q.Issuer.Directory, r.Opts.Now()) {
			due[q.Issuer.Directory] = append(due[q.Issuer.Directory], q)
		}
	}
	if len(due) == 0 {
		return nil
	}
	// begin bounds the start of queries; running ones have their own timeout.
	begin, cancel := context.WithTimeout(ctx, goTime)
	defer cancel()
	var mu sync.Mutex // guards obs
	note := func(q Question, said *ledger.RenewalInfo) error {
		mu.Lock()
		defer mu.Unlock()
		return r.noteSaid(q, said, obs)
	}
	var g errgroup.Group
	for _, qs := range due { // one goroutine per CA: a slow CA must not delay the others
		g.Go(func() error { return r.askOne(ctx, begin, qs, obs.Turn, note) })
	}
	return errors.Join(g.Wait(), r.Asks.Keep(there))
}

// askOne queries one CA until begin ends.
func (r *Reconciler) askOne(ctx, begin context.Context, due []Question, turn int, note func(Question, *ledger.RenewalInfo) error) error {
	if len(due) > AskAtOnce { // the longest waiting first: a CA may want the next query before all had their turn
		slices.SortStableFunc(due, func(a, b Question) int { return r.Asks.At(a.live.ARI).Compare(r.Asks.At(b.live.ARI)) })
		due = due[:AskAtOnce]
	}
	var g errgroup.Group
	g.SetLimit(askParallel)
	for _, q := range due {
		g.Go(func() error {
			if begin.Err() != nil || !r.Crew.ask(q.spec.Name, turn) {
				return nil //nolint:nilerr // queried in the next pass
			}
			changed, err := r.askAbout(ctx, q, note)
			r.Crew.answered(q.spec.Name, changed)
			return err
		})
	}
	return g.Wait()
}

// askAbout queries one certificate. changed reports new renewal information.
func (r *Reconciler) askAbout(ctx context.Context, q Question, note func(Question, *ledger.RenewalInfo) error) (changed bool, err error) {
	said, err := r.RenewalInfo(ctx, q.spec.Name, q.Issuer, q.live)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return false, nil
	case err != nil:
		r.Opts.Progress(q.spec.Name, "ask", "could not get renewal information from the CA; using the last known window and the threshold: "+text.FirstLine(failure.Message(err)))
		return false, nil
	case said.Same(q.record.RenewalInfo):
		return false, nil
	}
	return true, note(q, said)
}

// NextAsk returns the time of the next query; zero if there is none.
func (r *Reconciler) NextAsk(desired *spec.Spec, obs *plan.Observed) time.Time {
	var next time.Time
	now := r.Opts.Now()
	for _, q := range Questions(desired, obs) {
		// A certificate that was never queried has a zero time: its query is due now.
		if at := times.Later(times.Later(r.Asks.At(q.live.ARI), r.Asks.At(q.Issuer.Directory)), now); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if r.Opts.CRLs != nil {
		for url := range crlPoints(desired, obs) {
			if at := times.Later(r.Asks.At(crlMoment(url)), now); next.IsZero() || at.Before(next) {
				next = at
			}
		}
	}
	return next
}

// Questions returns the certificates whose renewal information can be queried: live, with
// a record that describes the live pair, from an issuer that the spec still has.
func Questions(desired *spec.Spec, obs *plan.Observed) []Question {
	var qs []Question
	for _, c := range desired.Certificates {
		r := obs.Records[c.Name]
		if !r.HasSecret() {
			continue
		}
		s := obs.Secrets[ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}]
		l := s.Live
		if l == nil || s.Owner != c.Name || l.Serial != r.Live.Serial || l.ARI == "" || !s.Readable {
			continue
		}
		if i := plan.IssuerOf(desired, c, l); i != nil {
			qs = append(qs, Question{c, l, i, r})
		}
	}
	return qs
}

// noteSaid writes the event and the record of a changed renewal window.
func (r *Reconciler) noteSaid(q Question, said *ledger.RenewalInfo, obs *plan.Observed) error {
	record := *q.record
	record.RenewalInfo, record.UpdatedAt = said, record.Next(r.Opts.Now())
	record.RenewAt = plan.RecordedRenewal(q.spec, q.live, said, r.Opts.Now())
	detail := fmt.Sprintf("the CA suggests %s to %s", said.Start.Format(time.RFC3339), said.End.Format(time.RFC3339))
	if was := q.record.RenewalInfo.Of(q.live); was != nil {
		detail += fmt.Sprintf(", it had said %s to %s", was.Start.UTC().Format(time.RFC3339), was.End.UTC().Format(time.RFC3339))
	}
	if said.Explanation != "" {
		detail += " (" + said.Explanation + ")"
	}
	e := ledger.Event{
		Schema: ledger.EventSchema, Time: r.Opts.Now().UTC().Truncate(time.Millisecond), Operation: ledger.KindNote, Certificate: q.spec.Name,
		Status: ledger.Success, Reason: ledger.ReasonSuggested, Detail: detail, Actor: "schedule", Cause: "schedule",
		OldSerial: q.live.Serial, NewSerial: q.live.Serial, Issuer: q.Issuer.Name, VaultPath: q.live.Mount + "/" + q.live.Path, VaultVer: q.live.Version,
	}
	e.ID = ledger.EventID(e.Certificate, e.NewSerial, said.Start.Format(time.RFC3339), said.End.Format(time.RFC3339), said.Explanation)
	if err := r.Writer.Note(ledger.Entry{Event: e, Record: &record}); err != nil {
		return err
	}
	obs.Records[q.spec.Name] = &record
	return nil
}
