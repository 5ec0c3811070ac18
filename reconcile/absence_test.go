package reconcile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/recorder"
)

// sealedError is what a Vault says that is sealed; dead: one that takes the token no more.
type sealedError struct {
	caError
	dead bool
}

func (e *sealedError) Away() bool      { return !e.dead }
func (e *sealedError) DeadToken() bool { return e.dead }

// sealing is a Vault that is sealed at its nth call and until it is unsealed. Before
// the nth it answers after a moment, so that what is side by side is mixed.
type sealing struct {
	mu     sync.Mutex
	vault  *memVault
	left   int // calls until it is sealed
	dead   bool
	sealed bool
	asked  int // while it was sealed
}

// sealed has the world's Vault go away at its nth call.
func (w *world) sealed(n int, dead bool) *sealing {
	s := &sealing{vault: w.vault, left: n, dead: dead}
	w.vault.fail = func(string, string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.left--; s.left < 0 {
			s.sealed = true
			s.asked++
			text := "Vault answered 503: Vault is sealed"
			if s.dead {
				text = "Vault answered 403: permission denied; invalid token"
			}
			return &sealedError{caError{class: "vault", text: text}, s.dead}
		}
		return nil
	}
	return s
}

// unseal has it answer again.
func (s *sealing) unseal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.sealed = 1<<30, false
}

func (s *sealing) isSealed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealed
}

// oneProblem demands what a Vault that went away once is told as: one event and its
// end, no failure of a certificate, and all live in the end.
func (w *world) oneProblem(t *testing.T, n int) {
	t.Helper()
	if told := w.toldOutages(t); !slices.Equal(told, []ledger.Status{ledger.Failed, ledger.Success}) {
		t.Errorf("told of Vault: %v, want one failure and its end", told)
	}
	live := 0
	for _, e := range w.ledger.events(t) {
		switch {
		case e.Operation == ledger.KindPass:
		case e.Status == ledger.Failed || e.Status == ledger.Denied:
			t.Errorf("a failure of its own: %+v", e)
		case e.Operation.Orders() && e.Status == ledger.Success:
			live++
		}
	}
	if live != n {
		t.Errorf("%d are told as issued, want %d", live, n)
	}
	for _, c := range w.desired.Certificates {
		if r := w.ledger.record(t, c.Name); r.State != ledger.StateLive || r.Failures > 0 || r.Hold != nil {
			t.Errorf("record of %s: %+v", c.Name, r)
		}
		w.secretPair(c.Vault.Path)
	}
}

// TestVaultThatGoesAwayIsOneProblem: Vault is sealed at a random call in the middle of
// a first pass, or takes the token no more, and is back after a while.
func TestVaultThatGoesAwayIsOneProblem(t *testing.T) {
	const n = 20
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(w *world, repo *memRepo) {
				rng := rand.New(rand.NewPCG(seed, 1))
				s := w.sealed(60+rng.IntN(200), rng.IntN(2) == 0)
				orders := w.ca.calls
				var away Pass
				stop := w.keep(repo, LoopOptions{Passed: func(p Pass) {
					if s.isSealed() {
						away = p
					}
				}})
				time.Sleep(time.Duration(1+rng.IntN(600)) * time.Second)
				synctest.Wait()
				if !s.isSealed() {
					t.Fatal("it was never sealed")
				}
				if away.Err == nil || len(away.Outages) != 1 || away.Outages[0].Side != recorder.SideLooked.ID() {
					t.Errorf("the pass says %v, outages %+v", away.Err, away.Outages)
				}
				s.unseal()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				stop()
				w.oneProblem(t, n)
				if orders["order"] != n {
					t.Errorf("%d orders for %d certificates", orders["order"], n)
				}
			}, crowd(n, "example.com")...)
		})
	}
}

// TestApplyWhereVaultGoesAway: the same for apply, each of which is a process of its own.
func TestApplyWhereVaultGoesAway(t *testing.T) {
	const n, parallel = 20, 4
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			w := newWorld(t, crowd(n, "example.com")...)
			w.opts.Parallel = parallel
			r, actions := w.planned()
			s := w.sealed(25+rng.IntN(200), rng.IntN(2) == 0)
			report, err := r.Apply(context.Background(), w.desired, ledger.Revision{}, actions)
			if !s.isSealed() {
				t.Fatal("it was never sealed")
			}
			if err == nil || !attempt.SaysAway(err) {
				t.Errorf("apply ended with %v", err)
			}
			if report.Failed() > 0 || report.Interrupted+len(report.Results) != n || report.Interrupted == 0 {
				t.Errorf("%d failed, %d done, %d left to the next run", report.Failed(), len(report.Results), report.Interrupted)
			}
			// Who was at work asked once more at most, then the end: whose pending secret is to go, the anchor.
			if s.asked > 2*parallel+2 {
				t.Errorf("a sealed Vault was asked %d times", s.asked)
			}
			s.unseal()
			w.settle()
			w.oneProblem(t, n)
			// An order is made again only where Vault did not take its URL.
			if w.ca.calls["order"] > n+parallel {
				t.Errorf("%d orders for %d certificates", w.ca.calls["order"], n)
			}
		})
	}
}

// TestVaultThatKeepsGoingAway costs no order without end: after some runs that ended
// without a word the certificate waits as after any failure.
func TestVaultThatKeepsGoingAway(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	tries := 0
	for range 60 {
		w.vault.fail = nil
		r, actions := w.planned()
		w.vault.fail = func(op, path string) error {
			// The URL of the order is what Vault does not take any more.
			if op == "write" && path == "secret/certroll/pending/api" && w.vault.secrets[path] != nil && len(w.vault.secrets[path].versions) > tries {
				tries = len(w.vault.secrets[path].versions)
				return &sealedError{caError: caError{class: "vault", text: "sealed"}}
			}
			return nil
		}
		if _, err := r.Apply(context.Background(), w.desired, ledger.Revision{}, actions); err == nil && tries == 0 {
			t.Fatal("Vault was never sealed")
		}
		w.at = w.at.Add(time.Minute)
	}
	if n := w.ca.calls["order"]; n > 10 {
		t.Errorf("%d orders within an hour", n)
	}
}

// TestSlowCallIsNoAbsence: one call that took too long is its certificate's failure
// where Vault answers the next one.
func TestSlowCallIsNoAbsence(t *testing.T) {
	for name, reach := range map[string]error{"it answers": nil, "it does not": &sealedError{caError: caError{class: "vault", text: "timeout"}}} {
		t.Run(name, func(t *testing.T) {
			r := newWorld(t).reconciler()
			r.Secrets = reachable{r.Secrets, reach}
			err := fmt.Errorf("writing: %w", lateError{&sealedError{caError: caError{class: "vault", text: "late"}}})
			if got := r.IsAway(t.Context(), err); got != (reach != nil) {
				t.Errorf("away: %v", got)
			}
		})
	}
}

type reachable struct {
	pending.KV
	err error
}

func (r reachable) Reach(context.Context, string) error { return r.err }

// lateError is also a deadline that passed.
type lateError struct{ *sealedError }

func (lateError) Is(err error) bool { return err == context.DeadlineExceeded }
