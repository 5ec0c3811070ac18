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

// Repo is where a Loop has the spec from.
type Repo interface {
	// Pull returns the spec in force and its revision: the newest one, or with
	// an error that says why not the last good one. nil: there is none yet.
	Pull(ctx context.Context) (*spec.Spec, ledger.Revision, error)
}

// LoopOptions are a Loop's settings; the zero value is good.
type LoopOptions struct {
	Interval time.Duration // between pulls, lengthened by up to a tenth at random; 0: five minutes
	// Nudge has the loop pull soon, as when a file has changed.
	Nudge <-chan struct{}
	// Planned is told of each plan before it is acted on; Passed of each pass.
	Planned func([]plan.Action)
	Passed  func(Pass)
	// Ended is told of each attempt when it ends, which may be long after the pass
	// that began it; Told of each time that the ledger has something new. Both are
	// called from many goroutines.
	Ended func(attempt.Result)
	Told  func()
	// Daily is run once a day, beside what else is done; nil: nothing. What
	// goes wrong in it is its own to tell.
	Daily func(context.Context, *spec.Spec, ledger.Revision)
}

// Pass is how one pass of a Loop ended.
type Pass struct {
	Actions []plan.Action // the plan
	Report  *apply.Report // of what ended before the pass did; nil where it did not come to that
	Err     error
	// Standing and Records are how things stand after the pass; nil where
	// nothing could be seen. Nobody changes them.
	Standing []plan.Action
	Records  []*ledger.Record // by name
	// Rewound is when the ledger was last found rewritten, of late; Unanchored
	// is why it could not be held against its anchor, nil where it could.
	Rewound    time.Time
	Unanchored error
	// Unreadable is what of the ledger cannot be read.
	Unreadable []archive.Breach
	Tripped    []plan.Tripped // what is held as a whole, by subject
	// Limits are how far those of the CAs are used up, Problems what
	// examinations found and is open; nil where nothing could be seen.
	Limits   []throttle.LimitUsed
	Problems []ledger.Problem
	Backlog  recorder.Backlog
	Outages  []Outage // that last
	Disk     error    // why the state directory cannot be written; nil where it can
	Took     time.Duration
	Next     time.Time // when the loop wakes next
}

const (
	// longestNap bounds how long the loop sleeps without a look at the wall
	// clock: timers stand still while a machine is suspended, and do not follow
	// a clock that is set.
	longestNap = time.Minute
	// ShortestNap keeps moments that lie close together in one pass.
	ShortestNap = time.Second / 2
	// lingers is how long a pass waits for what it began: what is short is seen and
	// told by the same pass, and what falls due is begun within a second all the same.
	lingers = time.Second / 2
	// nudgeEvery is how often a nudge has the loop pull at most: a pull looks at
	// much, and who nudges may be a directory that somebody logs into.
	nudgeEvery = 5 * time.Second
	// AskEvery is how often the CAs are asked for renewal information at most:
	// what is due meanwhile is asked in one go.
	AskEvery = time.Minute
)

// Loop keeps certificates as the repo says for as long as it runs. It sleeps
// until the next moment that matters to a certificate (it becomes due, a hold
// ends, the CA may be asked again, an attempt ends) and looks then at that one
// alone. With the first pull it looks at all of Vault, with each later one at
// mostInTurn of them in turn, for what others did there.
//
//	pull       pull       pull       pull
//	 ├──────────┼───┬──────┼──────────┼──▶
//	            renewal due: one certificate is looked at
//
// A pass begins what is due and waits for nobody: what is under way when it ends is
// left out of the plans until it has ended.
type Loop struct {
	r    *apply.Reconciler
	repo Repo
	o    LoopOptions

	desired  *spec.Spec
	rev      ledger.Revision
	seen     *plan.Observed
	turns    plan.Turns
	Planned  []plan.Action
	pulledAt time.Time
	pullErr  error // how that pull ended
	PullAt   time.Time
	askedAt  time.Time
	wakeAt   time.Time
	passedAt time.Time       // when the last pass ended
	untold   bool            // it left the ledger to those who are at work
	unseen   map[string]bool // certificates that ended and were not looked at since
	outages  map[recorder.Side]*recorder.Outage
	today    chan struct{} // closed when the daily work that was begun is done
	asking   chan struct{} // closed when the questions to the CAs that were begun are done
	asked    error         // how that ended
}

