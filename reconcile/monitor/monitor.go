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

// Prober fetches the certificates that an endpoint serves.
type Prober interface {
	// Served returns the chains, leaf first, by address. If a server has certificates for
	// several key algorithms, it returns the one for algorithm. An error means no answer;
	// an error whose Denied() is true means that certroll.hcl forbids the connection.
	Served(ctx context.Context, at spec.Probe, algorithm spec.Algorithm) (map[string][]*x509.Certificate, error)
}

// isDenied reports whether certroll.hcl forbids the connection.
func isDenied(err error) bool {
	var d interface{ Denied() bool }
	return errors.As(err, &d) && d.Denied()
}

const (
	probeEvery = 15 * time.Minute
	// probeAfter is the time that a consumer has to load a new certificate. It covers
	// consumers that poll hourly, such as External Secrets.
	probeAfter = 2 * time.Hour
	// ProbesAtOnce bounds the concurrent probes.
	ProbesAtOnce = 16
	// unreachableAfter is how many probes in a row must fail before an endpoint counts as
	// unreachable: consumers restart.
	unreachableAfter = 3
	// tellAgain is the wait before a retry of writing to the ledger.
	tellAgain = time.Minute
	// longestSleep bounds a sleep, because timers do not follow a clock that is set.
	longestSleep = time.Minute
	// shortestSleep lets one round serve probes that are due close together.
	shortestSleep = time.Second / 2
)

// Options are the settings of a Monitor; the zero value is usable.
type Options struct {
	Interval time.Duration      // between probes of an endpoint; 0: 15 minutes
	After    time.Duration      // time that a consumer has to load a new certificate; 0: two hours
	Recorded func(ledger.Event) // called with each event written
	Telling  func(error)        // called if writing to the ledger fails, and with nil once it works again
}

// Monitor probes endpoints beside a Loop and never holds it up. Each endpoint has a fixed
// time within the interval.
//
//	Loop      pass ────── pass ────── pass          Follow: endpoints and live versions
//	Monitor     a   b  c    a   b  c    a   b  c    one probe each
type Monitor struct {
	r      *apply.Reconciler
	prober Prober
	o      Options
	news   chan struct{} // signals a Follow

	// Used by Run's goroutine only.
	known       *ledger.Problems // problems known to the ledger, as seen here; nil: not read yet
	silentTo    time.Time        // no write to the ledger before
	unpublished bool             // the journal has entries that could not be published

	mu      sync.Mutex
	Watched map[ledger.Endpoint]*watchedEndpoint // nil: no Follow yet
	rev     ledger.Revision
}

// watchedEndpoint is the state of one endpoint.
type watchedEndpoint struct {
	Expectation // Live is nil if there is nothing to compare with
	Next        time.Time
	missed      int     // probes in a row without an answer
	look        *Result // last conclusive result; nil: none yet
}

// New returns a monitor that watches nothing until Follow.
func New(r *apply.Reconciler, prober Prober, o Options) *Monitor {
	o.Interval, o.After = cmp.Or(o.Interval, probeEvery), cmp.Or(o.After, probeAfter)
	if o.Recorded == nil {
		o.Recorded = func(ledger.Event) {}
	}
	if o.Telling == nil {
		o.Telling = func(error) {}
	}
	return &Monitor{r: r, prober: prober, o: o, news: make(chan struct{}, 1)}
}

// SetTimes changes the interval and the consumers' time, with the defaults of New.
// Endpoints that are already watched use them from the next Follow on.
func (l *Monitor) SetTimes(interval, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Interval, l.o.After = cmp.Or(interval, probeEvery), cmp.Or(after, probeAfter)
}

// now returns the wall clock time, without the monotonic reading.
func (l *Monitor) now() time.Time { return l.r.Opts.Now().Round(0) }

