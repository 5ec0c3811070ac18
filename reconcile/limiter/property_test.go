package limiter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// gateWorld is a random world for the gate: DNS accounts, some of them broken;
// certificates that use some accounts in some order; a history that blames accounts
// that may work by now; and a time at which the run is stopped.
type gateWorld struct {
	r       *rand.Rand
	broken  map[string]ledger.Class // by DNS account; an account without an entry works
	caDown  bool
	history []ledger.Event
	actions []plan.Action
	stop    time.Duration // zero: never
	room    int           // maximum number of concurrent attempts
	passes  int           // number of overlapping passes
	asks    bool          // the CA's account is checked first
	several bool          // DNS accounts share the slots
	// replaced: the last pass drops all actions that the others left.
	replaced bool
	desired  *spec.Spec // with the DNS accounts, some of which declare their zones

	mu    sync.Mutex
	n     int             // number of attempts
	busy  map[string]bool // certificates with an attempt in progress
	most  int             // most at once
	twice string          // a certificate that had two attempts at once
	lost  string          // a certificate that was admitted although one of its names had no usable account
}

var gateAccounts = []string{"a", "b", "c", "d"}

func newGateWorld(seed uint64) *gateWorld {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &gateWorld{r: r, broken: map[string]ledger.Class{}, room: 1 + r.IntN(16), passes: 1 + r.IntN(3), caDown: r.IntN(8) == 0,
		asks: r.IntN(2) == 0, several: r.IntN(2) == 0, replaced: r.IntN(4) == 0, busy: map[string]bool{}}
	accounts := gateAccounts[:3+r.IntN(2)]
	for _, name := range accounts {
		if r.IntN(2) == 0 {
			w.broken[name] = []ledger.Class{ledger.ClassDNSUnauthorized, ledger.ClassDNSUnavailable}[r.IntN(2)]
		}
	}
	w.desired = &spec.Spec{DNS: map[string]*spec.DNSAccount{}}
	zoned := r.IntN(2) == 0
	for i, name := range accounts {
		w.desired.DNS[name] = &spec.DNSAccount{Name: name, Challenge: spec.DNS01, FollowCNAME: r.IntN(2) == 0}
		if zoned && r.IntN(3) > 0 {
			w.desired.DNS[name].Zones = []string{fmt.Sprintf("zone%d.example", i%3)}
		}
	}
	for i := range r.IntN(12) {
		account, c := accounts[r.IntN(len(accounts))], fmt.Sprintf("old%d", i)
		if r.IntN(4) == 0 {
			w.history = append(w.history, reconciletest.Succeeded(time.Duration(i)*time.Second, c, account))
		} else {
			w.history = append(w.history, reconciletest.Failed(time.Duration(i)*time.Second, c, ledger.ClassDNSUnauthorized, account, "403"))
		}
	}
	for i := range 1 + r.IntN(14) {
		list := slices.Clone(accounts)
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		a := gateAction(fmt.Sprintf("c%d", i), list[:1+r.IntN(len(list))]...)
		a.Spec.Domains[0].ASCII = fmt.Sprintf("c%d.zone%d.example", i, r.IntN(3))
		if zoned && r.IntN(2) == 0 {
			also := fmt.Sprintf("d%d.zone%d.example", i, r.IntN(3))
			a.Spec.Domains = append(a.Spec.Domains, spec.Domain{Typed: also, ASCII: also})
		}
		a.Ways = plan.WaysOf(w.desired, a.Spec)
		w.actions = append(w.actions, *a)
	}
	if r.IntN(4) == 0 {
		w.stop = time.Duration(1+r.IntN(600)) * time.Second
	}
	return w
}

// attempt returns the result of one attempt. Each name tries its accounts in order.
func (w *gateWorld) attempt(a *plan.Action, at time.Duration) ledger.Event {
	if w.caDown {
		return reconciletest.Failed(at, a.Certificate, ledger.ClassCAUnavailable, "", "503")
	}
	var accounts []*spec.DNSAccount
	for _, name := range a.Spec.DNS {
		one := *w.desired.DNS[name]
		one.Avoided = slices.Contains(a.Avoid, name)
		accounts = append(accounts, &one)
	}
	var all []ledger.PassedOver
	var last, failing string
	for _, name := range a.Spec.Names() {
		worked, passed := w.prove(name, accounts)
		if worked == "" {
			failing = name
			if len(passed) == 0 { // no account has the zone: the certificate's problem
				passed = []ledger.PassedOver{{Class: ledger.ClassConfig}}
			}
			all = append(passed, all...)
			break
		}
		last, all = worked, append(all, passed...)
	}
	if failing == "" {
		e := reconciletest.Succeeded(at, a.Certificate, last)
		e.Names, e.PassedOver = a.Spec.Names(), all
		return e
	}
	e := reconciletest.Failed(at, a.Certificate, all[0].Class, all[0].Account, "403")
	e.Names, e.FailedNames, e.PassedOver = a.Spec.Names(), []string{failing}, all[1:]
	return e
}

// noteLost notes an action that is admitted although every account in charge of one of
// its names is known to be broken.
func (w *gateWorld) noteLost(a *plan.Action) {
	var accounts []*spec.DNSAccount
	for _, name := range a.Spec.DNS {
		accounts = append(accounts, w.desired.DNS[name])
	}
	for _, name := range a.Spec.Names() {
		able := spec.Able(accounts, name)
		if len(able) > 0 && !slices.ContainsFunc(able, func(one *spec.DNSAccount) bool { return !slices.Contains(a.Avoid, one.Name) }) {
			w.lost = fmt.Sprintf("%s for %s, avoiding %v", a.Certificate, name, a.Avoid)
		}
	}
}

