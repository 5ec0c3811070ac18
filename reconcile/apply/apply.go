package apply

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec"
	"certroll/spec/redact"
)

// Options are Apply's settings; the zero value is good.
type Options struct {
	Parallel int              // certificates at once; 0: 16
	Actor    string           // who runs it, where no commit's author is the cause; "": schedule
	Now      func() time.Time // nil: time.Now
	Lease    lease.Lease      // nil: no lease
	// LeaseWait is how long Apply waits for a lease that another holds.
	LeaseWait time.Duration
	// Progress is told what each certificate waits for. It is called from
	// many goroutines.
	Progress func(certificate, step, detail string)
	// Patience are the waits before the CA, where it is away, is tried again
	// within one attempt; nil: 20 seconds and 100 seconds.
	Patience []time.Duration
	// Moments keeps when CAs may be asked for renewal information again; nil:
	// nothing does, each process asks anew.
	Moments Moments
	// CRLs fetches the lists that say whether what is live was revoked; nil: that is
	// not looked up.
	CRLs CRLSource
	// Examiner looks ahead; nil: Examine and Doctor cannot be used.
	Examiner Examiner
	// Anchor keeps how far the ledger had come; nil: nothing does.
	Anchor audit.Anchor
	// Rewound is told of a ledger that is found rewritten, once.
	Rewound func(archive.Breach)
	// Resolve follows references of the spec, for keystore passwords.
	Resolve func(context.Context, spec.Value) (string, error)
	// Redact strikes the secrets that Resolve returned out of everything that the
	// ledger is told; nil: none is known.
	Redact *redact.Redactor
}

// Means are what all attempts of a process work with.
type Means struct {
	Secrets    Secrets
	ca         CA
	Observer   *observe.Observer
	Drafts     *drafts
	Next       *nextKeys
	Leaves     *keptLeaves
	Asks       *asks
	Limiter    *limiter
	Absence    absence
	orderTurns OrderTurns
	Opts       Options
	colleagues colleagues
	*recorder.Recorder
}

// colleagues are those at work beside an attempt.
type colleagues interface {
	// stepped notes what an attempt is at.
	stepped(certificate, step, detail string)
	// HandOver lets those go on who wait for a place.
	HandOver()
	// unfinished are the certificates that are at work or ready, sorted.
	unfinished() []string
}

// Reconciler applies plans.
type Reconciler struct {
	*Means
	tenancy    tenancy
	chainsRead map[string]bool // by serial: what was read for its chain by this process
	places     places
	Crew       *Crew
	OnEnded    func(Result) // is called once for each attempt that ended, from many goroutines
}

// New wires a reconciler. The observer says where certroll's own state is.
func New(observer *observe.Observer, secrets Secrets, ca CA, ledger ledger.Ledger, journal ledger.Journal, o Options) *Reconciler {
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
	r := &Reconciler{chainsRead: map[string]bool{}, Means: &Means{
		Secrets: secrets, ca: ca, Observer: observer, Opts: o,
		Drafts: &drafts{secrets: secrets, mount: observer.StateMount, prefix: observer.StatePrefix, ledger: observer.Ledger},
		Next:   &nextKeys{secrets: secrets, mount: observer.StateMount, prefix: observer.StatePrefix, ledger: observer.Ledger},
		Leaves: &keptLeaves{secrets: secrets, mount: observer.StateMount, prefix: observer.StatePrefix, ledger: observer.Ledger},
		Asks:   &asks{store: o.Moments}, Limiter: NewLimiter(o.Now),
		Recorder: &recorder.Recorder{
			Writer:     &recorder.Writer{Flushing: semaphore.NewWeighted(1), Ledger: ledger, Journal: journal, Now: o.Now, Records: &observer.Records, Redact: o.Redact},
			Checkpoint: recorder.Checkpoint{Anchor: o.Anchor, Looking: semaphore.NewWeighted(1)},
			Now:        o.Now, Rewound: o.Rewound, Held: map[string]time.Time{},
		},
	}}
	_, r.Limiter.Asks = ca.(accountChecker)
	r.Crew = newCrew(o.Parallel, o.Now, func(j *Job) (Result, End) { return j.One(j.Run, j.Action) })
	r.colleagues = r.Crew
	r.OnEnded = func(Result) {}
	r.OnPublished, r.OnTold = r.dropTold, func() {}
	return r
}

// Observe reads what is there, with what the journal still waits to tell.
func (r *Reconciler) Observe(ctx context.Context, desired *spec.Spec) (*plan.Observed, error) {
	return r.observe(ctx, desired, nil, nil, false)
}

// ObserveAgain is Observe where, of a certificate that stale does not name and
// whose record is as before, what was seen of its secrets before stands, and
// where a place that alone cannot be read holds up its certificates alone.
func (r *Reconciler) ObserveAgain(ctx context.Context, desired *spec.Spec, before *plan.Observed, stale map[string]bool) (*plan.Observed, error) {
	return r.observe(ctx, desired, before, stale, true)
}

