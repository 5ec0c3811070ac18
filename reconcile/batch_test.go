package reconcile_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/await"
)

// slowCA blocks Finish for issuer.slow until a test releases it, and answers requests
// for renewal information about its certificates as late as possible.
type slowCA struct {
	*reconciletest.MemCA
	mu    sync.Mutex
	held  map[string]chan error // by the first name; nil: releases everything
	stays map[string]int        // number of times that Finish blocked, by the first name
	turn  time.Duration         // how long each Finish first waits at a challenge name; negative: forever
	fails error                 // the failure of another name, which such a wait outlasts
}

func (ca *slowCA) Finish(ctx context.Context, i *spec.Issuer, url string, csr []byte, accounts []*spec.DNSAccount, report func(string, string)) ([]byte, string, []error, error) {
	if i.Name == "slow" {
		ca.MemCA.Mu.Lock()
		name := ca.Orders[url][0]
		ca.MemCA.Mu.Unlock()
		if ca.turn != 0 {
			report(attempt.StepTurn, "waiting for another certificate")
			if err := await.Sleep(ctx, cmp.Or(max(ca.turn, 0), 24*time.Hour)); err != nil {
				return nil, "", nil, cmp.Or(ca.fails, err)
			}
			report(attempt.StepTurn, "")
		}
		report("ca", "waiting for the CA")
		if err := ca.stay(ctx, name); err != nil {
			return nil, "", nil, err
		}
	}
	return ca.MemCA.Finish(ctx, i, url, csr, accounts, report)
}

func (ca *slowCA) stay(ctx context.Context, name string) error {
	ca.mu.Lock()
	if ca.held == nil {
		ca.mu.Unlock()
		return nil
	}
	ca.stays[name]++
	wait := ca.held[name]
	if wait == nil {
		wait = make(chan error)
		ca.held[name] = wait
	}
	ca.mu.Unlock()
	select {
	case err := <-wait:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// letGo releases one blocked name.
func (ca *slowCA) letGo(name string, err error) {
	ca.mu.Lock()
	wait := ca.held[name]
	ca.mu.Unlock()
	wait <- err
}

// came returns how many calls have blocked so far.
func (ca *slowCA) came() (n int) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	for _, times := range ca.stays {
		n += times
	}
	return n
}

func (ca *slowCA) RenewalInfo(ctx context.Context, i *spec.Issuer, id string) (start, end time.Time, explanation string, again time.Time, err error) {
	ca.MemCA.Mu.Lock()
	offered := ca.Info != nil
	ca.MemCA.Mu.Unlock()
	if i.Name == "slow" && offered {
		<-ctx.Done()
		return start, end, "", again, ctx.Err()
	}
	return ca.MemCA.RenewalInfo(ctx, i, id)
}

// slowWorld is a world with a slow CA beside the normal one.
type slowWorld struct {
	*reconciletest.World
	slow *slowCA
	repo *reconciletest.MemRepo
	r    *apply.Reconciler
	// nudge makes the loop pull.
	nudge chan struct{}
	// stop ends the loop and waits for its end.
	stop func()
}

// at returns a certificate of an issuer.
func at(issuer, name string) *spec.Certificate {
	c := reconciletest.Certificate(name, name+".example.com")
	c.Issuer = issuer
	return c
}

// slowly runs a loop in a synctest bubble.
func slowly(t *testing.T, o reconcile.LoopOptions, test func(w *slowWorld), certificates ...*spec.Certificate) {
	t.Helper()
	slowlyWith(t, o, &spec.Issuer{Name: "slow", Directory: "https://slow.example/dir"}, test, certificates...)
}

// slowlyWith is slowly with this issuer for the slow CA.
func slowlyWith(t *testing.T, o reconcile.LoopOptions, slow *spec.Issuer, test func(w *slowWorld), certificates ...*spec.Certificate) {
	t.Helper()
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		s := &slowWorld{World: w, repo: repo, slow: &slowCA{MemCA: w.Ca, held: map[string]chan error{}, stays: map[string]int{}}}
		w.Desired.Issuers["slow"] = slow
		s.nudge = make(chan struct{}, 1)
		o.Nudge = s.nudge
		s.start(o)
		defer func() { s.stop() }() // the newest process
		synctest.Wait()
		test(s)
	}, certificates...)
}

