package apply

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
)

// Reconciler applies plans. Its methods may be called concurrently.
type Reconciler struct {
	*attempt.Means
	tenancy    tenancy
	chainsRead map[string]bool // by serial: this process read its chain
	places     places
	Crew       *Crew
	OnEnded    func(attempt.Result) // called once per ended attempt, from many goroutines
}

// Report is the outcome of an Apply.
type Report struct {
	Results     []attempt.Result
	Interrupted int    // not started, or left to the next run
	Held        int    // not started: their issuer or DNS account fails for others
	Overtaken   int    // not started: Vault or the ledger changed since the plan
	Commit      string // new head of the ledger; "" if nothing was published
	Disk        error  // why the journal was not written, even if the ledger was; nil: it was
}

// Failed returns the number of actions that failed.
func (r *Report) Failed() int {
	n := 0
	for _, res := range r.Results {
		if res.Err != nil {
			n++
		}
	}
	return n
}

// Unrecorded returns the number of actions that neither the journal nor the ledger has.
func (r *Report) Unrecorded() int {
	n := 0
	for _, res := range r.Results {
		if res.Unrecorded != nil {
			n++
		}
	}
	return n
}

// Batch is the work of one pass. It ends when all its jobs have ended and their events
// are published. Until then it holds the lease: the next holder must see the outcome and
// the holds.
type Batch struct {
	*attempt.Applier
	Reconciler *Reconciler
	Ctx        context.Context // of the caller of Begin
	Run        context.Context // ends with Ctx, and if the lease is lost
	Done       chan struct{}   // closed at the end of the batch
	News       chan struct{}   // has an element if a job has ended

	// The spec uses more than one CA or DNS account, which then share the places.
	severalCAs, SeveralAccounts bool

	Release     func() // releases the lease
	StopTelling func()
	Err         error // of the batch as a whole; complete once Done is closed
	// Silent batches have no jobs. A running batch published a moment ago and will
	// publish again, so that a silent one does not.
	Silent bool

	mu     sync.Mutex
	report Report
	Left   int // jobs that have not ended
}

// Crew holds the running attempts of all passes, and the queue of ready ones. A
// certificate has one attempt at a time, whichever pass began it.
//
//	pass 1   ├ plan ─ begin a b c ┤
//	a                             ├── slow CA ─────────────────────▶
//	b, c                          ├─ done: recorded, logged, published
//	pass 2             falls due: d ├ plan without a ─ begin d ┤
//
// hands.go explains how a queued action gets a place.
type Crew struct {
	places int // certificates at once
	now    func() time.Time
	Do     func(*Job) (attempt.Result, limiter.End) // runs one attempt
	// Settled has an element when a new plan may be due: an attempt has ended, or the CA
	// suggests another renewal window.
	Settled chan struct{}
	Batches sync.WaitGroup // batches that have not ended

	mu     sync.Mutex
	ready  []*Job          // most urgent first
	queued map[string]*Job // ready, by certificate
	atWork map[string]*Job // by certificate
	shares map[string]int  // running attempts by shared resource, see sharesOf
	asked  map[string]bool // certificates reserved by a query
	turn   int             // counts attempts that began
	began  map[string]turn // last attempt of each certificate
	noted  map[string]int  // turn at which a query changed the record
	Ended  map[string]bool // certificates not observed since their attempt ended
}

// turn is the number and time of a certificate's last attempt.
type turn struct {
	n  int
	at time.Time
}

// Job is one action to be run.
type Job struct {
	*Batch
	Action plan.Action
	Turn   int       // turn of the observation
	looked time.Time // time of the observation

	leave        func(ledger.Event) // reports to the limiter; nil if the job did not pass it
	shares       []string
	since        time.Time // start of the attempt
	step, detail string
}

// tenancy is this process's hold on the lease, shared by all concurrent work under it:
// the first user takes the lease, the last one releases it.
type tenancy struct {
	turn  *semaphore.Weighted // guards all; it is held while Vault is asked
	users int
	lost  context.Context // ends if the lease is lost
	leave func()          // stops the renewal and waits for its goroutine
	until atomic.Int64    // expiry of the lease, in Unix nanoseconds
}

// extend sets the expiry of the lease. It is atomic, because over is called without the
// lock.
func (t *tenancy) extend(until time.Time) { t.until.Store(until.UnixNano()) }

// over reports whether the lease has expired by the clock.
func (t *tenancy) over(now time.Time) bool { return t.left(now) < 0 }

// left returns the time until the lease expires by the clock.
func (t *tenancy) left(now time.Time) time.Duration {
	return time.Duration(t.until.Load() - now.UnixNano())
}

// places caches all places in Vault that the ledger ever named as a certificate's. They
// are read once per head, because the audit log can be long.
type places struct {
	mu   sync.Mutex
	head string
	read bool
	all  map[string]bool // "mount/path"
}