// NewLoop makes a loop that works by a reconciler.
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
	if o.Told != nil {
		r.OnTold = o.Told
	}
	l := &Loop{r: r, repo: repo, o: o, unseen: map[string]bool{}, outages: map[recorder.Side]*recorder.Outage{}, today: make(chan struct{}), asking: make(chan struct{})}
	close(l.today)
	close(l.asking)
	return l
}

// SetInterval changes how often it pulls. It is called by Repo.Pull alone, and counts
// from that pull on.
func (l *Loop) SetInterval(interval time.Duration) { l.o.Interval = interval }

// Run passes and sleeps until ctx ends, and returns when all that was under way
// has ended. What goes wrong in a pass is told and tried again.
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

// sleep waits for the next moment by the wall clock.
func (l *Loop) sleep(ctx context.Context) {
	from := l.now()
	for {
		now := l.now()
		if now.Before(from) || !now.Before(l.wakeAt) {
			return // the clock was set back, or it is time
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

// now is the wall clock's time.
func (l *Loop) now() time.Time { return l.r.Opts.Now().Round(0) }

// pass looks, plans and applies once.
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
	away := l.takeUpAbsence()
	asked, err := l.look(ctx, now, pulled)
	if p.Err = err; err != nil {
		_ = l.takeUpAbsence() // the look's own error says as much
		if ctx.Err() == nil && l.noteOutage(recorder.SideLooked, p.Err) {
			// No Apply will tell of it while it lasts. What Git does not take
			// either is in the journal.
			_ = l.r.Tell(ctx)
		}
		return p
	}
	l.r.Absence.End(away)
	l.noteEnd(recorder.SideLooked)
	p.Actions = l.Planned
	l.o.Planned(l.r.Crew.WithoutEnded(p.Actions))
	p.Report, err = l.begin(ctx)
	p.Err = errors.Join(asked, err)
	if away = l.takeUpAbsence(); away != nil && !attempt.SaysAway(err) {
		p.Err = errors.Join(p.Err, away)
	}
	if names := l.changed(p); len(names) > 0 && ctx.Err() == nil {
		p.Err = errors.Join(p.Err, l.lookAt(ctx, names))
	}
	p.Standing, p.Records, p.Rewound = l.Planned, l.records(), archive.LastRewound(l.seen.History)
	p.Unanchored, p.Limits = l.r.Unanchored(), throttle.LimitsUsed(l.desired, l.seen.History, now)
	p.Unreadable = l.r.Unreadable()
	p.Problems, err = l.r.Open()
	p.Err = errors.Join(p.Err, err)
	p.Tripped = plan.TrippedIn(l.desired, l.seen, now)
	if ctx.Err() == nil {
		p.Err = errors.Join(p.Err, l.daily(ctx, now))
	}
	return p
}

func (l *Loop) records() []*ledger.Record {
	return slices.SortedFunc(maps.Values(l.seen.Records), func(a, b *ledger.Record) int { return strings.Compare(a.Certificate, b.Certificate) })
}

// begin begins what is planned. Of what takes longer than a moment it says nothing.
func (l *Loop) begin(ctx context.Context) (*apply.Report, error) {
	b := l.r.Begin(ctx, l.desired, l.rev, l.Planned, l.pulledAt)
	over := b.Linger(ctx, lingers)
	l.untold = over && b.Silent || !over && l.now().Sub(l.r.TriedAt()).Abs() < apply.TellEvery
	var err error
	switch {
	case over:
		err = b.Err
	case !l.untold && ctx.Err() == nil:
		err = l.r.Tell(ctx) // what the pass noted besides
	}
	if !l.untold || err != nil {
		l.noteGit(recorder.SideLedger, err)
	}
	return b.SoFar(), err
}

// changed are the certificates that are otherwise than they were seen: those that
// ended, and all that the pass was about where somebody else was there first.
func (l *Loop) changed(p Pass) map[string]bool {
	maps.Copy(l.unseen, l.r.Crew.TakeEnded())
	names := maps.Clone(l.unseen)
	if p.Report.Overtaken > 0 {
		for _, a := range apply.Actionable(p.Actions) {
			names[a.Certificate] = true
		}
	}
	return names
}

// pullDue tells whether it is time to pull; a clock that was set back makes it
// so, since nothing is known of how long ago the last one was.
func (l *Loop) pullDue(now time.Time) bool {
	return l.pulledAt.IsZero() || now.Before(l.pulledAt) || !now.Before(l.PullAt)
}

// pull takes the spec that is in force. Where Git is away that is the last good
// one, and its error is told as an outage.
func (l *Loop) pull(ctx context.Context, now time.Time) error {
	desired, rev, err := l.repo.Pull(ctx)
	// Replicas that started together do not ask together for ever.
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

// look observes and plans: those whose moment has come or that have ended, and
// after a pull those whose turn it is. asked is how the last questions to the CAs
// went. What went wrong with them holds nothing up: what the CAs said last and the
// threshold stand.
func (l *Loop) look(ctx context.Context, now time.Time, pulled bool) (asked, err error) {
	stale, first := l.due(now), l.seen == nil
	if pulled && !first {
		for _, name := range l.turns.Next(plan.Holders(l.desired, l.seen.Records), plan.MostInTurn) {
			stale[name] = true
		}
	}
	maps.Copy(l.unseen, l.r.Crew.TakeEnded())
	maps.Copy(stale, l.unseen)
	obs, err := l.r.ObserveAgain(ctx, l.desired, l.seen, stale)
	if err != nil {
		return nil, err
	}
	l.take(obs)
	asked = l.ask(ctx, now)
	if first {
		l.takeUpOutages()
		if l.pullErr == nil {
			l.noteEnd(recorder.SideRepo) // the pull was before it
		}
	}
	return asked, nil
}

// ask begins to ask the CAs for renewal information, beside the passes: one that is
// slow keeps nothing back. It says how that went the last time.
func (l *Loop) ask(ctx context.Context, now time.Time) error {
	select {
	case <-l.asking:
	default:
		return nil // the last questions are not answered yet
	}
	said := l.asked
	if !now.Before(l.askedAt) && now.Before(l.askedAt.Add(AskEvery)) {
		return said
	}
	l.askedAt = now
	done := make(chan struct{})
	l.asking = done
	desired, obs := l.desired, &plan.Observed{Records: maps.Clone(l.seen.Records), Secrets: l.seen.Secrets, Turn: l.seen.Turn}
	go func() {
		defer close(done)
		l.asked = l.r.Ask(ctx, desired, obs)
	}()
	return said
}

// lookAt observes some certificates again and plans.
func (l *Loop) lookAt(ctx context.Context, names map[string]bool) error {
	obs, err := l.r.ObserveAgain(ctx, l.desired, l.seen, names)
	if err != nil {
		return err
	}
	l.take(obs)
	return nil
}

func (l *Loop) take(obs *plan.Observed) {
	l.seen, l.unseen = obs, map[string]bool{}
	l.Planned = plan.Plan(l.desired, obs, l.now())
	plan.InWaves(l.Planned, obs, l.now())
}

// due are the certificates whose moment has come since the last plan. What is under
// way, or was looked at and waits for a place, is not looked at.
func (l *Loop) due(now time.Time) map[string]bool {
	names := map[string]bool{}
	for _, a := range l.Planned {
		if a.AtWork != nil || l.r.Crew.IsReady(a.Certificate) {
			continue
		}
		if a.Kind != ledger.KindNone && a.Kind != ledger.KindHold || !a.NotBefore.IsZero() && !a.NotBefore.After(now) {
			names[a.Certificate] = true
		}
	}
	return names
}

// NextWake is the earliest moment at which there may be something to do.
func (l *Loop) NextWake(p Pass) time.Time {
	now := l.now()
	if p.Err != nil && p.Report == nil {
		return now.Add(plan.WaveEvery) // what is due could not be looked at
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
	if l.untold {
		earlier(now.Add(apply.TellEvery))
	}
	for _, a := range l.Planned {
		switch {
		case a.AtWork != nil: // its end wakes the loop
		case a.Kind != ledger.KindNone && a.Kind != ledger.KindHold:
			earlier(now.Add(plan.WaveEvery)) // what the pass has brought about, or left
		case !a.NotBefore.IsZero():
			earlier(a.NotBefore) // or it came while the pass lasted
		}
	}
	if l.desired != nil && l.seen != nil {
		if at := l.r.NextAsk(l.desired, l.seen); !at.IsZero() {
			earlier(times.Later(at, l.askedAt.Add(AskEvery)))
		}
	}
	return times.Later(next, now.Add(ShortestNap))
}

// daily begins what is done once a day, however often the process starts.
func (l *Loop) daily(ctx context.Context, now time.Time) error {
	if err := l.r.Asks.Load(); err != nil {
		return err
	}
	if next := l.r.Asks.At(attempt.DailyMoment); l.o.Daily == nil || next.After(now) && next.Before(now.Add(2*times.Day)) {
		return nil // a moment further away was kept by a clock that ran ahead
	}
	select {
	case <-l.today:
	default:
		return nil // yesterday's is not done
	}
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
