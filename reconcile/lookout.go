package reconcile

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
	// probesAtOnce is how many endpoints are looked at side by side.
	probesAtOnce = 16
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

// LookoutOptions are a Lookout's settings; the zero value is good.
type LookoutOptions struct {
	Interval time.Duration // between looks at an endpoint; 0: 15 minutes
	After    time.Duration // how long a consumer may take to load what is new; 0: two hours
	Told     func(Event)   // of each event that the ledger is told
	Telling  func(error)   // why the ledger could not be told, which is tried again; nil: it could again
}

// Lookout looks at what endpoints serve, beside a Loop: it follows what that
// sees and never holds it up. Each endpoint has its moment in the interval.
//
//	Loop      pass ────── pass ────── pass          Follow: which endpoints, what is live
//	Lookout     a   b  c    a   b  c    a   b  c    a look each
type Lookout struct {
	r      *Reconciler
	prober Prober
	o      LookoutOptions
	news   chan struct{} // something else is followed

	// Run's own.
	known    *Problems // that were told, as far as is known here; nil: not read yet
	silentTo time.Time // until when it is not tried again to tell
	untold   bool      // what is in the journal could not be told

	mu      sync.Mutex
	watched map[spot]*watched // nil: nothing was followed yet
	rev     Revision
}

// watched is one endpoint.
type watched struct {
	awaited // live is nil where there is nothing to hold it against
	next    time.Time
	missed  int   // looks in a row that nobody answered
	look    *Look // the last that says something; nil: none yet
}

// NewLookout makes one.
func NewLookout(r *Reconciler, prober Prober, o LookoutOptions) *Lookout {
	o.Interval, o.After = cmp.Or(o.Interval, probeEvery), cmp.Or(o.After, probeAfter)
	if o.Told == nil {
		o.Told = func(Event) {}
	}
	if o.Telling == nil {
		o.Telling = func(error) {}
	}
	return &Lookout{r: r, prober: prober, o: o, news: make(chan struct{}, 1)}
}

// SetTimes changes how often endpoints are looked at and how long a consumer may take,
// as NewLookout has them: of endpoints that are followed already from the next Follow on.
func (l *Lookout) SetTimes(interval, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Interval, l.o.After = cmp.Or(interval, probeEvery), cmp.Or(after, probeAfter)
}

func (l *Lookout) now() time.Time { return l.r.opts.Now().Round(0) }

