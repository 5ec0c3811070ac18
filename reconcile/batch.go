package reconcile

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"certroll/spec"
)

const (
	// gatherTime is how long what has ended waits for more that ends, so that a
	// certificate is no commit of its own where many end together. Where plans go on
	// being made the next one tells it sooner.
	gatherTime = 5 * time.Second
	// tellEvery is the time between two commits while work is under way.
	tellEvery = 10 * time.Second
)

// batch is what one pass has to do. It is over when all of that has ended and the
// ledger was told. Until then it has the lease: whoever has it next is to see how
// this went, and what is held.
type batch struct {
	*applier
	ctx  context.Context // of who began it
	run  context.Context // ends with that, and where the lease is lost
	done chan struct{}   // closed when it is over
	news chan struct{}   // has an element when something has ended

	// The spec has more than one CA, or DNS account, to share the places.
	severalCAs, severalAccounts bool

	release     func() // the lease
	stopTelling func()
	err         error // of all of it; complete when it is over
	// silent: it had nothing to do, and the ledger was told a moment ago by those who
	// are at work, who will again.
	silent bool

	mu     sync.Mutex
	report Report
	left   int // jobs that have not ended
}

// begin begins what the actions say. pulled is for who goes on making plans, and
// says when all was looked at last; zero: this is the only plan. What earlier batches
// have not begun yet is this one's then.
func (r *Reconciler) begin(ctx context.Context, desired *spec.Spec, rev Revision, actions []Action, pulled time.Time) *batch {
	onward := !pulled.IsZero()
	b := &batch{
		applier: &applier{Reconciler: r, desired: desired, revision: rev}, ctx: ctx, run: ctx,
		done: make(chan struct{}), news: make(chan struct{}, 1), release: func() {}, stopTelling: func() {},
	}
	b.severalCAs, b.severalAccounts = severalOf(desired)
	r.crew.batches.Add(1)
	now := r.opts.Now()
	b.err = r.noteHeld(slices.Concat(heldTogether(actions, now), ruleEvents(actions, now), undoneEvents(actions, now), notReadEvents(actions, now), expiringEvents(actions, rev, now), unreadableEvents(r.unreadable(), now)))
	if b.err == nil {
		b.err = r.noteMass(actions, rev, now)
	}
	if b.err == nil {
		b.err = r.noteGone(actions, rev, now)
	}
	todo, ready := actionable(actions), map[string]bool(nil)
	if onward {
		todo, ready = r.crew.sort(todo, pulled)
	}
	var jobs []*job
	if b.err == nil && len(todo) > 0 {
		jobs = b.underLease(actions, todo)
	}
	if b.left = len(jobs); b.left > 0 {
		b.tellMeanwhile()
		detach := context.AfterFunc(b.run, r.crew.sweep)
		release := b.release
		b.release = func() { detach(); release() }
	}
	if onward && b.err == nil {
		r.crew.drop(ready)
	}
	if len(jobs) == 0 {
		b.silent = onward && r.crew.isBusy() && now.Sub(r.triedAt()).Abs() < tellEvery
		b.finish()
	}
	r.crew.put(jobs)
	return b
}

// underLease takes the lease, looks again, and makes jobs of what is still to be
// done.
func (b *batch) underLease(planned, todo []Action) []*job {
	run, release, err := b.holdLease(b.ctx)
	if err != nil {
		b.err = err
		return nil
	}
	b.run, b.release = run, release
	known := b.absence.current()
	still, obs, err := b.stillTrue(run, b.desired, planned, todo, &b.report)
	if err == nil {
		err = b.isBack(known, obs, b.revision)
	}
	if err != nil {
		b.err = err
		return nil
	}
	if b.err = b.proveLedger(run, still, b.revision); b.err != nil {
		all := len(still)
		still = withoutOrders(still)
		b.report.Held += all - len(still)
	}
	b.gate, b.known = b.Reconciler.gate.begin(b.desired, obs), obs.Records
	jobs := make([]*job, len(still))
	for i, a := range still {
		jobs[i] = &job{batch: b, action: a, turn: obs.turn, looked: b.now()}
	}
	return jobs
}

// over notes how one job ended, once of each.
func (b *batch) over(res Result, in end) {
	if in == endDone {
		b.onEnded(res)
	}
	b.mu.Lock()
	switch in {
	case endDone:
		b.report.Results = append(b.report.Results, res)
	case endStopped, endLeft:
		b.report.Interrupted++
	case endHeld:
		b.report.Held++
	}
	b.left--
	last := b.left == 0
	b.mu.Unlock()
	if last {
		go b.finish()
		return
	}
	select {
	case b.news <- struct{}{}:
	default: // there is some already
	}
}

// finish tells the ledger, then gives the lease back.
func (b *batch) finish() {
	b.stopTelling()
	err := b.err
	if b.gate != nil {
		err = errors.Join(err, b.noteHeld(b.gate.heldEvents()))
		b.gate.end()
	}
	var untold error
	if !b.silent {
		untold = b.tell()
	}
	if away := b.absence.current(); away != nil && b.gate != nil {
		err = errors.Join(err, away)
		if saysAway(untold) {
			untold = nil // it is the same
		}
	}
	b.err = errors.Join(err, untold)
	b.release()
	close(b.done)
	b.crew.batches.Done()
}

// tell brings the journal to the ledger, also where ctx has ended, and drops
// the pending secrets whose story is told by then.
func (b *batch) tell() error {
	disk := b.scribe.unwritten.trouble()
	commit, err := b.publish(b.ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if disk != nil {
		b.report.Disk = disk
	}
	b.report.Commit = firstOf(commit, b.report.Commit)
	unrecorded(b.Recorder, b.report.Results)
	return err
}

// tellMeanwhile tells the ledger of what has ended while the rest is at work.
// What fails here is tried again later, and at the end.
//
//	ended   a  b              c d e f g h ...
//	told    ├ gather ┤a,b     ├ gather ┤c..e   ├ tellEvery ┤f g h
func (b *batch) tellMeanwhile() {
	ctx, cancel := context.WithCancel(b.ctx)
	stopped := make(chan struct{})
	b.stopTelling = func() { cancel(); <-stopped }
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
			case <-b.news:
			}
			if sleep(gatherTime); ctx.Err() != nil {
				return // the end tells it
			}
			_ = b.tell()
			sleep(tellEvery - gatherTime)
		}
	}()
}

// linger waits for a moment, as most of what is short ends within it, and says
// whether the batch is over.
func (b *batch) linger(ctx context.Context, moment time.Duration) bool {
	t := time.NewTimer(moment)
	defer t.Stop()
	select {
	case <-b.done:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// soFar is how it went up to now.
func (b *batch) soFar() *Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	report := b.report
	report.Results = slices.Clone(report.Results)
	return &report
}

// sharesOf are what an action shares its place by: the CA that it asks, and the
// DNS accounts that it tries first.
func (b *batch) sharesOf(a *Action) []string {
	var list []string
	if b.severalCAs && a.Issuer != nil {
		list = append(list, a.Issuer.Directory)
	}
	if b.severalAccounts && a.Kind.Orders() {
		for _, s := range subjectsOf(a)[1:] {
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
