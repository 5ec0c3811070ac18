package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"certroll/spec"
)

const (
	// writeTimeout bounds what is done to its end even when certroll is told
	// to stop: two writes to Vault.
	writeTimeout = 30 * time.Second
	// leaseRefresh is how often the lease is renewed while Apply runs, and
	// asked for while another holds it.
	leaseRefresh = 5 * time.Second
	// tellEvery is how often the ledger is told while Apply runs: what ends
	// within one such span is one commit.
	tellEvery = 30 * time.Second
)

// Revision is where the spec came from.
type Revision struct {
	Commit string // "" for a plain directory
	Author string // "Name <mail>", as the commit says
}

// Options are Apply's settings; the zero value is good.
type Options struct {
	Parallel int              // certificates at once; 0: 16
	Actor    string           // who runs it, where no commit's author is the cause; "": schedule
	Now      func() time.Time // nil: time.Now
	Lease    Lease            // nil: no lease
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
	// Examiner looks ahead; nil: Examine and Doctor cannot be used.
	Examiner Examiner
	// Anchor keeps how far the ledger had come; nil: nothing does.
	Anchor Anchor
	// Rewound is told of a ledger that is found rewritten, once.
	Rewound func(Breach)
	// Resolve follows references of the spec, for keystore passwords.
	Resolve func(context.Context, spec.Value) (string, error)
}

// Reconciler applies plans.
type Reconciler struct {
	secrets  Secrets
	ca       CA
	observer *Observer
	drafts   *drafts
	next     *nextKeys
	scribe   *scribe
	mooring  mooring
	asks     *asks
	tenancy  tenancy
	opts     Options

	problemsMu sync.Mutex // held from reading the open problems to noting what changes them
	problems   *Problems  // as they were noted last; nil: not yet

	heldMu sync.Mutex
	held   map[string]time.Time // by the id of an event that noteHeld has told, when it came last
}

// New wires a reconciler. The observer says where certroll's own state is.
func New(observer *Observer, secrets Secrets, ca CA, ledger Ledger, journal Journal, o Options) *Reconciler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Parallel == 0 {
		o.Parallel = 16
	}
	if o.Patience == nil {
		o.Patience = []time.Duration{20 * time.Second, 100 * time.Second}
	}
	if o.Progress == nil {
		o.Progress = func(string, string, string) {}
	}
	if o.Rewound == nil {
		o.Rewound = func(Breach) {}
	}
	if o.Resolve == nil {
		o.Resolve = func(context.Context, spec.Value) (string, error) {
			return "", errors.New("references cannot be followed here")
		}
	}
	return &Reconciler{
		secrets: secrets, ca: ca, observer: observer, opts: o,
		drafts: &drafts{secrets: secrets, mount: observer.StateMount, prefix: observer.StatePrefix, ledger: observer.Ledger},
		next:   &nextKeys{secrets: secrets, mount: observer.StateMount, prefix: observer.StatePrefix, ledger: observer.Ledger},
		scribe: &scribe{flushing: semaphore.NewWeighted(1), ledger: ledger, journal: journal, now: o.Now, records: &observer.records}, mooring: mooring{anchor: o.Anchor, looking: semaphore.NewWeighted(1)},
		asks: &asks{store: o.Moments}, held: map[string]time.Time{},
	}
}

// Observe reads what is there, with what the journal still waits to tell.
func (r *Reconciler) Observe(ctx context.Context, desired *spec.Spec) (*Observed, error) {
	return r.observe(ctx, desired, nil, nil, false)
}

// ObserveAgain is Observe where, of a certificate that stale does not name and
// whose record is as before, what was seen of its secrets before stands, and
// where a place that alone cannot be read holds up its certificates alone.
func (r *Reconciler) ObserveAgain(ctx context.Context, desired *spec.Spec, before *Observed, stale map[string]bool) (*Observed, error) {
	return r.observe(ctx, desired, before, stale, true)
}

func (r *Reconciler) observe(ctx context.Context, desired *spec.Spec, before *Observed, stale map[string]bool, lenient bool) (*Observed, error) {
	tree, fresh, err := r.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	obs, err := r.observer.observe(ctx, desired, tree, r.opts.Now(), before, stale, lenient, r.scribe.overlay)
	if err != nil {
		return nil, err
	}
	obs.Whole = fresh && len(obs.Unreadable) == 0
	return obs, nil
}

// Result is how one action ended.
type Result struct {
	Action Action
	Event  Event // zero where the run was interrupted
	Err    error // nil after a success
}

