package reconcile

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
)

// Repo is the source of a Loop's spec.
type Repo interface {
	// Pull returns the spec in force and its revision. If the newest revision cannot be
	// used, it returns the last good one with an error. nil: there is none yet.
	Pull(ctx context.Context) (*spec.Spec, ledger.Revision, error)
}

// LoopOptions are the settings of a Loop; the zero value is usable.
type LoopOptions struct {
	Interval time.Duration // between pulls, plus up to a tenth at random; 0: five minutes
	// Nudge makes the loop pull soon, such as after a webhook or a changed file.
	Nudge <-chan struct{}
	// Planned receives each plan before its actions start; Passed receives each pass.
	Planned func([]plan.Action)
	Passed  func(Pass)
	// Ended receives each ended attempt, which may be long after its pass. Published is called
	// after each change of the ledger. Both are called from many goroutines.
	Ended     func(attempt.Result)
	Published func()
	// Daily runs once a day, concurrently; nil: nothing. It reports its own errors.
	Daily func(context.Context, *spec.Spec, ledger.Revision)
}

// Pass is the result of one pass of a Loop.
type Pass struct {
	Planned plan.Plan     // the plan that the pass started
	Report  *apply.Report // what ended within the pass; nil if nothing could start
	Err     error
	// After is the plan after the pass, and Records are its records by name. Both are empty
	// if the state could not be observed. Receivers must not change them.
	After   plan.Plan
	Records []*ledger.Record
	// Rewound is the time of the last recent rewind of the ledger. Unanchored is why the
	// ledger could not be compared with its checkpoint, or nil.
	Rewound    time.Time
	Unanchored error
	// Unreadable are the parts of the ledger that cannot be read.
	Unreadable []archive.Breach
	Tripped    []plan.Tripped // open breakers, by subject
	// Limits is the usage of the CAs' rate limits. Problems are the open problems of
	// examinations. Both are nil if the state could not be observed.
	Limits   []throttle.LimitUsed
	Problems []ledger.Problem
	Backlog  recorder.Backlog
	Outages  []Outage // current outages
	Disk     error    // why the state directory cannot be written, or nil
	Took     time.Duration
	Next     time.Time // next time the loop wakes up
}

const (
	// longestNap bounds a sleep: timers stand still while a machine is suspended, and do
	// not follow a clock that is set.
	longestNap = time.Minute
	// ShortestNap lets one pass handle times that lie close together.
	ShortestNap = time.Second / 2
	// lingers is how long a pass waits for its actions: a short action ends within its
	// pass, and an action that falls due still starts within a second.
	lingers = time.Second / 2
	// nudgeEvery is the shortest time between pulls caused by nudges: a pull is
	// expensive, and nudges may come often.
	nudgeEvery = 5 * time.Second
	// AskEvery is the shortest time between queries for renewal information, which then
	// covers all that became due meanwhile.
	AskEvery = time.Minute
)

// Loop keeps certificates in the state of the repo. It sleeps until the next relevant
// time of a certificate (a renewal falls due, a hold ends, a query is due, an attempt
// ends) and then observes that certificate alone. The first pull observes all of Vault.
// Each later pull observes up to plan.MostInTurn certificates in turn, to find changes by
// other programs.
//
//	pull       pull       pull       pull
//	 ├──────────┼───┬──────┼──────────┼──▶
//	            renewal due: one certificate is observed
//
// A pass starts the due actions and waits for none of them. Running attempts are left out
// of the plans until they end.
type Loop struct {
	r    *apply.Reconciler
	repo Repo
	o    LoopOptions

	desired     *spec.Spec
	rev         ledger.Revision
	turns       plan.Turns
	Planned     plan.Plan // the last plan; without Observed: none yet
	pulledAt    time.Time
	pullErr     error // error of that pull
	PullAt      time.Time
	askedAt     time.Time
	wakeAt      time.Time
	passedAt    time.Time       // end of the last pass
	unpublished bool            // the last pass left the publishing to running attempts
	unseen      map[string]bool // certificates not observed since their attempt ended
	outages     map[recorder.Side]*recorder.Outage
	today       chan struct{} // closed when the daily work is done
	asking      chan struct{} // closed when the queries to the CAs are done
	asked       error         // error of the last queries
}

