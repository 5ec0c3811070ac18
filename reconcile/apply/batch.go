package apply

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec"
	"certroll/spec/text"
)

const (
	// gatherTime is how long what has ended waits for more that ends, so that a
	// certificate is no commit of its own where many end together. Where plans go on
	// being made the next one tells it sooner.
	gatherTime = 5 * time.Second
	// TellEvery is the time between two commits while work is under way.
	TellEvery = 10 * time.Second
)

// Batch is what one pass has to do. It is over when all of that has ended and the
// ledger was told. Until then it has the lease: whoever has it next is to see how
// this went, and what is held.
type Batch struct {
	*Applier
	Reconciler *Reconciler
	Ctx        context.Context // of who began it
	Run        context.Context // ends with that, and where the lease is lost
	Done       chan struct{}   // closed when it is over
	News       chan struct{}   // has an element when something has ended

	// The spec has more than one CA, or DNS account, to share the places.
	severalCAs, SeveralAccounts bool

	Release     func() // the lease
	StopTelling func()
	Err         error // of all of it; complete when it is over
	// Silent: it had nothing to do, and the ledger was told a moment ago by those who
	// are at work, who will again.
	Silent bool

	mu     sync.Mutex
	report Report
	Left   int // jobs that have not ended
}

// Begin begins what the actions say. pulled is for who goes on making plans, and
// says when all was looked at last; zero: this is the only plan. What earlier batches
// have not begun yet is this one's then.
func (r *Reconciler) Begin(ctx context.Context, desired *spec.Spec, rev ledger.Revision, actions []plan.Action, pulled time.Time) *Batch {
	onward := !pulled.IsZero()
	b := &Batch{
		Reconciler: r, Applier: &Applier{Means: r.Means, Desired: desired, revision: rev}, Ctx: ctx, Run: ctx,
		Done: make(chan struct{}), News: make(chan struct{}, 1), Release: func() {}, StopTelling: func() {},
	}
	b.severalCAs, b.SeveralAccounts = severalOf(desired)
	r.Crew.Batches.Add(1)
	now := r.Opts.Now()
	b.Err = r.NoteHeld(slices.Concat(HeldTogether(actions, now), plan.RuleEvents(actions, now), plan.UndoneEvents(actions, now), plan.NotReadEvents(actions, now), plan.ExpiringEvents(actions, rev, now), archive.UnreadableEvents(r.Unreadable(), now)))
	if b.Err == nil {
		b.Err = r.NoteMass(actions, rev, now)
	}
	if b.Err == nil {
		b.Err = r.noteGone(actions, rev, now)
	}
	todo, ready := Actionable(actions), map[string]bool(nil)
	if onward {
		todo, ready = r.Crew.sort(todo, pulled)
	}
	var jobs []*Job
	if b.Err == nil && len(todo) > 0 {
		jobs = b.underLease(actions, todo)
	}
	if b.Left = len(jobs); b.Left > 0 {
		b.tellMeanwhile()
		detach := context.AfterFunc(b.Run, r.Crew.Sweep)
		release := b.Release
		b.Release = func() { detach(); release() }
	}
	if onward && b.Err == nil {
		r.Crew.Drop(ready)
	}
	if len(jobs) == 0 {
		b.Silent = onward && r.Crew.isBusy() && now.Sub(r.TriedAt()).Abs() < TellEvery
		b.Finish()
	}
	r.Crew.Put(jobs)
	return b
}

// underLease takes the lease, looks again, and makes jobs of what is still to be
// done.
func (b *Batch) underLease(planned, todo []plan.Action) []*Job {
	run, release, err := b.Reconciler.HoldLease(b.Ctx)
	if err != nil {
		b.Err = err
		return nil
	}
	b.Run, b.Release = run, release
	known := b.Absence.Current()
	still, obs, err := b.Reconciler.stillTrue(run, b.Desired, planned, todo, &b.report)
	if err == nil {
		err = b.Reconciler.isBack(known, obs, b.revision)
	}
	if err != nil {
		b.Err = err
		return nil
	}
	if b.Err = b.Reconciler.proveLedger(run, still, b.revision); b.Err != nil {
		all := len(still)
		still = recorder.WithoutOrders(still)
		b.report.Held += all - len(still)
	}
	b.Gate, b.known = b.Reconciler.Limiter.Begin(b.Desired, obs), obs.Records
	jobs := make([]*Job, len(still))
	for i, a := range still {
		jobs[i] = &Job{Batch: b, Action: a, Turn: obs.Turn, looked: b.now()}
	}
	return jobs
}