// start runs a new process on the same world.
func (s *slowWorld) start(o reconcile.LoopOptions) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.r = apply.New(&observe.Observer{Metadata: s.Vault, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}, s.Vault, s.slow, s.Ledger, s.Journal, s.Opts)
	loop := reconcile.NewLoop(s.r, s.repo, o)
	go func() { defer close(done); loop.Run(ctx) }()
	s.stop = func() { cancel(); <-done }
}

// declare replaces the certificates of the config repo.
func (s *slowWorld) declare(certificates ...*spec.Certificate) {
	desired := *s.Desired
	desired.Certificates = certificates
	s.repo.Mu.Lock()
	defer s.repo.Mu.Unlock()
	s.repo.Desired = &desired
}

// outcomes returns the outcomes that the ledger has for a certificate.
func (s *slowWorld) outcomes(name string) (list []string) {
	for _, e := range s.Ledger.Events(s.T) {
		if e.Certificate == name {
			list = append(list, fmt.Sprintf("%s %s %s", e.Operation, e.Reason, e.Status))
		}
	}
	return list
}

func (s *slowWorld) busy() (names []string) {
	for _, w := range s.r.AtWork() {
		names = append(names, w.Certificate)
	}
	return names
}

// TestStragglerHoldsUpNobody checks that one certificate at a slow CA delays no other:
// a newly declared one is issued and recorded at once, and renewed within a second of
// its due time.
func TestStragglerHoldsUpNobody(t *testing.T) {
	type ending struct {
		name string
		at   time.Time
	}
	var mu sync.Mutex
	var ended []ending
	o := reconcile.LoopOptions{Interval: 24 * time.Hour, Ended: func(r attempt.Result) {
		mu.Lock()
		defer mu.Unlock()
		ended = append(ended, ending{r.Action.Certificate, time.Now()})
	}}
	straggler := at("slow", "straggler")
	slowly(t, o, func(w *slowWorld) {
		w.Ca.Lifetime = 3 * time.Hour
		began := time.Now()
		time.Sleep(15 * time.Second)
		w.declare(straggler, at("ca", "api"))
		w.nudge <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.outcomes("api"); !slices.Equal(got, []string{"issue missing success"}) {
			t.Fatalf("a second after it was declared the ledger tells of it %q", got)
		}
		if len(ended) != 1 || ended[0].name != "api" || ended[0].at.Sub(began) > 16*time.Second {
			t.Errorf("ended: %v", ended)
		}
		if got := w.r.AtWork(); len(got) != 1 || got[0].Certificate != "straggler" || got[0].Operation != ledger.KindIssue || !got[0].Since.Equal(began) || got[0].Step != "ca" || got[0].Detail != "waiting for the CA" {
			t.Errorf("at work: %+v", got)
		}
		time.Sleep(time.Until(*w.Ledger.Record(t, "api").RenewAt) - time.Millisecond)
		synctest.Wait()
		before, _ := w.Ca.Ordered()
		if busy := w.busy(); !slices.Equal(busy, []string{"straggler"}) {
			t.Fatalf("at work: %v", busy)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != before+1 {
			t.Errorf("%d orders within a second after it fell due", n-before)
		}
		if got := w.outcomes("api"); !slices.Equal(got[len(got)-1:], []string{"renew threshold success"}) {
			t.Errorf("and the ledger tells %q", got)
		}
	}, straggler)
}

// TestEndedIsToldMeanwhile checks that each attempt of a pass is recorded when it ends,
// not when the last one ends, and that many attempts share commits.
func TestEndedIsToldMeanwhile(t *testing.T) {
	all := []*spec.Certificate{at("slow", "straggler")}
	for i := range 12 {
		all = append(all, at("slow", fmt.Sprintf("c%02d", i)))
	}
	var published atomic.Int64
	slowly(t, reconcile.LoopOptions{Interval: time.Hour, Published: func() { published.Add(1) }}, func(w *slowWorld) {
		waiting := func() []string {
			return slices.DeleteFunc(w.busy(), func(name string) bool { return name == "straggler" })
		}
		first := waiting()[0]
		w.slow.letGo(first+".example.com", nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.outcomes(first); len(got) != 1 || published.Load() != 1 {
			t.Errorf("a second after the end of %s the ledger tells of it %v, after %d commits", first, got, published.Load())
		}
		began := time.Now()
		for range 11 {
			time.Sleep(2 * time.Second)
			w.slow.letGo(waiting()[0]+".example.com", nil)
		}
		time.Sleep(apply.TellEvery)
		synctest.Wait()
		for _, c := range all[1:] {
			if got := w.outcomes(c.Name); len(got) != 1 {
				t.Errorf("the ledger tells of %s %v", c.Name, got)
			}
		}
		if most := 1 + int(time.Since(began)/apply.TellEvery) + 1; int(published.Load()) > most {
			t.Errorf("%d commits, want %d at most", published.Load(), most)
		}
		if got := w.outcomes("straggler"); len(got) != 0 {
			t.Errorf("the ledger tells of the straggler %v", got)
		}
	}, all...)
}

// TestOneAttemptAtATime checks that a certificate never has two attempts at once,
// despite extra passes and changes of its spec. A changed spec applies after the
// attempt.
func TestOneAttemptAtATime(t *testing.T) {
	slowly(t, reconcile.LoopOptions{Interval: time.Minute}, func(w *slowWorld) {
		changed := at("slow", "straggler")
		changed.Domains = append(changed.Domains, spec.Domain{Typed: "more.example.com", ASCII: "more.example.com"})
		for i := range 60 {
			switch i {
			case 20:
				w.declare(changed)
			case 40:
				w.declare() // the certificate is removed
			}
			time.Sleep(30 * time.Second)
			w.nudge <- struct{}{}
		}
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != 1 || w.slow.came() != 1 {
			t.Fatalf("%d orders and %d attempts within half an hour", n, w.slow.came())
		}
		if keys := w.KeysOfState(); len(keys) != 1 {
			t.Fatalf("pending secrets: %v", keys)
		}
		w.slow.letGo("straggler.example.com", nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := w.outcomes("straggler"); !slices.Equal(got, []string{"issue missing success", "retire removed_from_spec success"}) {
			t.Errorf("the ledger tells %q", got)
		}
	}, at("slow", "straggler"))
}

// TestAttemptHasADeadline checks that an attempt that never ends at the CA is stopped
// and recorded, and that the next one continues its order.
func TestAttemptHasADeadline(t *testing.T) {
	slowly(t, reconcile.LoopOptions{Interval: time.Hour}, func(w *slowWorld) {
		time.Sleep(attempt.AttemptTime - time.Second)
		synctest.Wait()
		if got := w.outcomes("straggler"); len(got) != 0 {
			t.Fatalf("before its time is over the ledger tells %q", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		es := w.Ledger.Events(t)
		e := es[len(es)-1]
		if e.Status != ledger.Failed || e.Class != ledger.ClassCAUnavailable || !strings.Contains(e.Message, "which was not done after 2h30m0s, so that nothing else waits for it") || e.Duration != attempt.AttemptTime.Seconds() {
			t.Errorf("event: %+v", e)
		}
		if busy := w.busy(); len(busy) != 0 {
			t.Errorf("at work: %v", busy)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != 1 || w.slow.came() != 2 {
			t.Errorf("%d orders and %d attempts, want one order and the second attempt at it", n, w.slow.came())
		}
	}, at("slow", "straggler"))
}

// twins returns certificates of the slow CA with the same names, as for several key
// algorithms.
func twins(names ...string) (list []*spec.Certificate) {
	for _, n := range names {
		c := reconciletest.Certificate(n, "dual.example.com")
		c.Issuer = "slow"
		list = append(list, c)
	}
	return list
}

// TestTurnTakesNoTime checks that the wait for a turn does not shorten an attempt's
// time limit: certroll itself causes this wait, so it must not count against the CA.
func TestTurnTakesNoTime(t *testing.T) {
	slowly(t, reconcile.LoopOptions{Interval: 24 * time.Hour}, func(w *slowWorld) {
		time.Sleep(attempt.AttemptTime - time.Minute)
		w.slow.letGo("dual.example.com", nil)
		time.Sleep(attempt.AttemptTime - time.Minute)
		synctest.Wait()
		if busy := w.busy(); len(busy) != 1 {
			t.Fatalf("at work: %v, want the one that waited for its turn", busy)
		}
		w.slow.letGo("dual.example.com", nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, name := range []string{"a", "b"} {
			if got := w.outcomes(name); !slices.Equal(got, []string{"issue missing success"}) {
				t.Errorf("%s: %q", name, got)
			}
		}
	}, twins("a", "b")...)
}

// TestNoTurnIsNoFailure checks that an attempt that gets no turn within AttemptTime
// ends without an event. It counts neither against the CA nor as a crash.
func TestNoTurnIsNoFailure(t *testing.T) {
	slowly(t, reconcile.LoopOptions{Interval: time.Hour}, func(w *slowWorld) {
		first := w.busy()
		for range 6 {
			time.Sleep(attempt.AttemptTime)
			synctest.Wait()
		}
		failures := 0
		for _, e := range w.Ledger.Events(t) {
			if e.Status != ledger.Failed {
				continue
			}
			failures++
			if !strings.Contains(e.Message, "which was not done after 2h30m0s, so that nothing else waits for it") || e.Duration < attempt.AttemptTime.Seconds() {
				t.Errorf("event: %+v", e)
			}
		}
		// One attempt at a time has its turn, and each fails at the CA after
		// AttemptTime.
		if failures == 0 || failures > 6 {
			t.Errorf("%d failures in the time of 6 turns; at work first: %v", failures, first)
		}
	}, twins("a", "b", "c")...)
}

// TestNoTurnAfterAFailure checks that an earlier failure does not reset the count of
// attempts that got no turn.
func TestNoTurnAfterAFailure(t *testing.T) {
	slowly(t, reconcile.LoopOptions{Interval: time.Hour}, func(w *slowWorld) {
		w.slow.mu.Lock()
		w.slow.turn = -1
		w.slow.mu.Unlock()
		w.Ca.Mu.Lock()
		w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_rejected", Text: "not now"} }
		w.Ca.Mu.Unlock()
		w.declare(at("slow", "straggler"))
		w.nudge <- struct{}{}
		time.Sleep(time.Minute)
		w.Ca.Mu.Lock()
		w.Ca.Fail = nil
		w.Ca.Mu.Unlock()
		time.Sleep(27*time.Hour + 3*attempt.AttemptTime) // the back-off, and three attempts
		synctest.Wait()
		es := w.Ledger.Events(t)
		if len(es) != 2 || es[0].Class != ledger.ClassCARejected || !strings.Contains(es[1].Message, "its turn did not come within 2h30m0s in each of the last 3 attempts") || es[1].Failures != 2 {
			t.Errorf("the ledger tells %+v", es)
		}
	})
}

// TestWaitAtAChallengeName checks an attempt that spends its time limit waiting for another
// one's challenge. Two such ends in a row leave no event, even across a restart; the third
// is a recorded failure with a hold, and so is each further one. Any other timeout is a
// failure at once.
func TestWaitAtAChallengeName(t *testing.T) {
	const noTurn = "its turn did not come within 2h30m0s in each of the last 3 attempts (waiting for another certificate)"
	for waits, want := range map[time.Duration]struct {
		silent int
		orders int
		class  ledger.Class
		says   string
	}{
		-1:                          {2, 1, ledger.ClassInternal, noTurn},
		attempt.AttemptTime * 3 / 4: {2, 1, ledger.ClassInternal, noTurn},
		attempt.AttemptTime / 4:     {0, 2, ledger.ClassCAUnavailable, "which was not done after 2h30m0s"},
	} {
		slowly(t, reconcile.LoopOptions{Interval: 24 * time.Hour}, func(w *slowWorld) {
			for i := range 6 {
				w.slow.mu.Lock()
				w.slow.turn = waits
				w.slow.mu.Unlock()
				w.declare(at("slow", "straggler"))
				w.nudge <- struct{}{}
				time.Sleep(attempt.AttemptTime + time.Minute)
				synctest.Wait()
				if got := w.outcomes("straggler"); (len(got) > 0) != (i >= want.silent) || len(got) > max(0, i+1-want.silent) {
					t.Errorf("waiting for %s: after %d attempts the ledger tells %q", waits, i+1, got)
				}
				if i == 0 {
					w.stop()
					w.start(reconcile.LoopOptions{Interval: 24 * time.Hour, Nudge: w.nudge})
				}
			}
			for _, e := range w.Ledger.Events(t) {
				if e.Class != want.class || !strings.Contains(e.Message, want.says) || e.HoldUntil == nil || !e.HoldUntil.After(e.Time) {
					t.Errorf("waiting for %s: %+v", waits, e)
				}
			}
			if n, _ := w.Ca.Ordered(); n != want.orders {
				t.Errorf("waiting for %s: %d orders, want %d: an order is replaced after three failures", waits, n, want.orders)
			}
		})
	}
}

// TestFailureBesideAWait checks that the failure of one name is recorded at once, though
// another name of the order was still waiting for its turn when the time was over.
func TestFailureBesideAWait(t *testing.T) {
	for class, gone := range map[ledger.Class]bool{ledger.ClassCAA: true, ledger.ClassDNSPropagation: false, ledger.ClassCARejected: true} {
		slowly(t, reconcile.LoopOptions{Interval: 24 * time.Hour}, func(w *slowWorld) {
			w.slow.mu.Lock()
			w.slow.turn, w.slow.fails = -1, &reconciletest.CaError{Code: string(class), Text: "the words of the CA", Gone: gone}
			w.slow.mu.Unlock()
			w.declare(at("slow", "straggler"))
			w.nudge <- struct{}{}
			time.Sleep(attempt.AttemptTime + time.Minute)
			synctest.Wait()
			es := w.Ledger.Events(t)
			if len(es) != 1 || es[0].Class != class || !strings.Contains(es[0].Message, "the words of the CA") || es[0].HoldUntil == nil {
				t.Errorf("%s: the ledger tells %+v", class, es)
			}
		})
	}
}

// TestAnyActionHasADeadline checks the time limit of an action that needs no CA.
func TestAnyActionHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
		w.Opts.Now, w.Ca.Now = time.Now, time.Now
		w.Settle()
		w.Desired.Certificates[0].Rotate = "leaked"
		stuck := &stuckSecrets{MemVault: w.Vault}
		r := apply.New(&observe.Observer{Metadata: w.Vault, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}, stuck, w.Ca, w.Ledger, w.Journal, w.Opts)
		obs, err := r.Observe(t.Context(), w.Desired)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		report, err := r.Apply(t.Context(), w.Desired, ledger.Revision{}, plan.New(w.Desired, obs, time.Now()))
		if err != nil || report.Failed() != 1 || time.Since(began) != attempt.AttemptTime+attempt.AfterOrder {
			t.Errorf("after %s: %+v, %v", time.Since(began), report, err)
		}
	})
}

// stuckSecrets is a Vault whose reads of secrets never return.
type stuckSecrets struct{ *reconciletest.MemVault }

func (*stuckSecrets) Read(ctx context.Context, _, _ string) (map[string]string, int, error) {
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

// TestSlowCALeavesPlaces checks that attempts at a slow CA never use up all slots, even
// if that CA was fast before: a certificate of another CA still runs.
func TestSlowCALeavesPlaces(t *testing.T) {
	var all []*spec.Certificate
	for i := range 60 {
		all = append(all, at("slow", fmt.Sprintf("c%02d", i)))
	}
	all = append(all, at("ca", "idle"))
	slowly(t, reconcile.LoopOptions{Interval: 24 * time.Hour}, func(w *slowWorld) {
		if busy := w.busy(); len(busy) != limiter.SlowStart {
			t.Fatalf("%d at work before one has succeeded, want %d", len(busy), limiter.SlowStart)
		}
		w.slow.letGo(w.busy()[0]+".example.com", nil)
		synctest.Wait()
		if busy := w.busy(); len(busy) != 12 {
			t.Errorf("%d at work at the slow CA, want three quarters of 16 places", len(busy))
		}
		time.Sleep(10 * time.Second)
		w.declare(append(slices.Clone(all), at("ca", "api"))...)
		w.nudge <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.outcomes("api"); len(got) != 1 {
			t.Errorf("a second after it was declared the ledger tells of it %q", got)
		}
	}, all...)
}

// TestLostLeaseEndsAllAtWork checks that losing the lease ends the attempts of every
// batch and all writes. The next pass acquires the lease again.
func TestLostLeaseEndsAllAtWork(t *testing.T) {
	held := &takenLease{}
	all := []*spec.Certificate{at("slow", "first")}
	synctest.Test(t, func(t *testing.T) {
		w := reconciletest.NewWorld(t, all...)
		w.Opts.Now, w.Ca.Now, w.Opts.Lease = time.Now, time.Now, held
		w.Desired.Issuers["slow"] = &spec.Issuer{Name: "slow", Directory: "https://slow.example/dir"}
		s := &slowWorld{World: w, repo: &reconciletest.MemRepo{Desired: w.Desired}, slow: &slowCA{MemCA: w.Ca, held: map[string]chan error{}, stays: map[string]int{}}}
		s.nudge = make(chan struct{}, 1)
		s.start(reconcile.LoopOptions{Interval: time.Hour, Nudge: s.nudge})
		time.Sleep(10 * time.Second)
		s.declare(append(all, at("slow", "second"))...)
		s.nudge <- struct{}{}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if busy := s.busy(); len(busy) != 2 {
			t.Fatalf("at work: %v", busy)
		}
		held.give("another")
		time.Sleep(2 * lease.LeaseRefresh)
		synctest.Wait()
		if busy := s.busy(); len(busy) != 0 {
			t.Errorf("at work without the lease: %v", busy)
		}
		if es := w.Ledger.Events(t); len(es) != 0 {
			t.Errorf("the ledger tells %+v", es)
		}
		held.give("")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if busy := s.busy(); len(busy) != 2 {
			t.Errorf("at work with the lease again: %v", busy)
		}
		if n, _ := w.Ca.Ordered(); n != 2 {
			t.Errorf("%d orders", n)
		}
		s.stop()
	})
}

// takenLease is a lease that a test can give to another holder.
type takenLease struct {
	mu    sync.Mutex
	other string
}

func (l *takenLease) give(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.other = to
}

func (l *takenLease) Acquire(context.Context) (bool, string, time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.other == "", l.other, time.Now().Add(time.Minute), nil
}

func (l *takenLease) Release(context.Context) error { return nil }

// TestStoppedWhileAtWork checks that the loop stops at once without recording a
// failure, and that the next process continues with the same order and key.
func TestStoppedWhileAtWork(t *testing.T) {
	slowly(t, reconcile.LoopOptions{Interval: time.Hour}, func(w *slowWorld) {
		time.Sleep(time.Minute)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %s to end", took)
		}
		if got := w.outcomes("straggler"); len(got) != 0 {
			t.Errorf("the ledger tells %q", got)
		}
		w.slow.mu.Lock()
		w.slow.held = nil
		w.slow.mu.Unlock()
		w.start(reconcile.LoopOptions{Interval: time.Hour})
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != 2 || len(w.outcomes("straggler")) != 1 {
			t.Errorf("%d orders, the ledger tells %q", n, w.outcomes("straggler"))
		}
	}, at("slow", "straggler"), at("ca", "api"))
}

// TestSlowAnswersHoldUpNobody checks that a CA that answers slowly about renewal
// information delays neither renewals nor requests to another CA.
func TestSlowAnswersHoldUpNobody(t *testing.T) {
	all := []*spec.Certificate{at("ca", "quick")}
	for i := range 50 {
		all = append(all, at("slow", fmt.Sprintf("c%02d", i)))
	}
	slowly(t, reconcile.LoopOptions{Interval: 24 * time.Hour}, func(w *slowWorld) {
		w.slow.mu.Lock()
		held := w.slow.held
		w.slow.held = nil
		w.slow.mu.Unlock()
		for _, wait := range held {
			close(wait)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var asked atomic.Int64
		w.Ca.Mu.Lock()
		issued := w.LedgerRecords()
		w.Ca.Info = func(string) (from, to, again time.Time) {
			asked.Add(1)
			return time.Now().Add(-time.Hour), time.Now().Add(time.Hour), time.Now().Add(time.Hour)
		}
		w.Ca.Mu.Unlock()
		if issued != len(all) {
			t.Fatalf("%d certificates are issued", issued)
		}
		time.Sleep(2 * times.Day) // certroll asks again a CA that offered no renewal information
		if asked.Load() == 0 {
			t.Fatal("the good CA was not asked")
		}
		time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour + time.Second)))
		before, _ := w.Ca.Ordered()
		w.declare(append(slices.Clone(all), at("ca", "api"))...)
		w.nudge <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != before+1 {
			t.Errorf("%d orders within a second after it was declared", n-before)
		}
	}, all...)
}

// TestOverwrittenWithoutEnd checks that certroll restores a secret that somebody keeps
// overwriting at most once a minute, however fast they overwrite it.
func TestOverwrittenWithoutEnd(t *testing.T) {
	slowly(t, reconcile.LoopOptions{Interval: time.Hour}, func(w *slowWorld) {
		var writes atomic.Int64
		w.Vault.Mu.Lock()
		w.Vault.Fail = func(op, path string) error {
			if op == "write-metadata" && path == "secret/tls/api" { // right after certroll's write
				s := w.Vault.Secrets[path]
				s.Versions = append(s.Versions, reconciletest.MemVersion{Data: map[string]string{"certificate": "theirs"}})
				writes.Add(1)
			}
			return nil
		}
		s := w.Vault.Secrets["secret/tls/api"]
		s.Versions = append(s.Versions, reconciletest.MemVersion{Data: map[string]string{"certificate": "theirs"}})
		w.Vault.Mu.Unlock()
		time.Sleep(time.Hour + 20*time.Minute)
		if n := writes.Load(); n == 0 || n > 80 {
			t.Errorf("it was put back %d times", n)
		}
	}, at("ca", "api"), at("slow", "straggler"))
}

// TestLimitsCountWhatIsAtWork checks that orders in progress count against the CA's
// rate limits, although the ledger does not list them yet.
func TestLimitsCountWhatIsAtWork(t *testing.T) {
	slow := &spec.Issuer{Name: "slow", Directory: "https://slow.example/dir", Limits: &spec.Limits{Orders: spec.Limit{Burst: 2, Window: 3 * time.Hour}}}
	slowlyWith(t, reconcile.LoopOptions{Interval: 24 * time.Hour}, slow, func(w *slowWorld) {
		w.declare(at("slow", "a"), at("slow", "b"), at("slow", "c"))
		time.Sleep(10 * time.Second)
		w.nudge <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != 2 {
			t.Errorf("%d orders, of which the CA takes 2 in three hours", n)
		}
	}, at("slow", "a"))
}

// TestLimitsAddedWhileAtWork checks that limits added to an issuer's block also count
// an attempt that began under the old block.
func TestLimitsAddedWhileAtWork(t *testing.T) {
	before := &spec.Issuer{Name: "slow", Directory: "https://slow.example/dir"}
	slowlyWith(t, reconcile.LoopOptions{Interval: 24 * time.Hour}, before, func(w *slowWorld) {
		limited := *before
		limited.Limits = &spec.Limits{Orders: spec.Limit{Burst: 2, Window: 3 * time.Hour}}
		desired := *w.Desired
		desired.Issuers = map[string]*spec.Issuer{"ca": w.Desired.Issuers["ca"], "slow": &limited}
		desired.Certificates = []*spec.Certificate{at("slow", "a"), at("slow", "b"), at("slow", "c")}
		w.repo.Mu.Lock()
		w.repo.Desired = &desired
		w.repo.Mu.Unlock()
		time.Sleep(10 * time.Second)
		w.nudge <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, _ := w.Ca.Ordered(); n != 2 {
			t.Errorf("%d orders, of which the CA takes 2 in three hours", n)
		}
	}, at("slow", "a"))
}