// NewLoop returns a loop that uses a reconciler. It sets the reconciler's callbacks.
func NewLoop(r *apply.Reconciler, repo Repo, o LoopOptions) *Loop {
	if o.Interval <= 0 {
		o.Interval = 5 * time.Minute
	}
	if o.Planned == nil {
		o.Planned = func([]plan.Action) {}
	}
	if o.Passed == nil {
		o.Passed = func(Pass) {}
	}
	if o.Ended != nil {
		r.OnEnded = o.Ended
	}
	if o.Published != nil {
		r.OnChanged = o.Published
	}
	l := &Loop{r: r, repo: repo, o: o, unseen: map[string]bool{}, outages: map[recorder.Side]*recorder.Outage{}, today: make(chan struct{}), asking: make(chan struct{})}
	close(l.today)
	close(l.asking)
	return l
}

// SetInterval changes the pull interval, from the current pull on. Only Repo.Pull may
// call it, because the loop's goroutine reads the interval without a lock.
func (l *Loop) SetInterval(interval time.Duration) { l.o.Interval = interval }

// Run makes passes until ctx ends, and returns when everything it started has ended. It
// reports and retries errors of a pass.
func (l *Loop) Run(ctx context.Context) {
	defer func() {
		<-l.today
		<-l.asking
		l.r.Crew.Batches.Wait()
	}()
	for ctx.Err() == nil {
		p := l.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		l.o.Passed(p)
		l.sleep(ctx)
	}
}

// sleep waits for the next wake-up by the wall clock.
func (l *Loop) sleep(ctx context.Context) {
	from := l.now()
	for {
		now := l.now()
		if now.Before(from) || !now.Before(l.wakeAt) {
			return // the clock was set back, or the time has come
		}
		timer := time.NewTimer(min(max(l.wakeAt.Sub(now), ShortestNap), longestNap))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.o.Nudge:
			timer.Stop()
			soon := l.pulledAt.Add(nudgeEvery)
			l.PullAt, l.wakeAt = times.Sooner(l.PullAt, soon), times.Sooner(l.wakeAt, soon)
		case <-l.r.Crew.Settled:
			timer.Stop()
			l.wakeAt = times.Sooner(l.wakeAt, l.passedAt.Add(ShortestNap))
		case <-timer.C:
		}
	}
}

// now returns the wall clock time. Round(0) strips the monotonic reading, which stands
// still while the machine is suspended.
func (l *Loop) now() time.Time { return l.r.Opts.Now().Round(0) }

// pass observes, plans and applies once.
func (l *Loop) pass(ctx context.Context) (p Pass) {
	now := l.now()
	defer func() {
		l.passedAt = l.now()
		l.wakeAt = l.NextWake(p)
		p.Next, p.Outages, p.Took = l.wakeAt, l.away(), max(l.now().Sub(now), 0)
		var err error
		if p.Backlog, err = l.r.Backlog(); err != nil {
			p.Err = errors.Join(p.Err, err)
		}
	}()
	pulled := l.pullDue(now)
	p.Disk = l.noteDisk(pulled)
	if pulled {
		err := l.pull(ctx, now)
		if l.desired == nil {
			p.Err = err
		}
	}
	if l.desired == nil {
		return p
	}
	// Read before the observation: only an older absence ends by it.
	away := l.adoptAbsence()
	asked, err := l.look(ctx, now, pulled)
	if p.Err = err; err != nil {
		_ = l.adoptAbsence() // err has the same outage
		if ctx.Err() == nil && l.noteOutage(recorder.SideLooked, p.Err) {
			// No Apply reports the outage while it lasts. If the push fails too, the
			// journal keeps the event.
			_ = l.r.Tell(ctx)
		}
		return p
	}
	l.r.Absence.End(away)
	l.noteEnd(recorder.SideLooked)
	p.Planned = l.Planned
	l.o.Planned(l.r.Crew.WithoutEnded(p.Planned.Actions))
	p.Report, err = l.begin(ctx)
	p.Err = errors.Join(asked, err)
	if away = l.adoptAbsence(); away != nil && !attempt.SaysAway(err) {
		p.Err = errors.Join(p.Err, away)
	}
	// Observed again, so that the pass reports the outcome of its own actions.
	if names := l.changed(p); len(names) > 0 && ctx.Err() == nil {
		p.Err = errors.Join(p.Err, l.lookAt(ctx, names))
	}
	p.After, p.Records, p.Rewound = l.Planned, l.records(), archive.LastRewound(l.Planned.Observed.History)
	p.Unanchored, p.Limits = l.r.Unanchored(), throttle.LimitsUsed(l.desired, l.Planned.Observed.History, now)
	p.Unreadable = l.r.Unreadable()
	p.Problems, err = l.r.Open()
	p.Err = errors.Join(p.Err, err)
	p.Tripped = plan.TrippedIn(l.desired, l.Planned.Observed, now)
	if ctx.Err() == nil {
		p.Err = errors.Join(p.Err, l.daily(ctx, now))
	}
	return p
}