// over notes how one job ended, once of each.
func (b *Batch) over(res Result, in End) {
	if in == EndDone {
		b.Reconciler.OnEnded(res)
	}
	b.mu.Lock()
	switch in {
	case EndDone:
		b.report.Results = append(b.report.Results, res)
	case EndStopped, endLeft:
		b.report.Interrupted++
	case EndHeld:
		b.report.Held++
	}
	b.Left--
	last := b.Left == 0
	b.mu.Unlock()
	if last {
		go b.Finish()
		return
	}
	select {
	case b.News <- struct{}{}:
	default: // there is some already
	}
}

// Finish tells the ledger, then gives the lease back.
func (b *Batch) Finish() {
	b.StopTelling()
	err := b.Err
	if b.Gate != nil {
		err = errors.Join(err, b.NoteHeld(b.Gate.HeldEvents()))
		b.Gate.end()
	}
	var untold error
	if !b.Silent {
		untold = b.tell()
	}
	if away := b.Absence.Current(); away != nil && b.Gate != nil {
		err = errors.Join(err, away)
		if SaysAway(untold) {
			untold = nil // it is the same
		}
	}
	b.Err = errors.Join(err, untold)
	b.Release()
	close(b.Done)
	b.Reconciler.Crew.Batches.Done()
}

// tell brings the journal to the ledger, also where ctx has ended, and drops
// the pending secrets whose story is told by then.
func (b *Batch) tell() error {
	disk := b.Writer.Unwritten.Err()
	commit, err := b.Publish(b.Ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if disk != nil {
		b.report.Disk = disk
	}
	b.report.Commit = text.FirstOf(commit, b.report.Commit)
	unrecorded(b.Recorder, b.report.Results)
	return err
}

// tellMeanwhile tells the ledger of what has ended while the rest is at work.
// What fails here is tried again later, and at the end.
//
//	ended   a  b              c d e f g h ...
//	told    ├ gather ┤a,b     ├ gather ┤c..e   ├ tellEvery ┤f g h
func (b *Batch) tellMeanwhile() {
	ctx, cancel := context.WithCancel(b.Ctx)
	stopped := make(chan struct{})
	b.StopTelling = func() { cancel(); <-stopped }
	sleep := func(d time.Duration) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ctx.Done():
				return
			case <-b.News:
			}
			if sleep(gatherTime); ctx.Err() != nil {
				return // the end tells it
			}
			_ = b.tell()
			sleep(TellEvery - gatherTime)
		}
	}()
}

// Linger waits for a moment, as most of what is short ends within it, and says
// whether the batch is over.
func (b *Batch) Linger(ctx context.Context, moment time.Duration) bool {
	t := time.NewTimer(moment)
	defer t.Stop()
	select {
	case <-b.Done:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// SoFar is how it went up to now.
func (b *Batch) SoFar() *Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	report := b.report
	report.Results = slices.Clone(report.Results)
	return &report
}

// sharesOf are what an action shares its place by: the CA that it asks, and the
// DNS accounts that it tries first.
func (b *Batch) sharesOf(a *plan.Action) []string {
	var list []string
	if b.severalCAs && a.Issuer != nil {
		list = append(list, a.Issuer.Directory)
	}
	if b.SeveralAccounts && a.Kind.Orders() {
		for _, s := range plan.SubjectsOf(a)[1:] {
			list = append(list, string(s))
		}
	}
	return list
}

// severalOf tells whether certificates use more than one CA, and more than one
// DNS account.
func severalOf(desired *spec.Spec) (cas, accounts bool) {
	directories, names := map[string]bool{}, map[string]bool{}
	for _, c := range desired.Certificates {
		for _, issuer := range append([]string{c.Issuer}, c.Fallbacks...) {
			if i := desired.Issuers[issuer]; i != nil {
				directories[i.Directory] = true
			}
		}
		for _, name := range c.DNS {
			names[name] = true
		}
	}
	return len(directories) > 1, len(names) > 1
}

// unrecorded are the results that are in no journal and in no ledger.
func unrecorded(r *recorder.Recorder, results []Result) {
	for i := range results {
		if id := results[i].Event.ID; id != "" && results[i].Untold == nil {
			results[i].Untold = r.Writer.Unwritten.Of(id)
		}
	}
}