func (r *Reconciler) observe(ctx context.Context, desired *spec.Spec, before *plan.Observed, stale map[string]bool, lenient bool) (*plan.Observed, error) {
	atWork, turn := r.Crew.Look() // before anything is read, see there
	tree, fresh, err := r.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	unsought := r.Writer.Mend(ctx, tree)
	obs, err := r.Observer.Observe(ctx, desired, tree, r.Opts.Now(), before, stale, lenient, r.Writer.Overlay)
	if err != nil {
		return nil, err
	}
	obs.Unread = append(obs.Unread, unsought...)
	r.SetUnreadable(obs.Unread)
	obs.Whole = fresh && len(obs.Unreadable) == 0
	obs.AtWork, obs.Turn = atWork, turn
	return obs, nil
}

// Result is how one action ended.
type Result struct {
	Action plan.Action
	Event  ledger.Event // zero where the run was interrupted
	Err    error        // nil after a success
	// Untold is why the event is recorded neither in the journal nor in the ledger;
	// nil where it is. What a success has written is live all the same.
	Untold error
}

// Report is how an Apply ended.
type Report struct {
	Results     []Result
	Interrupted int    // actions that were not taken up, or are left to the next run
	Held        int    // actions that were not taken up, as their issuer or DNS account failed for others
	Overtaken   int    // actions that were not taken up, as somebody else changed what they were about
	Commit      string // the ledger's new head; "" where nothing was to be told
	Disk        error  // why the journal was not written, though the ledger may be; nil: it was
}

// Failed counts the actions that failed.
func (r *Report) Failed() int {
	n := 0
	for _, res := range r.Results {
		if res.Err != nil {
			n++
		}
	}
	return n
}

// Untold counts the actions of which neither the journal nor the ledger knows.
func (r *Report) Untold() int {
	n := 0
	for _, res := range r.Results {
		if res.Untold != nil {
			n++
		}
	}
	return n
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

// stillTrue are the actions that a fresh look still calls for, and what was seen.
func (r *Reconciler) stillTrue(ctx context.Context, desired *spec.Spec, planned, todo []plan.Action, report *Report) ([]plan.Action, *plan.Observed, error) {
	before := seenBy(planned)
	stale := make(map[string]bool, len(todo))
	for _, a := range todo {
		stale[a.Certificate] = true
	}
	obs, err := r.ObserveAgain(ctx, desired, before, stale)
	if err != nil {
		return nil, nil, err
	}
	fresh := map[string]plan.Action{}
	for _, a := range plan.Plan(desired, obs, r.Opts.Now()) {
		fresh[a.Certificate] = a
	}
	var still []plan.Action
	for _, a := range todo {
		switch now := fresh[a.Certificate]; {
		case now.AtWork != nil:
		case now.Kind == a.Kind && now.Secret.Version == a.Secret.Version && now.At == a.At:
			still = append(still, now)
		case now.Kind == ledger.KindHold:
			report.Held++
		default:
			report.Overtaken++
		}
	}
	return still, obs, nil
}

// seenBy is what a plan was made of, as far as its actions tell.
func seenBy(planned []plan.Action) *plan.Observed {
	obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{}, Pending: map[string]plan.Pending{}, Staged: map[string]plan.Staged{}}
	for _, a := range planned {
		if a.HeldBy == ledger.UnreadableSubject {
			continue // what could not be looked at is not missing
		}
		obs.Secrets[a.At] = a.Secret
		if a.Target != nil {
			at := plan.TargetOf(a.Spec)
			if a.Goes != (ledger.Location{}) {
				at = a.Goes
			}
			obs.Secrets[at] = *a.Target
		}
		if a.Next != nil {
			obs.Staged[a.Certificate] = *a.Next
		}
		if a.Pending != nil {
			obs.Pending[a.Certificate] = *a.Pending
		}
	}
	return obs
}

// Tell brings the journal to the ledger, also where ctx has ended.
func (r *Reconciler) Tell(ctx context.Context) error {
	_, err := r.Publish(ctx)
	return err
}

// Actionable are the actions that are to be begun.
func Actionable(actions []plan.Action) []plan.Action {
	var todo []plan.Action
	for _, a := range actions {
		if a.Kind != ledger.KindNone && a.Kind != ledger.KindHold && a.AtWork == nil {
			todo = append(todo, a)
		}
	}
	return todo
}

// dropTold removes the pending secrets whose story the ledger has, and what was
// kept for a revocation that is done.
func (r *Reconciler) dropTold(ctx context.Context, told []ledger.Entry) error {
	var errs []error
	for _, e := range told {
		if e.Forget != "" {
			if err := r.Leaves.forget(ctx, e.Event.Certificate, e.Forget); err != nil {
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
		if err != nil && SaysAway(err) {
			break // the others would fail alike; the next plan finds what is left
		}
	}
	return errors.Join(errs...)
}

// dropIfDone drops a pending secret unless a newer attempt has taken its place.
func (r *Reconciler) dropIfDone(ctx context.Context, e ledger.Entry) error {
	d, err := r.Drafts.Load(ctx, e.Drop)
	if err != nil || d == nil || d.KeyDigest != e.Event.KeyDigest {
		return err
	}
	return r.Drafts.drop(ctx, e.Drop)
}
