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

// New wires a reconciler. The observer says where certroll's own state is.
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
	r := &Reconciler{chainsRead: map[string]bool{}, Means: &attempt.Means{
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
	_, r.Limiter.Asks = ca.(attempt.AccountChecker)
	r.Crew = newCrew(o.Parallel, o.Now, func(j *Job) (attempt.Result, limiter.End) { return j.One(j.Run, j.Action) })
	r.Colleagues = r.Crew
	r.OnEnded = func(attempt.Result) {}
	r.OnPublished, r.OnTold = r.dropTold, func() {}
	return r
}

// Apply does what a plan's actions say, side by side, and waits for all of them.
// One that fails never holds up another: its failure is in the report, not in the
// error. When ctx ends no more work is taken up, what runs is finished or dropped
// cleanly, and the ledger is written all the same.
//
// Under the lease it looks again at what it is about to touch, since another
// reconciler may have had the lease in between: an action that is not what the
// plan said any more is left alone.
func (r *Reconciler) Apply(ctx context.Context, desired *spec.Spec, rev ledger.Revision, actions []plan.Action) (*Report, error) {
	b := r.Begin(ctx, desired, rev, actions, time.Time{})
	<-b.Done
	return &b.report, b.Err
}

// Tell brings the journal to the ledger, also where ctx has ended.
func (r *Reconciler) Tell(ctx context.Context) error {
	_, err := r.Publish(ctx)
	return err
}

// dropTold removes the pending secrets whose story the ledger has, and what was
// kept for a revocation that is done.
func (r *Reconciler) dropTold(ctx context.Context, told []ledger.Entry) error {
	var errs []error
	for _, e := range told {
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
			break // the others would fail alike; the next plan finds what is left
		}
	}
	return errors.Join(errs...)
}

// dropIfDone drops a pending secret unless a newer attempt has taken its place.
func (r *Reconciler) dropIfDone(ctx context.Context, e ledger.Entry) error {
	d, err := r.PendingSecrets.Load(ctx, e.Drop)
	if err != nil || d == nil || d.KeyDigest != e.Event.KeyDigest {
		return err
	}
	return r.PendingSecrets.Drop(ctx, e.Drop)
}