// Follow takes up how things stand after a pass.
func (l *Lookout) Follow(standing []Action, rev Revision) {
	if standing == nil {
		return // nothing could be seen
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	before := l.watched
	l.watched, l.rev = map[spot]*watched{}, rev
	for s, w := range watchedIn(standing, l.o.After, now) {
		if was := before[s]; was != nil {
			w = was.following(w, now)
		} else {
			w.next = l.moment(s, now)
		}
		l.watched[s] = w
	}
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// watchedIn are the endpoints of a plan's certificates.
func watchedIn(standing []Action, after time.Duration, now time.Time) map[spot]*watched {
	found := map[spot]*watched{}
	for _, a := range standing {
		if a.Spec == nil {
			continue
		}
		for _, p := range a.Spec.Probes {
			w := &watched{awaited: awaited{certificate: a.Spec, probe: p, after: after}}
			if l := a.Secret.Live; l != nil && a.Secret.Owner == a.Certificate {
				w.turn(l, now)
			}
			found[spot{a.Certificate, p.Endpoint()}] = w
		}
	}
	return found
}

// following is an endpoint as it is now, with what was seen of it. A live
// version that cannot be seen for a while is the one that it was.
func (w *watched) following(now *watched, at time.Time) *watched {
	next := *w
	next.certificate, next.probe, next.after = now.certificate, now.probe, now.after
	if now.live != nil {
		next.turn(now.live, at)
	}
	return &next
}

// turn takes up what is live. An attempt may take hours: its consumers' time
// begins when it has ended. One that a clock which ran ahead has dated is there
// since it was seen.
func (w *awaited) turn(live *Live, at time.Time) {
	at = at.UTC().Truncate(time.Second)
	switch {
	case w.live == nil:
		w.since = sooner(live.IssuedAt, at)
	case w.live.Serial != live.Serial:
		w.since = at
	}
	w.live = live
}

// moment is when an endpoint is looked at next: the same moment of each
// interval, which derives from its name.
func (l *Lookout) moment(s spot, now time.Time) time.Time {
	offset := jitter(s.certificate+" "+s.endpoint, 0, l.o.Interval)
	next := now.Truncate(l.o.Interval).Add(offset)
	if !next.After(now) {
		next = next.Add(l.o.Interval)
	}
	return next
}

// Run looks until ctx ends.
func (l *Lookout) Run(ctx context.Context) {
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
func (l *Lookout) due() []spot {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var list []spot
	for s, w := range l.watched {
		if w.next.After(now.Add(l.o.Interval)) {
			w.next = l.moment(s, now)
		}
		if !w.next.After(now) {
			list = append(list, s)
		}
	}
	return list
}

// wake is when there may be something to look at.
func (l *Lookout) wake() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.now().Add(longestSleep)
	for _, w := range l.watched {
		next = sooner(next, w.next)
	}
	return next
}

func (l *Lookout) lookAll(ctx context.Context, spots []spot) {
	var g errgroup.Group
	g.SetLimit(probesAtOnce)
	for _, s := range spots {
		g.Go(func() error {
			l.look(ctx, s)
			return nil
		})
	}
	_ = g.Wait() // the goroutines return none
}

// look looks at one endpoint and keeps what was seen.
func (l *Lookout) look(ctx context.Context, s spot) {
	l.mu.Lock()
	w := l.watched[s]
	if w == nil {
		l.mu.Unlock()
		return
	}
	w.next = l.moment(s, l.now())
	seen := w.awaited
	l.mu.Unlock()
	if seen.live == nil {
		return
	}
	look, ok := lookOnce(ctx, l.r, l.prober, &seen)
	if !ok || ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w = l.watched[s]; w == nil || w.live == nil {
		return
	}
	if w.live.Serial != seen.live.Serial && w.live.IssuedAt.Before(seen.live.IssuedAt) {
		w.live, w.since = seen.live, seen.since // it was newer than the last pass
	}
	w.take(look)
}

// take keeps a look, unless it says no more than that nobody answered, and not
// yet often enough.
func (w *watched) take(look Look) {
	if look.Verdict != ServesUnreachable {
		w.missed = 0
		w.look = &look
		return
	}
	if w.missed++; w.missed >= unreachableAfter {
		w.look = &look
	}
}

// lookOnce asks an endpoint and judges what it serves; not ok where what is live
// could not be made sure of. What does not fit is held against Vault once more:
// since the last pass a renewal may have come to its consumer already.
func lookOnce(ctx context.Context, r *Reconciler, prober Prober, w *awaited) (Look, bool) {
	served, err := prober.Served(ctx, w.probe, spec.Algorithm(algorithmOf(w.live.KeyShape)))
	if err != nil {
		return unseen(*w, err, r.opts.Now()), true
	}
	look := judge(*w, served, r.opts.Now())
	if look.Verdict == ServesCurrent {
		return look, true
	}
	s, err := r.observer.Secret(ctx, Location{w.live.Mount, w.live.Path})
	if err != nil {
		return look, false
	}
	if s.Live == nil || s.Owner != w.certificate.Name || s.Live.Serial == w.live.Serial {
		return look, true
	}
	w.turn(s.Live, r.opts.Now())
	return judge(*w, served, r.opts.Now()), true
}

// tell brings to the ledger what came and what is gone.
func (l *Lookout) tell(ctx context.Context) {
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
func (l *Lookout) seen() (map[spot]*Look, Revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watched == nil {
		return nil, l.rev
	}
	looks := make(map[spot]*Look, len(l.watched))
	for s, w := range l.watched {
		looks[s] = w.look
	}
	return looks, l.rev
}

// tellOf tells what is new, under the lease, so that of several reconcilers one
// does. What was told is remembered: where nothing changes nobody is asked.
func (l *Lookout) tellOf(ctx context.Context, looks map[spot]*Look, rev Revision) (err error) {
	if l.known == nil {
		if l.known, _, err = l.r.knownProblems(ctx); err != nil {
			return err
		}
	}
	if len(probeEntries(l.known, looks, rev, l.now())) == 0 && !l.untold {
		return nil
	}
	run, release, err := l.r.holdLease(ctx)
	if err != nil {
		return err
	}
	defer release()
	known, entries, err := l.r.amendProblems(run, func(known *Problems) []entry { return probeEntries(known, looks, rev, l.now()) })
	if err != nil {
		return err
	}
	l.known = known
	for _, e := range entries {
		l.o.Told(e.Event)
	}
	err = l.r.tell(run)
	l.untold = err != nil
	return err
}

// Looks are the last looks, by certificate and endpoint.
func (l *Lookout) Looks() []Look {
	looks, _ := l.seen()
	list := []Look{}
	for _, s := range slices.SortedFunc(maps.Keys(looks), spot.compare) {
		if looks[s] != nil {
			list = append(list, *looks[s])
		}
	}
	return list
}

// ProbeOnce looks at the endpoints of a plan's certificates once, of those that are
// named or of all. It writes nothing.
func ProbeOnce(ctx context.Context, r *Reconciler, prober Prober, standing []Action, after time.Duration, names []string) ([]Look, error) {
	found := watchedIn(standing, cmp.Or(after, probeAfter), r.opts.Now())
	if len(names) > 0 {
		maps.DeleteFunc(found, func(s spot, _ *watched) bool { return !slices.Contains(names, s.certificate) })
	}
	spots := slices.SortedFunc(maps.Keys(found), spot.compare)
	looks := make([]Look, len(spots))
	var g errgroup.Group
	g.SetLimit(probesAtOnce)
	for i, s := range spots {
		g.Go(func() error {
			w := &found[s].awaited
			if w.live == nil {
				looks[i] = Look{Certificate: s.certificate, Endpoint: s.endpoint, Verdict: ServesUnissued, At: r.opts.Now().UTC(),
					Message: "there is no certificate in Vault yet that it could be held against"}
				return nil
			}
			var ok bool
			if looks[i], ok = lookOnce(ctx, r, prober, w); !ok {
				looks[i].Message += " (Vault could not be asked once more)"
			}
			return nil
		})
	}
	_ = g.Wait() // the goroutines return none
	return looks, ctx.Err()
}
