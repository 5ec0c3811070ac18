package monitor

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/review"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
)

// Prober asks an endpoint for the certificates that it serves.
type Prober interface {
	// Served returns what was shown, leaf first, by address; of servers that
	// have several, the one of the key algorithm. An error means that nobody
	// answered; one with Denied() true that nobody may be asked.
	Served(ctx context.Context, at spec.Probe, algorithm spec.Algorithm) (map[string][]*x509.Certificate, error)
}

func isDenied(err error) bool {
	var d interface{ Denied() bool }
	return errors.As(err, &d) && d.Denied()
}

const (
	probeEvery = 15 * time.Minute
	// probeAfter is what a consumer may take to load what is new: those that
	// poll hourly, as External Secrets does, and then some.
	probeAfter = 2 * time.Hour
	// ProbesAtOnce is how many endpoints are looked at side by side.
	ProbesAtOnce = 16
	// unreachableAfter is how many looks in a row nobody answers until that is
	// a problem: consumers restart.
	unreachableAfter = 3
	// tellAgain is when it is tried again to tell the ledger.
	tellAgain = time.Minute
	// longestSleep bounds how long the wall clock is not looked at, which may jump.
	longestSleep = time.Minute
	// shortestSleep keeps looks that lie close together in one turn.
	shortestSleep = time.Second / 2
)

// Options are a Lookout's settings; the zero value is good.
type Options struct {
	Interval time.Duration      // between looks at an endpoint; 0: 15 minutes
	After    time.Duration      // how long a consumer may take to load what is new; 0: two hours
	Told     func(ledger.Event) // of each event that the ledger is told
	Telling  func(error)        // why the ledger could not be told, which is tried again; nil: it could again
}

// Monitor looks at what endpoints serve, beside a Loop: it follows what that
// sees and never holds it up. Each endpoint has its moment in the interval.
//
//	Loop      pass ────── pass ────── pass          Follow: which endpoints, what is live
//	Lookout     a   b  c    a   b  c    a   b  c    a look each
type Monitor struct {
	r      *apply.Reconciler
	prober Prober
	o      Options
	news   chan struct{} // something else is followed

	// Run's own.
	known    *ledger.Problems // that were told, as far as is known here; nil: not read yet
	silentTo time.Time        // until when it is not tried again to tell
	untold   bool             // what is in the journal could not be told

	mu      sync.Mutex
	Watched map[ledger.Endpoint]*watchedEndpoint // nil: nothing was followed yet
	rev     ledger.Revision
}

// watchedEndpoint is one endpoint.
type watchedEndpoint struct {
	Expectation // live is nil where there is nothing to hold it against
	Next        time.Time
	missed      int     // looks in a row that nobody answered
	look        *Result // the last that says something; nil: none yet
}

// New makes one.
func New(r *apply.Reconciler, prober Prober, o Options) *Monitor {
	o.Interval, o.After = cmp.Or(o.Interval, probeEvery), cmp.Or(o.After, probeAfter)
	if o.Told == nil {
		o.Told = func(ledger.Event) {}
	}
	if o.Telling == nil {
		o.Telling = func(error) {}
	}
	return &Monitor{r: r, prober: prober, o: o, news: make(chan struct{}, 1)}
}

// SetTimes changes how often endpoints are looked at and how long a consumer may take,
// as NewLookout has them: of endpoints that are followed already from the next Follow on.
func (l *Monitor) SetTimes(interval, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Interval, l.o.After = cmp.Or(interval, probeEvery), cmp.Or(after, probeAfter)
}

func (l *Monitor) now() time.Time { return l.r.Opts.Now().Round(0) }

