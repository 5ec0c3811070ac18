package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/spec"
)

const (
	// askTimeout bounds one question for renewal information.
	askTimeout = 30 * time.Second
	// Of each CA askParallel are asked about at once, and askAtOnce in one go,
	// which begins no question after goTime: the rest has its turn with the next one.
	askParallel = 4
	askAtOnce   = 200
	goTime      = time.Minute
	// askNoAnswer is when a CA that gave no good answer is asked again, unless it
	// named a later time, and askUnsupported one that offers none.
	askNoAnswer    = time.Hour
	askUnsupported = day
	// mostAsk is the longest time between two questions.
	mostAsk = 2 * day
)

// Moments keeps, over a restart, from when on something may be done again: by
// a certificate's ARI identifier asking the CA about it, by a directory's URL
// asking a CA that offered no renewal information.
type Moments interface {
	Load() (map[string]time.Time, error)
	Save(map[string]time.Time) error
}

// asks knows when each certificate may be asked about again, and when the daily
// work is due.
type asks struct {
	mu    sync.Mutex
	store Moments // nil: nothing is kept
	next  map[string]time.Time
}

func (k *asks) load() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != nil {
		return nil
	}
	k.next = map[string]time.Time{}
	if k.store == nil {
		return nil
	}
	kept, err := k.store.Load()
	if err != nil {
		return fmt.Errorf("reading when the CAs may be asked for renewal information again: %w", err)
	}
	maps.Copy(k.next, kept)
	return nil
}

// keep stores the moments of the certificates that there are.
func (k *asks) keep(there map[string]bool) error {
	k.mu.Lock()
	maps.DeleteFunc(k.next, func(id string, _ time.Time) bool { return !there[id] && id != dailyMoment && id != ledgerMoment })
	k.mu.Unlock()
	return k.save()
}

func (k *asks) save() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.store == nil {
		return nil
	}
	if err := k.store.Save(k.next); err != nil {
		return fmt.Errorf("keeping when the CAs may be asked for renewal information again: %w", err)
	}
	return nil
}

func (k *asks) at(id string) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next[id]
}

// askDue tells whether it is time to ask. A moment further ahead than any that
// is set was set by a clock that was wrong.
func (k *asks) askDue(id string, now time.Time) bool {
	at := k.at(id)
	return !at.After(now) || at.After(now.Add(mostAsk))
}

func (k *asks) set(id string, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == nil {
		k.next = map[string]time.Time{}
	}
	k.next[id] = at
}

// askRenewalInfo asks about what was just issued, so that its record says at
// once when it is renewed. The certificate is live: no answer is no failure.
func (a *attempt) askRenewalInfo(ctx context.Context) error {
	if i, err := a.renewalInfo(ctx, a.action.Certificate, a.action.Issuer, a.live); err == nil {
		a.said = i
	} else if !errors.Is(err, errors.ErrUnsupported) {
		a.report("ask", "no renewal information from the CA, the threshold stands: "+firstLine(message(err)))
	}
	return nil
}