// Follow takes the endpoints and live certificates of a pass.
func (l *Monitor) Follow(standing []plan.Action, rev ledger.Revision) {
	if standing == nil {
		return // the pass could not observe
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	before := l.Watched
	l.Watched, l.rev = map[ledger.Endpoint]*watchedEndpoint{}, rev
	for s, w := range watchedIn(standing, l.o.After, now) {
		// Known endpoints keep their results and the time of their next probe.
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

// watchedIn returns the endpoints of a plan's certificates.
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

// following updates an endpoint and keeps its results. A live version that cannot be
// observed for a while counts as unchanged.
func (w *watchedEndpoint) following(now *watchedEndpoint, at time.Time) *watchedEndpoint {
	next := *w
	next.Certificate, next.Probe, next.After = now.Certificate, now.Probe, now.After
	if now.Live != nil {
		next.turn(now.Live, at)
	}
	return &next
}

// turn sets the live certificate. The consumers' time starts when it was first observed,
// as an attempt may take hours. For the first one it starts at IssuedAt, or now if a fast
// clock dated it in the future.
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

// moment returns the next probe of an endpoint. The offset in the interval derives from
// its name, so that probes spread and a restart does not move them.
func (l *Monitor) moment(s ledger.Endpoint, now time.Time) time.Time {
	offset := throttle.Jitter(s.Certificate+" "+s.Endpoint, 0, l.o.Interval)
	next := now.Truncate(l.o.Interval).Add(offset)
	if !next.After(now) {
		next = next.Add(l.o.Interval)
	}
	return next
}

// Run probes until ctx ends.
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

// due returns the endpoints whose time has come. A time more than one interval ahead was
// set by a fast clock, and is set again.
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

// wake returns the time of the next round.
func (l *Monitor) wake() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.now().Add(longestSleep)
	for _, w := range l.Watched {
		next = times.Sooner(next, w.Next)
	}
	return next
}

// lookAll probes endpoints concurrently, and waits for them.
func (l *Monitor) lookAll(ctx context.Context, endpoints []ledger.Endpoint) {
	var g errgroup.Group
	g.SetLimit(ProbesAtOnce)
	for _, s := range endpoints {
		g.Go(func() error {
			l.look(ctx, s)
			return nil
		})
	}
	_ = g.Wait() // the goroutines return none
}

// look probes one endpoint and stores the result.
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
	// Without the lock, because a probe may take seconds. Follow may change the endpoint
	// meanwhile, so that it is read again below.
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
		w.Live, w.Since = seen.Live, seen.Since // newer than the last pass
	}
	w.take(look)
}

// take stores a result. It stores an unanswered probe only after several in a row.
func (w *watchedEndpoint) take(look Result) {
	if look.Verdict.Class() != ledger.ClassUnreachable {
		w.missed = 0
		w.look = &look
		return
	}
	if w.missed++; w.missed >= unreachableAfter {
		w.look = &look
	}
}

// lookAtOne probes an endpoint. If the served certificate differs from the live one, it
// reads the metadata in Vault again: a renewal since the last pass may have reached the
// consumer already. ok is false if that read failed.
func lookAtOne(ctx context.Context, r *apply.Reconciler, prober Prober, w *Expectation) (Result, bool) {
	served, err := prober.Served(ctx, w.Probe, spec.Algorithm(review.AlgorithmOf(w.Live.KeyShape)))
	if err != nil {
		return Unseen(*w, err, r.Opts.Now()), true
	}
	look := Evaluate(*w, served, r.Opts.Now())
	if look.Verdict == VerdictCurrent {
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

// tell writes changed problems to the ledger.
func (l *Monitor) tell(ctx context.Context) {
	looks, rev := l.seen()
	now := l.now()
	// A silentTo further ahead than a retry was set by a fast clock, and is ignored.
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

// seen returns the watched endpoints with their last results; nil before the first
// Follow.
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

// tellOf writes changes under the lease, so that one of several replicas does. Without
// changes it makes no request.
func (l *Monitor) tellOf(ctx context.Context, looks map[ledger.Endpoint]*Result, rev ledger.Revision) (err error) {
	if l.known == nil {
		if l.known, _, err = l.r.KnownProblems(ctx); err != nil {
			return err
		}
	}
	// Without changes no lease is taken: the round costs no request to Vault.
	if len(ProbeEntries(l.known, looks, rev, l.now())) == 0 && !l.unpublished {
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
		l.o.Recorded(e.Event)
	}
	err = l.r.Tell(run)
	l.unpublished = err != nil
	return err
}

// Results returns the last results, sorted by certificate and endpoint.
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

// Probe probes the endpoints of a plan's certificates once: of the named ones, or of all.
// It writes nothing.
func Probe(ctx context.Context, r *apply.Reconciler, prober Prober, standing []plan.Action, after time.Duration, names []string) ([]Result, error) {
	found := watchedIn(standing, cmp.Or(after, probeAfter), r.Opts.Now())
	if len(names) > 0 {
		maps.DeleteFunc(found, func(s ledger.Endpoint, _ *watchedEndpoint) bool { return !slices.Contains(names, s.Certificate) })
	}
	endpoints := slices.SortedFunc(maps.Keys(found), ledger.Endpoint.Compare)
	looks := make([]Result, len(endpoints))
	var g errgroup.Group
	g.SetLimit(ProbesAtOnce)
	for i, s := range endpoints {
		g.Go(func() error {
			w := &found[s].Expectation
			if w.Live == nil {
				looks[i] = Result{Certificate: s.Certificate, Endpoint: s.Endpoint, Verdict: VerdictUnissued, At: r.Opts.Now().UTC(),
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