// Follow takes up how things stand after a pass.
func (l *Monitor) Follow(standing []plan.Action, rev ledger.Revision) {
	if standing == nil {
		return // nothing could be seen
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	before := l.Watched
	l.Watched, l.rev = map[ledger.Endpoint]*watchedEndpoint{}, rev
	for s, w := range watchedIn(standing, l.o.After, now) {
		if was := before[s]; was != nil {
			w = was.following(w, now)
		} else {
			w.Next = l.moment(s, now)
		}
		l.Watched[s] = w
	}
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// watchedIn are the endpoints of a plan's certificates.
func watchedIn(standing []plan.Action, after time.Duration, now time.Time) map[ledger.Endpoint]*watchedEndpoint {
	found := map[ledger.Endpoint]*watchedEndpoint{}
	for _, a := range standing {
		if a.Spec == nil {
			continue
		}
		for _, p := range a.Spec.Probes {
			w := &watchedEndpoint{Expectation: Expectation{Certificate: a.Spec, Probe: p, After: after}}
			if l := a.Secret.Live; l != nil && a.Secret.Owner == a.Certificate {
				w.turn(l, now)
			}
			found[ledger.Endpoint{Certificate: a.Certificate, Endpoint: p.Endpoint()}] = w
		}
	}
	return found
}

// following is an endpoint as it is now, with what was seen of it. A live
// version that cannot be seen for a while is the one that it was.
func (w *watchedEndpoint) following(now *watchedEndpoint, at time.Time) *watchedEndpoint {
	next := *w
	next.Certificate, next.Probe, next.After = now.Certificate, now.Probe, now.After
	if now.Live != nil {
		next.turn(now.Live, at)
	}
	return &next
}

// turn takes up what is live. An attempt may take hours: its consumers' time
// begins when it has ended. One that a clock which ran ahead has dated is there
// since it was seen.
func (w *Expectation) turn(live *ledger.Live, at time.Time) {
	at = at.UTC().Truncate(time.Second)
	switch {
	case w.Live == nil:
		w.Since = times.Sooner(live.IssuedAt, at)
	case w.Live.Serial != live.Serial:
		w.Since = at
	}
	w.Live = live
}

// moment is when an endpoint is looked at next: the same moment of each
// interval, which derives from its name.
func (l *Monitor) moment(s ledger.Endpoint, now time.Time) time.Time {
	offset := throttle.Jitter(s.Certificate+" "+s.Endpoint, 0, l.o.Interval)
	next := now.Truncate(l.o.Interval).Add(offset)
	if !next.After(now) {
		next = next.Add(l.o.Interval)
	}
	return next
}

// Run looks until ctx ends.
func (l *Monitor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		l.lookAll(ctx, l.due())
		l.tell(ctx)
		timer := time.NewTimer(min(max(l.wake().Sub(l.now()), shortestSleep), longestSleep))
		select {
		case <-ctx.Done():
		case <-l.news:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// due are the endpoints whose moment has come. One that is further away than an
// interval was set by a clock that ran ahead.
func (l *Monitor) due() []ledger.Endpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var list []ledger.Endpoint
	for s, w := range l.Watched {
		if w.Next.After(now.Add(l.o.Interval)) {
			w.Next = l.moment(s, now)
		}
		if !w.Next.After(now) {
			list = append(list, s)
		}
	}
	return list
}

// wake is when there may be something to look at.
func (l *Monitor) wake() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.now().Add(longestSleep)
	for _, w := range l.Watched {
		next = times.Sooner(next, w.Next)
	}
	return next
}

func (l *Monitor) lookAll(ctx context.Context, spots []ledger.Endpoint) {
	var g errgroup.Group
	g.SetLimit(ProbesAtOnce)
	for _, s := range spots {
		g.Go(func() error {
			l.look(ctx, s)
			return nil
		})
	}
	_ = g.Wait() // the goroutines return none
}

// look looks at one endpoint and keeps what was seen.
func (l *Monitor) look(ctx context.Context, s ledger.Endpoint) {
	l.mu.Lock()
	w := l.Watched[s]
	if w == nil {
		l.mu.Unlock()
		return
	}
	w.Next = l.moment(s, l.now())
	seen := w.Expectation
	l.mu.Unlock()
	if seen.Live == nil {
		return
	}
	look, ok := lookAtOne(ctx, l.r, l.prober, &seen)
	if !ok || ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w = l.Watched[s]; w == nil || w.Live == nil {
		return
	}
	if w.Live.Serial != seen.Live.Serial && w.Live.IssuedAt.Before(seen.Live.IssuedAt) {
		w.Live, w.Since = seen.Live, seen.Since // it was newer than the last pass
	}
	w.take(look)
}

// take keeps a look, unless it says no more than that nobody answered, and not
// yet often enough.
func (w *watchedEndpoint) take(look Result) {
	if look.Verdict != ServesUnreachable {
		w.missed = 0
		w.look = &look
		return
	}
	if w.missed++; w.missed >= unreachableAfter {
		w.look = &look
	}
}

// lookAtOne asks an endpoint and judges what it serves; not ok where what is live
// could not be made sure of. What does not fit is held against Vault once more:
// since the last pass a renewal may have come to its consumer already.
func lookAtOne(ctx context.Context, r *apply.Reconciler, prober Prober, w *Expectation) (Result, bool) {
	served, err := prober.Served(ctx, w.Probe, spec.Algorithm(review.AlgorithmOf(w.Live.KeyShape)))
	if err != nil {
		return Unseen(*w, err, r.Opts.Now()), true
	}
	look := Evaluate(*w, served, r.Opts.Now())
	if look.Verdict == ServesCurrent {
		return look, true
	}
	s, err := r.Observer.Secret(ctx, ledger.Location{Mount: w.Live.Mount, Path: w.Live.Path})
	if err != nil {
		return look, false
	}
	if s.Live == nil || s.Owner != w.Certificate.Name || s.Live.Serial == w.Live.Serial {
		return look, true
	}
	w.turn(s.Live, r.Opts.Now())
	return Evaluate(*w, served, r.Opts.Now()), true
}

// tell brings to the ledger what came and what is gone.
func (l *Monitor) tell(ctx context.Context) {
	looks, rev := l.seen()
	now := l.now()
	if looks == nil || now.Before(l.silentTo) && now.After(l.silentTo.Add(-2*tellAgain)) || ctx.Err() != nil {
		return
	}
	err := l.tellOf(ctx, looks, rev)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.silentTo = now.Add(tellAgain)
		l.o.Telling(err)
	case !l.silentTo.IsZero():
		l.silentTo = time.Time{}
		l.o.Telling(nil)
	}
}

// seen is what is watched, with the last looks; nil where nothing is known yet.
func (l *Monitor) seen() (map[ledger.Endpoint]*Result, ledger.Revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Watched == nil {
		return nil, l.rev
	}
	looks := make(map[ledger.Endpoint]*Result, len(l.Watched))
	for s, w := range l.Watched {
		looks[s] = w.look
	}
	return looks, l.rev
}

// tellOf tells what is new, under the lease, so that of several reconcilers one
// does. What was told is remembered: where nothing changes nobody is asked.
func (l *Monitor) tellOf(ctx context.Context, looks map[ledger.Endpoint]*Result, rev ledger.Revision) (err error) {
	if l.known == nil {
		if l.known, _, err = l.r.KnownProblems(ctx); err != nil {
			return err
		}
	}
	if len(ProbeEntries(l.known, looks, rev, l.now())) == 0 && !l.untold {
		return nil
	}
	run, release, err := l.r.HoldLease(ctx)
	if err != nil {
		return err
	}
	defer release()
	known, entries, err := l.r.AmendProblems(run, func(known *ledger.Problems) []ledger.Entry { return ProbeEntries(known, looks, rev, l.now()) })
	if err != nil {
		return err
	}
	l.known = known
	for _, e := range entries {
		l.o.Told(e.Event)
	}
	err = l.r.Tell(run)
	l.untold = err != nil
	return err
}

// Results are the last looks, by certificate and endpoint.
func (l *Monitor) Results() []Result {
	looks, _ := l.seen()
	list := []Result{}
	for _, s := range slices.SortedFunc(maps.Keys(looks), ledger.Endpoint.Compare) {
		if looks[s] != nil {
			list = append(list, *looks[s])
		}
	}
	return list
}

// Probe looks at the endpoints of a plan's certificates once, of those that are
// named or of all. It writes nothing.
func Probe(ctx context.Context, r *apply.Reconciler, prober Prober, standing []plan.Action, after time.Duration, names []string) ([]Result, error) {
	found := watchedIn(standing, cmp.Or(after, probeAfter), r.Opts.Now())
	if len(names) > 0 {
		maps.DeleteFunc(found, func(s ledger.Endpoint, _ *watchedEndpoint) bool { return !slices.Contains(names, s.Certificate) })
	}
	spots := slices.SortedFunc(maps.Keys(found), ledger.Endpoint.Compare)
	looks := make([]Result, len(spots))
	var g errgroup.Group
	g.SetLimit(ProbesAtOnce)
	for i, s := range spots {
		g.Go(func() error {
			w := &found[s].Expectation
			if w.Live == nil {
				looks[i] = Result{Certificate: s.Certificate, Endpoint: s.Endpoint, Verdict: ServesUnissued, At: r.Opts.Now().UTC(),
					Message: "there is no certificate in Vault yet that it could be held against"}
				return nil
			}
			var ok bool
			if looks[i], ok = lookAtOne(ctx, r, prober, w); !ok {
				looks[i].Message += " (Vault could not be asked once more)"
			}
			return nil
		})
	}
	_ = g.Wait() // the goroutines return none
	return looks, ctx.Err()
}
