package apply

import (
	"context"
	"slices"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec"
)

const (
	// gatherTime is how long certroll collects ended attempts before it commits, so that
	// many attempts that end together share one commit. A daemon's next plan may publish
	// sooner.
	gatherTime = 5 * time.Second
	// TellEvery is the minimum time between two commits while attempts are running.
	TellEvery = 10 * time.Second
)

// Begin starts the actions of a plan. pulled is the time of the last full observation, for a caller
// that keeps making plans (certroll run); zero: this is the only plan. With a non-zero
// pulled, the new batch replaces the queued actions of earlier batches.
func (r *Reconciler) Begin(ctx context.Context, desired *spec.Spec, rev ledger.Revision, planned plan.Plan, pulled time.Time) *Batch {
	onward := !pulled.IsZero()
	b := &Batch{
		Reconciler: r, Applier: &attempt.Applier{Means: r.Means, Desired: desired, Revision: rev}, Ctx: ctx, Run: ctx,
		Done: make(chan struct{}), News: make(chan struct{}, 1), Release: func() {}, StopTelling: func() {},
	}
	b.severalCAs, b.SeveralAccounts = severalOf(desired)
	r.Crew.Batches.Add(1)
	actions, now := planned.Actions, r.Opts.Now()
	// The plan's own events come first: if the journal rejects them, no action starts.
	b.Err = r.NoteHeld(slices.Concat(limiter.HeldTogether(actions, now), plan.RuleEvents(actions, now), plan.UndoneEvents(actions, now), plan.NotReadEvents(actions, now), plan.ExpiringEvents(actions, rev, now), archive.UnreadableEvents(r.Unreadable(), now)))
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
		jobs = b.underLease(planned, todo)
	}
	if b.Left = len(jobs); b.Left > 0 {
		b.tellMeanwhile()
		// If the lease is lost, queued jobs are dropped. Running ones stop by their
		// context.
		detach := context.AfterFunc(b.Run, r.Crew.Sweep)
		release := b.Release
		b.Release = func() { detach(); release() }
	}
	if onward && b.Err == nil {
		// The new plan replaces the queue. Unchanged jobs keep their places in it.
		r.Crew.Drop(ready)
	}
	if len(jobs) == 0 {
		b.Silent = onward && r.Crew.isBusy() && now.Sub(r.TriedAt()).Abs() < TellEvery
		b.Finish()
	}
	// Last: jobs start at once, and may end before Put returns.
	r.Crew.Put(jobs)
	return b
}

// underLease takes the lease, observes again, and makes jobs of the actions that the
// fresh plan still contains.
func (b *Batch) underLease(planned plan.Plan, todo []plan.Action) []*Job {
	run, release, err := b.Reconciler.HoldLease(b.Ctx)
	if err != nil {
		b.Err = err
		return nil
	}
	b.Run, b.Release = run, release
	// Read before Vault is: only an older absence ends by this observation.
	known := b.Absence.Current()
	still, obs, err := b.Reconciler.stillTrue(run, b.Desired, planned, todo, &b.report)
	if err == nil {
		err = b.Reconciler.isBack(known, obs, b.Revision)
	}
	if err != nil {
		b.Err = err
		return nil
	}
	// Without a writable ledger certroll makes no orders, because it could not count them
	// against the CA's limits. Actions without an order continue.
	if b.Err = b.Reconciler.proveLedger(run, still, b.Revision); b.Err != nil {
		all := len(still)
		still = recorder.WithoutOrders(still)
		b.report.Held += all - len(still)
	}
	b.Pass, b.Known = b.Reconciler.Limiter.Begin(b.Desired, obs), obs.Records
	jobs := make([]*Job, len(still))
	for i, a := range still {
		jobs[i] = &Job{Batch: b, Action: a, Turn: obs.Turn, looked: b.Clock()}
	}
	return jobs
}