// records returns the observed records, sorted by name.
func (l *Loop) records() []*ledger.Record {
	return slices.SortedFunc(maps.Values(l.Planned.Observed.Records), func(a, b *ledger.Record) int { return strings.Compare(a.Certificate, b.Certificate) })
}

// begin starts the planned actions. Its report covers the ones that end within lingers.
func (l *Loop) begin(ctx context.Context) (*apply.Report, error) {
	b := l.r.Begin(ctx, l.desired, l.rev, l.Planned, l.pulledAt)
	over := b.Linger(ctx, lingers)
	l.unpublished = over && b.Silent || !over && l.now().Sub(l.r.TriedAt()).Abs() < apply.TellEvery
	var err error
	switch {
	case over:
		err = b.Err
	case !l.unpublished && ctx.Err() == nil:
		err = l.r.Tell(ctx) // publishes the pass's notes
	}
	if !l.unpublished || err != nil {
		l.noteGit(recorder.SideLedger, err)
	}
	return b.SoFar(), err
}

// changed returns the certificates to observe again: those whose attempt ended, and all
// of the pass if another program changed something first.
func (l *Loop) changed(p Pass) map[string]bool {
	maps.Copy(l.unseen, l.r.Crew.TakeEnded())
	names := maps.Clone(l.unseen)
	if p.Report.Overtaken > 0 {
		for _, a := range apply.Actionable(p.Planned.Actions) {
			names[a.Certificate] = true
		}
	}
	return names
}

// pullDue reports whether to pull. It also does so if the clock was set back, because the
// age of the last pull is then unknown.
func (l *Loop) pullDue(now time.Time) bool {
	return l.pulledAt.IsZero() || now.Before(l.pulledAt) || !now.Before(l.PullAt)
}

// pull takes the spec in force. If Git is unreachable, this is the last good one, and the
// error counts as an outage.
func (l *Loop) pull(ctx context.Context, now time.Time) error {
	desired, rev, err := l.repo.Pull(ctx)
	// The random part spreads replicas that started together.
	l.pulledAt, l.PullAt = now, now.Add(l.o.Interval+rand.N(l.o.Interval/10+1))
	l.pullErr = err
	if desired != nil {
		l.desired, l.rev = desired, rev
	}
	if ctx.Err() == nil {
		l.noteGit(recorder.SideRepo, err)
	}
	return err
}

// look observes and plans. It observes the certificates that are due or whose attempt
// ended, and after a pull those whose turn it is. asked is the error of the last queries
// to the CAs. It holds nothing up: the last known windows and the threshold stay in
// force.
func (l *Loop) look(ctx context.Context, now time.Time, pulled bool) (asked, err error) {
	stale, first := l.due(now), l.Planned.Observed == nil
	// The first pass observes everything anyway.
	if pulled && !first {
		for _, name := range l.turns.Next(plan.Holders(l.desired, l.Planned.Observed.Records), plan.MostInTurn) {
			stale[name] = true
		}
	}
	maps.Copy(l.unseen, l.r.Crew.TakeEnded())
	maps.Copy(stale, l.unseen)
	obs, err := l.r.ObserveAgain(ctx, l.desired, l.Planned.Observed, stale)
	if err != nil {
		return nil, err
	}
	l.take(obs)
	asked = l.ask(ctx, now)
	if first {
		l.adoptOutages()
		if l.pullErr == nil {
			l.noteEnd(recorder.SideRepo) // the pull came before the events were read
		}
	}
	return asked, nil
}