// renewalInfo asks the CA once and judges its answer.
func (r *Reconciler) renewalInfo(ctx context.Context, name string, issuer *spec.Issuer, l *Live) (*RenewalInfo, error) {
	if l.ARI == "" {
		return nil, errors.ErrUnsupported
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	start, end, explanation, again, err := r.ca.RenewalInfo(ctx, issuer, l.ARI)
	now := r.opts.Now()
	if errors.Is(err, errors.ErrUnsupported) {
		r.asks.set(issuer.Directory, now.Add(askUnsupported)) // it holds for all of that CA's
		return nil, err
	}
	if err == nil {
		var i *RenewalInfo
		if i, err = newRenewalInfo(name, l, start, end, explanation, now); err == nil {
			r.asks.set(l.ARI, again)
			return i, nil
		}
	}
	r.asks.set(l.ARI, sooner(later(now.Add(askNoAnswer), retryAt(err)), now.Add(mostAsk)))
	return nil, err
}

// question is one certificate that the CA is asked about.
type question struct {
	spec   *spec.Certificate
	live   *Live
	issuer *spec.Issuer
	record *Record
}

// Ask asks the CAs for the renewal information (RFC 9773) whose time has come.
// What is new goes into the observed records and the journal. A CA that gives
// no good answer is no error: what it said last and the threshold stand.
func (r *Reconciler) Ask(ctx context.Context, desired *spec.Spec, obs *Observed) error {
	if err := r.asks.load(); err != nil {
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
	due := map[string][]question{} // by CA
	for _, q := range questions(desired, obs) {
		there[q.live.ARI], there[q.issuer.Directory] = true, true
		if r.asks.askDue(q.live.ARI, r.opts.Now()) && r.asks.askDue(q.issuer.Directory, r.opts.Now()) {
			due[q.issuer.Directory] = append(due[q.issuer.Directory], q)
		}
	}
	if len(due) == 0 {
		return nil
	}
	begin, cancel := context.WithTimeout(ctx, goTime)
	defer cancel()
	var mu sync.Mutex // of obs
	note := func(q question, said *RenewalInfo) error {
		mu.Lock()
		defer mu.Unlock()
		return r.noteSaid(q, said, obs)
	}
	var g errgroup.Group
	for _, qs := range due { // each by itself: a CA that is slow keeps nobody from another's word
		g.Go(func() error { return r.askOne(ctx, begin, qs, obs.turn, note) })
	}
	return errors.Join(g.Wait(), r.asks.keep(there))
}

// askOne asks one CA, until begin ends.
func (r *Reconciler) askOne(ctx, begin context.Context, due []question, turn int, note func(question, *RenewalInfo) error) error {
	if len(due) > askAtOnce { // those that wait for the longest: a CA may want to be asked again before all had their turn
		slices.SortStableFunc(due, func(a, b question) int { return r.asks.at(a.live.ARI).Compare(r.asks.at(b.live.ARI)) })
		due = due[:askAtOnce]
	}
	var g errgroup.Group
	g.SetLimit(askParallel)
	for _, q := range due {
		g.Go(func() error {
			if begin.Err() != nil || !r.crew.ask(q.spec.Name, turn) {
				return nil //nolint:nilerr // it is asked with the next pass
			}
			changed, err := r.askAbout(ctx, q, note)
			r.crew.answered(q.spec.Name, changed)
			return err
		})
	}
	return g.Wait()
}

// askAbout asks about one certificate. changed: there is something new.
func (r *Reconciler) askAbout(ctx context.Context, q question, note func(question, *RenewalInfo) error) (changed bool, err error) {
	said, err := r.renewalInfo(ctx, q.spec.Name, q.issuer, q.live)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return false, nil
	case err != nil:
		r.opts.Progress(q.spec.Name, "ask", "could not get renewal information from the CA; using the last known window and the threshold: "+firstLine(message(err)))
		return false, nil
	case said.same(q.record.RenewalInfo):
		return false, nil
	}
	return true, note(q, said)
}

// NextAsk is when the CA is to be asked about one of the certificates again;
// zero where it is not.
func (r *Reconciler) NextAsk(desired *spec.Spec, obs *Observed) time.Time {
	var next time.Time
	now := r.opts.Now()
	for _, q := range questions(desired, obs) {
		// One that was never asked about has no moment yet: it is its time.
		if at := later(later(r.asks.at(q.live.ARI), r.asks.at(q.issuer.Directory)), now); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if r.opts.CRLs != nil {
		for url := range crlPoints(desired, obs) {
			if at := later(r.asks.at(crlMoment(url)), now); next.IsZero() || at.Before(next) {
				next = at
			}
		}
	}
	return next
}

// questions are the certificates that the CA can be asked about: live, with a
// record that speaks of them, from an issuer that is still there.
func questions(desired *spec.Spec, obs *Observed) []question {
	var qs []question
	for _, c := range desired.Certificates {
		r := obs.Records[c.Name]
		if !r.holds() {
			continue
		}
		s := obs.Secrets[Location{r.Live.Mount, r.Live.Path}]
		l := s.Live
		if l == nil || s.Owner != c.Name || l.Serial != r.Live.Serial || l.ARI == "" || !s.Readable {
			continue
		}
		if i := issuerOf(desired, c, l); i != nil {
			qs = append(qs, question{c, l, i, r})
		}
	}
	return qs
}

// noteSaid tells the ledger what the CA says now.
func (r *Reconciler) noteSaid(q question, said *RenewalInfo, obs *Observed) error {
	record := *q.record
	record.RenewalInfo, record.UpdatedAt = said, record.next(r.opts.Now())
	record.RenewAt = recordedRenewal(q.spec, q.live, said, r.opts.Now())
	detail := fmt.Sprintf("the CA suggests %s to %s", said.Start.Format(time.RFC3339), said.End.Format(time.RFC3339))
	if was := q.record.RenewalInfo.of(q.live); was != nil {
		detail += fmt.Sprintf(", it had said %s to %s", was.Start.UTC().Format(time.RFC3339), was.End.UTC().Format(time.RFC3339))
	}
	if said.Explanation != "" {
		detail += " (" + said.Explanation + ")"
	}
	e := Event{
		Schema: EventSchema, Time: r.opts.Now().UTC().Truncate(time.Millisecond), Operation: KindNote, Certificate: q.spec.Name,
		Status: Success, Reason: ReasonSuggested, Detail: detail, Actor: "schedule", Cause: "schedule",
		OldSerial: q.live.Serial, NewSerial: q.live.Serial, Issuer: q.issuer.Name, VaultPath: q.live.Mount + "/" + q.live.Path, VaultVer: q.live.Version,
	}
	e.ID = eventID(e.Certificate, e.NewSerial, said.Start.Format(time.RFC3339), said.End.Format(time.RFC3339), said.Explanation)
	if err := r.scribe.note(entry{Event: e, Record: &record}); err != nil {
		return err
	}
	obs.Records[q.spec.Name] = &record
	return nil
}