// Report is how an Apply ended.
type Report struct {
	Results     []Result
	Interrupted int    // actions that were not taken up, or are left to the next run
	Held        int    // actions that were not taken up, as their issuer or DNS account failed for others
	Overtaken   int    // actions that were not taken up, as somebody else changed what they were about
	Commit      string // the ledger's new head; "" where nothing was to be told
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

// Apply does what a plan's actions say, side by side. One that fails never
// holds up another: its failure is in the report, not in the error. When ctx
// ends no more work is taken up, what runs is finished or dropped cleanly, and
// the ledger is written all the same.
//
// Under the lease it looks again at what it is about to touch, since another
// reconciler may have had the lease in between: an action that is not what the
// plan said any more is left alone.
func (r *Reconciler) Apply(ctx context.Context, desired *spec.Spec, rev Revision, actions []Action) (*Report, error) {
	report := &Report{}
	now := r.opts.Now()
	err := r.noteHeld(append(heldTogether(actions, now), expiringEvents(actions, rev, now)...))
	if err == nil && len(actionable(actions)) > 0 {
		var run context.Context
		var release func()
		if run, release, err = r.holdLease(ctx); err == nil {
			// Kept until the ledger is told: whoever has it next is to see how
			// this went, and what is held.
			defer release()
			err = r.applyUnderLease(ctx, run, desired, rev, actions, report)
		}
	}
	return report, errors.Join(err, r.tell(ctx, report))
}

// applyUnderLease does it while run, which ends where the lease is lost.
func (r *Reconciler) applyUnderLease(ctx, run context.Context, desired *spec.Spec, rev Revision, actions []Action, report *Report) error {
	todo, err := r.stillTrue(run, desired, actions, report)
	if err != nil {
		return err
	}
	slices.SortStableFunc(todo, func(a, b Action) int { return byDeadline(r.opts.Now())(&a, &b) })
	stop := r.tellMeanwhile(ctx, report)
	defer stop()
	return r.runAll(run, desired, rev, todo, report)
}

// stillTrue are the actions that a fresh look still calls for.
func (r *Reconciler) stillTrue(ctx context.Context, desired *spec.Spec, planned []Action, report *Report) ([]Action, error) {
	before := seenBy(planned)
	todo := actionable(planned)
	stale := make(map[string]bool, len(todo))
	for _, a := range todo {
		stale[a.Certificate] = true
	}
	obs, err := r.ObserveAgain(ctx, desired, before, stale)
	if err != nil {
		return nil, err
	}
	fresh := map[string]Action{}
	for _, a := range Plan(desired, obs, r.opts.Now()) {
		fresh[a.Certificate] = a
	}
	var still []Action
	for _, a := range todo {
		switch now := fresh[a.Certificate]; {
		case now.Kind == a.Kind && now.Secret.Version == a.Secret.Version && now.At == a.At:
			still = append(still, now)
		case now.Kind == KindHold:
			report.Held++
		default:
			report.Overtaken++
		}
	}
	return still, nil
}

// seenBy is what a plan was made of, as far as its actions tell.
func seenBy(planned []Action) *Observed {
	obs := &Observed{Secrets: map[Location]Secret{}, Pending: map[string]Pending{}, Staged: map[string]Staged{}}
	for _, a := range planned {
		if a.HeldBy == unreadableSubject {
			continue // what could not be looked at is not missing
		}
		obs.Secrets[a.At] = a.Secret
		if a.target != nil {
			obs.Secrets[targetOf(a.Spec)] = *a.target
		}
		if a.Next != nil {
			obs.Staged[a.Certificate] = *a.Next
		}
		if a.pending != nil {
			obs.Pending[a.Certificate] = *a.pending
		}
	}
	return obs
}

// tell brings the journal to the ledger, also where ctx has ended, and drops
// the pending secrets whose story is told by then.
func (r *Reconciler) tell(ctx context.Context, report *Report) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	if err := r.noteRewound(); err != nil {
		return err
	}
	commit, told, err := r.scribe.flush(ctx)
	if err != nil {
		return fmt.Errorf("writing the ledger: %w; the events are safe in the journal and are told with the next run", err)
	}
	report.Commit = firstOf(commit, report.Commit)
	err = r.dropTold(ctx, told)
	if commit != "" {
		// The push is done: what goes wrong here is seen by the next look.
		_, _, _ = r.snapshot(ctx)
	}
	return err
}

// tellMeanwhile tells the ledger now and then, so that a long run is seen
// while it lasts. What fails here is tried again at the end.
func (r *Reconciler) tellMeanwhile(ctx context.Context, report *Report) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = r.tell(ctx, report)
			}
		}
	}()
	return func() { cancel(); <-done }
}

func actionable(actions []Action) []Action {
	var todo []Action
	for _, a := range actions {
		if a.Kind != KindNone && a.Kind != KindHold {
			todo = append(todo, a)
		}
	}
	return todo
}

func (r *Reconciler) runAll(ctx context.Context, desired *spec.Spec, rev Revision, todo []Action, report *Report) error {
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(r.opts.Parallel)
	ap := &applier{Reconciler: r, desired: desired, revision: rev, gate: newGate(r.opts.Now)}
	for _, action := range todo {
		g.Go(func() error {
			res, end := ap.admitted(ctx, action)
			mu.Lock()
			defer mu.Unlock()
			switch end {
			case endStopped:
				report.Interrupted++
			case endHeld:
				report.Held++
			default:
				report.Results = append(report.Results, res)
			}
			return nil
		})
	}
	_ = g.Wait() // the goroutines return none: each failure is a result
	return r.noteHeld(ap.gate.heldEvents())
}

// noteHeld tells of what is held for many at once, each once a day, and of what
// expires. However many these are, none is told with each pass.
func (r *Reconciler) noteHeld(events []Event) error {
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	now := r.opts.Now()
	maps.DeleteFunc(r.held, func(_ string, last time.Time) bool { return now.Sub(last).Abs() > 2*day })
	for _, e := range events {
		if _, told := r.held[e.ID]; !told {
			if err := r.scribe.note(entry{Event: e}); err != nil {
				return err
			}
		}
		r.held[e.ID] = now
	}
	return nil
}

// isHeld tells whether noteHeld has told of an event.
func (r *Reconciler) isHeld(id string) bool {
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	_, told := r.held[id]
	return told
}

// dropTold removes the pending secrets whose story the ledger has.
func (r *Reconciler) dropTold(ctx context.Context, told []entry) error {
	var errs []error
	for _, e := range told {
		if e.Drop == "" {
			continue
		}
		if err := r.dropIfDone(ctx, e); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// dropIfDone drops a pending secret unless a newer attempt has taken its place.
func (r *Reconciler) dropIfDone(ctx context.Context, e entry) error {
	d, err := r.drafts.load(ctx, e.Drop)
	if err != nil || d == nil || d.KeyDigest != e.Event.KeyDigest {
		return err
	}
	return r.drafts.drop(ctx, e.Drop)
}
