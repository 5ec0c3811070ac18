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

// Of each CA askParallel are asked about at once, and AskAtOnce in one go,
// which begins no question after goTime: the rest has its turn with the next one.
const (
	askParallel = 4
	AskAtOnce   = 200
	goTime      = time.Minute
)

// Question is one certificate that the CA is asked about.
type Question struct {
	spec   *spec.Certificate
	live   *ledger.Live
	Issuer *spec.Issuer
	record *ledger.Record
}

// Ask asks the CAs for the renewal information (RFC 9773) whose time has come.
// What is new goes into the observed records and the journal. A CA that gives
// no good answer is no error: what it said last and the threshold stand.
func (r *Reconciler) Ask(ctx context.Context, desired *spec.Spec, obs *plan.Observed) error {
	if err := r.Asks.Load(); err != nil {
		return err
	}
	there := map[string]bool{}
	looked := errors.Join(r.backfill(ctx, desired, obs), r.lookUp(ctx, desired, obs))
	if looked != nil {
		return looked
	}
	for url := range crlPoints(desired, obs) {
		there[crlMoment(url)] = true
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
	begin, cancel := context.WithTimeout(ctx, goTime)
	defer cancel()
	var mu sync.Mutex // of obs
	note := func(q Question, said *ledger.RenewalInfo) error {
		mu.Lock()
		defer mu.Unlock()
		return r.noteSaid(q, said, obs)
	}
	var g errgroup.Group
	for _, qs := range due { // each by itself: a CA that is slow keeps nobody from another's word
		g.Go(func() error { return r.askOne(ctx, begin, qs, obs.Turn, note) })
	}
	return errors.Join(g.Wait(), r.Asks.Keep(there))
}

// askOne asks one CA, until begin ends.
func (r *Reconciler) askOne(ctx, begin context.Context, due []Question, turn int, note func(Question, *ledger.RenewalInfo) error) error {
	if len(due) > AskAtOnce { // those that wait for the longest: a CA may want to be asked again before all had their turn
		slices.SortStableFunc(due, func(a, b Question) int { return r.Asks.At(a.live.ARI).Compare(r.Asks.At(b.live.ARI)) })
		due = due[:AskAtOnce]
	}
	var g errgroup.Group
	g.SetLimit(askParallel)
	for _, q := range due {
		g.Go(func() error {
			if begin.Err() != nil || !r.Crew.ask(q.spec.Name, turn) {
				return nil //nolint:nilerr // it is asked with the next pass
			}
			changed, err := r.askAbout(ctx, q, note)
			r.Crew.answered(q.spec.Name, changed)
			return err
		})
	}
	return g.Wait()
}

// askAbout asks about one certificate. changed: there is something new.
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

// NextAsk is when the CA is to be asked about one of the certificates again;
// zero where it is not.
func (r *Reconciler) NextAsk(desired *spec.Spec, obs *plan.Observed) time.Time {
	var next time.Time
	now := r.Opts.Now()
	for _, q := range Questions(desired, obs) {
		// One that was never asked about has no moment yet: it is its time.
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

// Questions are the certificates that the CA can be asked about: live, with a
// record that speaks of them, from an issuer that is still there.
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

// noteSaid tells the ledger what the CA says now.
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
