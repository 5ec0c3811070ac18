package apply_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/recorder"
)

// TestVaultThatGoesAwayIsOneProblem seals Vault, or revokes the token, at a random call
// during a first pass. Vault returns later, and the outage must cost one problem and no
// extra orders.
func TestVaultThatGoesAwayIsOneProblem(t *testing.T) {
	const n = 20
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
				rng := rand.New(rand.NewPCG(seed, 1))
				s := w.Sealed(60+rng.IntN(200), rng.IntN(2) == 0)
				orders := w.Ca.Calls
				var away reconcile.Pass
				stop := w.Keep(repo, reconcile.LoopOptions{Passed: func(p reconcile.Pass) {
					if s.IsSealed() {
						away = p
					}
				}})
				time.Sleep(time.Duration(1+rng.IntN(600)) * time.Second)
				synctest.Wait()
				if !s.IsSealed() {
					t.Fatal("it was never sealed")
				}
				if away.Err == nil || len(away.Outages) != 1 || away.Outages[0].Side != recorder.SideLooked.ID() {
					t.Errorf("the pass says %v, outages %+v", away.Err, away.Outages)
				}
				s.Unseal()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				stop()
				w.OneProblem(t, n)
				if orders["order"] != n {
					t.Errorf("%d orders for %d certificates", orders["order"], n)
				}
			}, reconciletest.Crowd(n, "example.com")...)
		})
	}
}

// TestApplyWhereVaultGoesAway checks the same for certroll apply, where each run is a
// separate process.
func TestApplyWhereVaultGoesAway(t *testing.T) {
	const n, parallel = 20, 4
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			w := reconciletest.NewWorld(t, reconciletest.Crowd(n, "example.com")...)
			w.Opts.Parallel = parallel
			r, planned := w.Planned()
			s := w.Sealed(25+rng.IntN(200), rng.IntN(2) == 0)
			report, err := r.Apply(context.Background(), w.Desired, ledger.Revision{}, planned)
			if !s.IsSealed() {
				t.Fatal("it was never sealed")
			}
			if err == nil || !attempt.SaysAway(err) {
				t.Errorf("apply ended with %v", err)
			}
			if report.Failed() > 0 || report.Interrupted+len(report.Results) != n || report.Interrupted == 0 {
				t.Errorf("%d failed, %d done, %d left to the next run", report.Failed(), len(report.Results), report.Interrupted)
			}
			// After the outage begins, each running attempt may call Vault at most once
			// more. Then come the closing calls: deleting pending secrets, and the
			// checkpoint.
			if s.Asked > 2*parallel+2 {
				t.Errorf("a sealed Vault was asked %d times", s.Asked)
			}
			s.Unseal()
			w.Settle()
			w.OneProblem(t, n)
			// A second order is allowed only where Vault did not store the first
			// order's URL.
			if w.Ca.Calls["order"] > n+parallel {
				t.Errorf("%d orders for %d certificates", w.Ca.Calls["order"], n)
			}
		})
	}
}

// TestVaultThatKeepsGoingAway checks that a Vault that keeps failing does not cause
// endless orders: after several runs that crashed, the certificate backs off as after
// any failure.
func TestVaultThatKeepsGoingAway(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	tries := 0
	for range 60 {
		w.Vault.Fail = nil
		r, planned := w.Planned()
		w.Vault.Fail = func(op, path string) error {
			// Vault fails at the write of the order's URL.
			if op == "write" && path == "secret/certroll/pending/api" && w.Vault.Secrets[path] != nil && len(w.Vault.Secrets[path].Versions) > tries {
				tries = len(w.Vault.Secrets[path].Versions)
				return &reconciletest.SealedError{CaError: reconciletest.CaError{Code: "vault", Text: "sealed"}}
			}
			return nil
		}
		if _, err := r.Apply(context.Background(), w.Desired, ledger.Revision{}, planned); err == nil && tries == 0 {
			t.Fatal("Vault was never sealed")
		}
		w.At = w.At.Add(time.Minute)
	}
	if n := w.Ca.Calls["order"]; n > 10 {
		t.Errorf("%d orders within an hour", n)
	}
}

// TestSlowCallIsNoAbsence checks that one Vault call that times out fails only its
// certificate if Vault answers the next call.
func TestSlowCallIsNoAbsence(t *testing.T) {
	for name, reach := range map[string]error{"it answers": nil, "it does not": &reconciletest.SealedError{CaError: reconciletest.CaError{Code: "vault", Text: "timeout"}}} {
		t.Run(name, func(t *testing.T) {
			r := reconciletest.NewWorld(t).Reconciler()
			r.Secrets = reachable{r.Secrets, reach}
			err := fmt.Errorf("writing: %w", lateError{&reconciletest.SealedError{CaError: reconciletest.CaError{Code: "vault", Text: "late"}}})
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

// lateError is an error that also counts as an exceeded deadline.
type lateError struct{ *reconciletest.SealedError }

func (lateError) Is(err error) bool { return err == context.DeadlineExceeded }