// ask starts the queries for renewal information beside the passes, so that a slow CA
// delays nothing. It returns the error of the previous queries.
func (l *Loop) ask(ctx context.Context, now time.Time) error {
	select {
	case <-l.asking:
	default:
		return nil // the previous queries still run
	}
	said := l.asked
	if !now.Before(l.askedAt) && now.Before(l.askedAt.Add(AskEvery)) {
		return said
	}
	l.askedAt = now
	done := make(chan struct{})
	l.asking = done
	// The goroutine gets its own map of records, because Ask changes it.
	desired, obs := l.desired, &plan.Observed{Records: maps.Clone(l.Planned.Observed.Records), Secrets: l.Planned.Observed.Secrets, Turn: l.Planned.Observed.Turn}
	go func() {
		defer close(done)
		l.asked = l.r.Ask(ctx, desired, obs)
	}()
	return said
}

// lookAt observes some certificates again and plans.
func (l *Loop) lookAt(ctx context.Context, names map[string]bool) error {
	obs, err := l.r.ObserveAgain(ctx, l.desired, l.Planned.Observed, names)
	if err != nil {
		return err
	}
	l.take(obs)
	return nil
}

// take stores an observation and makes its plan.
func (l *Loop) take(obs *plan.Observed) {
	l.unseen = map[string]bool{}
	l.Planned = plan.New(l.desired, obs, l.now())
	l.Planned.InWaves()
}

// due returns the certificates whose time has come since the last plan. Running and
// queued ones need no new observation.
func (l *Loop) due(now time.Time) map[string]bool {
	names := map[string]bool{}
	for _, a := range l.Planned.Actions {
		if a.AtWork != nil || l.r.Crew.IsReady(a.Certificate) {
			continue
		}
		if a.Kind != ledger.KindNone && a.Kind != ledger.KindHold || !a.NotBefore.IsZero() && !a.NotBefore.After(now) {
			names[a.Certificate] = true
		}
	}
	return names
}

// NextWake returns the earliest time at which there may be work.
func (l *Loop) NextWake(p Pass) time.Time {
	now := l.now()
	if p.Err != nil && p.Report == nil {
		return now.Add(plan.WaveEvery) // due certificates could not be observed
	}
	next := l.PullAt
	earlier := func(at time.Time) {
		if at.Before(next) {
			next = at
		}
	}
	if p.Err != nil {
		earlier(now.Add(plan.WaveEvery))
	}
	if l.unpublished {
		earlier(now.Add(apply.TellEvery))
	}
	for _, a := range l.Planned.Actions {
		switch {
		case a.AtWork != nil: // the end of the attempt wakes the loop
		case a.Kind != ledger.KindNone && a.Kind != ledger.KindHold:
			earlier(now.Add(plan.WaveEvery)) // the pass changed or skipped it
		case !a.NotBefore.IsZero():
			earlier(a.NotBefore) // it may have come during the pass
		}
	}
	if l.desired != nil && l.Planned.Observed != nil {
		if at := l.r.NextAsk(l.desired, l.Planned.Observed); !at.IsZero() {
			earlier(times.Later(at, l.askedAt.Add(AskEvery)))
		}
	}
	return times.Later(next, now.Add(ShortestNap))
}

// daily starts the daily work, at most once a day over restarts.
func (l *Loop) daily(ctx context.Context, now time.Time) error {
	if err := l.r.Asks.Load(); err != nil {
		return err
	}
	if next := l.r.Asks.At(attempt.DailyMoment); l.o.Daily == nil || next.After(now) && next.Before(now.Add(2*times.Day)) {
		return nil // a fast clock stored the later time
	}
	select {
	case <-l.today:
	default:
		return nil // the previous one still runs
	}
	// Stored before the work starts: work that crashes the process must not run at each
	// start.
	l.r.Asks.Set(attempt.DailyMoment, now.Add(times.Day))
	done := make(chan struct{})
	l.today = done
	desired, rev := l.desired, l.rev
	go func() {
		defer close(done)
		l.o.Daily(ctx, desired, rev)
	}()
	return l.r.Asks.Save()
}
