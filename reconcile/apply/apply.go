package apply

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"

	"certroll/reconcile/archive"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/observe"
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec"
)

// New returns a reconciler. The observer names the place of certroll's own secrets.
func New(observer *observe.Observer, secrets pending.KV, ca attempt.CA, ledger ledger.Ledger, journal ledger.Journal, o attempt.Options) *Reconciler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.Patience == nil {
		o.Patience = []time.Duration{20 * time.Second, 100 * time.Second}
	}
	if o.Progress == nil {
		o.Progress = func(string, string, string) {}
	}
	if o.Rewound == nil {
		o.Rewound = func(archive.Breach) {}
	}
	if o.Resolve == nil {
		o.Resolve = func(context.Context, spec.Value) (string, error) {
			return "", errors.New("references cannot be followed here")
		}
	}
	r := &Reconciler{chainsRead: map[string]bool{}, tenancy: tenancy{turn: semaphore.NewWeighted(1)}, Means: &attempt.Means{
		Secrets: secrets, Ca: ca, Observer: observer, Opts: o,
		PendingSecrets: &pending.Secrets{Secrets: secrets, Mount: observer.StateMount, Prefix: observer.StatePrefix, Ledger: observer.Ledger},
		Next:           &pending.NextKeys{Secrets: secrets, Mount: observer.StateMount, Prefix: observer.StatePrefix, Ledger: observer.Ledger},
		Leaves:         &pending.Leaves{Secrets: secrets, Mount: observer.StateMount, Prefix: observer.StatePrefix, Ledger: observer.Ledger},
		Asks:           &attempt.Asks{Store: o.Moments}, Limiter: limiter.New(o.Now),
		Recorder: &recorder.Recorder{
			Writer:     &recorder.Writer{Flushing: semaphore.NewWeighted(1), Ledger: ledger, Journal: journal, Now: o.Now, Records: &observer.Records, Redact: o.Redact},
			Checkpoint: recorder.Checkpoint{Anchor: o.Anchor, Looking: semaphore.NewWeighted(1)},
			Now:        o.Now, Rewound: o.Rewound, Held: map[string]time.Time{},
		},
	}}
	// Without such a check the limiter cannot know a usable account before the first
	// success.
	_, r.Limiter.Asks = ca.(attempt.AccountChecker)
	r.Crew = newCrew(o.Parallel, o.Now, func(j *Job) (attempt.Result, limiter.End) { return j.One(j.Run, j.Action) })
	r.Colleagues = r.Crew
	r.OnEnded = func(attempt.Result) {}
	r.OnPublished, r.OnChanged = r.dropPublished, func() {}
	return r
}

// Apply runs the actions of a plan concurrently and waits for all of them. A failing
// action holds up no other: its failure is in the report, not in the error. When ctx
// ends, Apply starts nothing more, lets the running attempts stop cleanly, and still
// writes the ledger.
//
// After it has taken the lease, Apply observes again what it is about to change, because
// another reconciler may have held the lease since the plan. It skips an action that the
// fresh plan no longer contains.
func (r *Reconciler) Apply(ctx context.Context, desired *spec.Spec, rev ledger.Revision, planned plan.Plan) (*Report, error) {
	b := r.Begin(ctx, desired, rev, planned, time.Time{})
	<-b.Done
	return &b.report, b.Err
}

// Tell publishes the journal to the ledger, even if ctx has ended.
func (r *Reconciler) Tell(ctx context.Context) error {
	_, err := r.Publish(ctx)
	return err
}

// dropPublished removes the pending secrets whose events the ledger has, and the certificates
// kept for a completed revocation. Until then a run that lost its journal can rebuild the
// event from the pending secret.
func (r *Reconciler) dropPublished(ctx context.Context, published []ledger.Entry) error {
	var errs []error
	for _, e := range published {
		if e.Forget != "" {
			if err := r.Leaves.Forget(ctx, e.Event.Certificate, e.Forget); err != nil {
				errs = append(errs, err)
			}
		}
		if e.Drop == "" {
			continue
		}
		err := r.dropIfDone(ctx, e)
		if err != nil {
			errs = append(errs, err)
		}
		if err != nil && attempt.SaysAway(err) {
			break // all would fail; the next plan finds the leftovers
		}
	}
	return errors.Join(errs...)
}

// dropIfDone drops a pending secret unless it belongs to a newer attempt.
func (r *Reconciler) dropIfDone(ctx context.Context, e ledger.Entry) error {
	d, err := r.PendingSecrets.Load(ctx, e.Drop)
	if err != nil || d == nil || d.KeyDigest != e.Event.KeyDigest {
		return err
	}
	return r.PendingSecrets.Drop(ctx, e.Drop)
}
