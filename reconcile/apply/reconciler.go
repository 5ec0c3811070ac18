package apply

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
)

// Reconciler applies plans.
type Reconciler struct {
	*attempt.Means
	tenancy    tenancy
	chainsRead map[string]bool // by serial: what was read for its chain by this process
	places     places
	Crew       *Crew
	OnEnded    func(attempt.Result) // is called once for each attempt that ended, from many goroutines
}

// Report is how an Apply ended.
type Report struct {
	Results     []attempt.Result
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

// Batch is what one pass has to do. It is over when all of that has ended and the
// ledger was told. Until then it has the lease: whoever has it next is to see how
// this went, and what is held.
type Batch struct {
	*attempt.Applier
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

// Crew is who is at work, over passes, and what is ready to begin. A certificate
// has one attempt at a time, whichever pass began it.
//
//	pass 1   ├ plan ─ begin a b c ┤
//	a                             ├── slow CA ─────────────────────▶
//	b, c                          ├─ done: noted, logged, told
//	pass 2             falls due: d ├ plan without a ─ begin d ┤
//
// hands.go has how what is ready comes by a place.
type Crew struct {
	places int // certificates at once
	now    func() time.Time
	Do     func(*Job) (attempt.Result, limiter.End) // one attempt
	// Settled has an element when there may be something to plan: a certificate
	// has ended, or the CA suggests something else for it.
	Settled chan struct{}
	Batches sync.WaitGroup // that have not ended

	mu     sync.Mutex
	ready  []*Job          // the most urgent first
	queued map[string]*Job // those, by certificate
	atWork map[string]*Job // by certificate
	shares map[string]int  // at work, by what they share; see share
	asked  map[string]bool // certificates that a CA is being asked about
	turn   int             // counts beginnings
	began  map[string]turn // of each certificate, the last one
	noted  map[string]int  // the turn after which a question changed a record
	Ended  map[string]bool // certificates that nobody has looked at since
}

// turn is when a certificate began last.
type turn struct {
	n  int
	at time.Time
}

// Job is one action that is to be done.
type Job struct {
	*Batch
	Action plan.Action
	Turn   int       // in which it was looked at
	looked time.Time // when that was

	leave        func(ledger.Event) // the gate; nil where it did not enter by it
	shares       []string
	since        time.Time // when it began
	step, detail string
}

// tenancy is the lease as this process has it, for all that works under it at
// the same time: the first takes it, the last gives it back.
type tenancy struct {
	mu    sync.Mutex
	users int
	lost  context.Context // ends where the lease is lost
	leave func()          // stops renewing it, and waits for that
	until atomic.Int64    // when it ends unless it is renewed, in Unix nanoseconds
}

func (t *tenancy) extend(until time.Time)  { t.until.Store(until.UnixNano()) }
func (t *tenancy) over(now time.Time) bool { return now.UnixNano() > t.until.Load() }

// places are all places in Vault that a tree of the ledger ever named as a
// certificate's. They are read once for a head: the audit log may be long.
type places struct {
	mu   sync.Mutex
	head string
	read bool
	all  map[string]bool // "mount/path"
}