// prove tries the accounts of a name in order; accounts of other zones are passed over.
func (w *gateWorld) prove(name string, accounts []*spec.DNSAccount) (worked string, passed []ledger.PassedOver) {
	for _, a := range spec.InOrder(accounts, name) {
		class, bad := w.broken[a.Name]
		switch {
		case len(a.Zones) > 0 && !a.Contains(name):
			passed = append(passed, ledger.PassedOver{Account: a.Name, Class: ledger.ClassConfig, Message: "another zone"})
		case bad:
			passed = append(passed, ledger.PassedOver{Account: a.Name, Class: class, Message: "403"})
		default:
			return a.Name, passed
		}
	}
	return "", passed
}

// run applies the actions in overlapping passes, each with a share of them, and reports
// whether all ended. If everything deadlocks, the bubble's clock reaches the time at
// which the run is stopped.
func (w *gateWorld) run(t *testing.T) bool {
	const longest = 24 * time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if w.stop > 0 {
		ctx, cancel = context.WithTimeout(ctx, w.stop)
		defer cancel()
	}
	planned := slices.Clone(w.actions)
	found := plan.Known(w.desired, &plan.Observed{}, w.history)
	plan.Admit(planned, throttle.Accounts{}, w.history, found, reconciletest.Start.Add(time.Minute))
	for i := range planned {
		if name, ok := planned[i].HeldBy.Account(); ok && !slices.Contains(planned[i].Serving(), name) {
			t.Errorf("%s is held by dns.%s, which none of its names needs", planned[i].Certificate, name)
		}
	}
	r := apply.New(&observe.Observer{}, reconciletest.NewMemVault(), nil, reconciletest.NewMemLedger(), &reconciletest.MemJournal{}, attempt.Options{Parallel: w.room})
	r.Crew.Do = w.one
	r.Limiter.Asks = w.asks
	over := make(chan struct{})
	go func() {
		defer close(over)
		for n := range w.passes {
			b := &apply.Batch{
				Reconciler: r, Applier: &attempt.Applier{Means: r.Means, Pass: r.Limiter.Begin(w.desired, &plan.Observed{History: w.history})}, Ctx: ctx, Run: ctx, SeveralAccounts: w.several,
				Done: make(chan struct{}), News: make(chan struct{}, 1), Release: func() {}, StopTelling: func() {},
			}
			r.Crew.Batches.Add(1)
			var jobs []*apply.Job
			_, turn := r.Crew.Look()
			for i := range planned {
				if planned[i].Kind != ledger.KindHold && i%w.passes == n {
					jobs = append(jobs, &apply.Job{Batch: b, Action: planned[i], Turn: turn})
				}
			}
			if w.replaced && n == w.passes-1 {
				r.Crew.Drop(nil)
			}
			if b.Left = len(jobs); b.Left == 0 {
				b.Finish()
			}
			defer context.AfterFunc(ctx, r.Crew.Sweep)()
			r.Crew.Put(jobs)
			time.Sleep(100 * time.Second)
		}
		r.Crew.Batches.Wait()
	}()
	select {
	case <-over:
		return true
	case <-time.After(longest):
		cancel()
		<-over
		return false
	}
}

// one runs the attempt of one certificate.
func (w *gateWorld) one(j *apply.Job) (attempt.Result, limiter.End) {
	w.mu.Lock()
	takes, usable := time.Duration(1+w.r.IntN(300))*time.Second, w.r.IntN(4) > 0
	w.n++
	if w.busy[j.Action.Certificate] {
		w.twice = j.Action.Certificate
	}
	w.busy[j.Action.Certificate] = true
	w.noteLost(&j.Action)
	w.most = max(w.most, len(w.busy))
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.busy, j.Action.Certificate)
	}()
	select {
	case <-time.After(takes / 10):
		if usable {
			j.Reconciler.Limiter.AccountUsable(j.Action.Issuer.Name)
			j.Reconciler.Crew.HandOver()
		}
	case <-j.Run.Done():
		return attempt.Result{}, limiter.EndStopped
	}
	select {
	case <-time.After(takes):
		return attempt.Result{Event: w.attempt(&j.Action, 0)}, limiter.EndDone
	case <-j.Run.Done():
		return attempt.Result{}, limiter.EndStopped
	}
}

// TestGateNeverWaitsForNobody checks that with any accounts, history and outcomes,
// every certificate is admitted or held, or the run is stopped. No certificate may wait
// for an attempt that does not run.
func TestGateNeverWaitsForNobody(t *testing.T) {
	seeds := uint64(10_000)
	if testing.Short() {
		seeds = 1000
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			w := newGateWorld(seed)
			if !w.run(t) {
				t.Fatalf("seed %d: certificates wait, and nobody is at work who could let them in", seed)
			}
			if w.most > w.room || w.twice != "" {
				t.Fatalf("seed %d: %d at work at once in %d places, %q twice", seed, w.most, w.room, w.twice)
			}
			if w.lost != "" {
				t.Fatalf("seed %d: a name has nobody to prove it: %s", seed, w.lost)
			}
		})
		if t.Failed() {
			return
		}
	}
}
