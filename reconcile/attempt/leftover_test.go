package attempt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestNothingIsLeftOfARunThatDied lets a first issue die at each call and then removes
// the block: no key may remain in Vault without a record.
func TestNothingIsLeftOfARunThatDied(t *testing.T) {
	for n := 1; ; n++ {
		c := reconciletest.Certificate("api", "api.example.com")
		c.Key.Next = true
		w := reconciletest.NewWorld(t, c)
		died := w.DyingAt(n)
		left, recorded := w.KeysOfState(), len(w.Journal.Lines) > 0 || len(w.Ledger.Messages) > 0
		w.Desired.Certificates = nil
		w.Settle()
		if !recorded && len(w.KeysOfState()) != len(left) {
			t.Errorf("call %d: what another replica may have begun a moment ago is destroyed", n)
		}
		w.At = w.At.Add(2 * plan.LeftoverAfter)
		w.Settle()
		t.Run(fmt.Sprint("call ", n), func(t *testing.T) {
			if keys := w.KeysOfState(); len(keys) > 0 {
				t.Errorf("of %q these stay: %q", left, keys)
			}
			if len(left) > 0 {
				e := w.Ledger.Events(t)
				if len(e) == 0 {
					t.Fatal("nothing is told of it")
				}
				if last := e[len(e)-1]; last.Operation != ledger.KindRetire || last.Status != ledger.Success || last.Reason != ledger.ReasonRemoved {
					t.Errorf("it is told as %+v", last)
				}
				if _, written := w.Vault.Secrets["secret/tls/api"]; written && len(e) == 1 && !strings.Contains(e[0].Detail, "secret/tls/api") {
					t.Errorf("that the pair stays is not told: %q", e[0].Detail)
				}
			}
			if again := w.Settle(); again.Commit != "" || len(w.Plan()) != 0 {
				t.Errorf("there is more to do afterwards: %+v", w.Plan())
			}
		})
		if !died {
			return
		}
		if n > 100 {
			t.Fatal("it never ends")
		}
	}
}

// TestLeftoversOfOthers checks that certroll keeps leftovers of another ledger and of
// strangers, and all of them if the listing was incomplete.
func TestLeftoversOfOthers(t *testing.T) {
	draft := reconciletest.Certificate("api", "api.example.com")
	for name, spoil := range map[string]func(w *reconciletest.World, at string){
		"another ledger": func(w *reconciletest.World, at string) { w.Vault.Secrets[at].Custom[observe.MetaLedger] = "b2" },
		"no ledger's":    func(w *reconciletest.World, at string) { delete(w.Vault.Secrets[at].Custom, observe.MetaLedger) },
		"not certroll's": func(w *reconciletest.World, at string) { delete(w.Vault.Secrets[at].Custom, observe.MetaManagedBy) },
		"the block is there": func(w *reconciletest.World, _ string) {
			w.Desired.Certificates = []*spec.Certificate{draft}
			w.Ca.Fail = func(string, int) error { return errors.New("away") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, draft)
			for n := 1; len(w.KeysOfState()) == 0; n++ {
				w.DyingAt(n)
			}
			w.Desired.Certificates = nil
			w.At = w.At.Add(times.Day)
			spoil(w, "secret/certroll/pending/api")
			if _, err := w.Apply(context.Background()); err != nil {
				t.Fatal(err)
			}
			if len(w.KeysOfState()) != 1 {
				t.Error("it was destroyed")
			}
		})
	}
}

// TestLeftoversOfALookThatWasNotWhole checks that a path that an incomplete listing
// lacks does not count as deleted.
func TestLeftoversOfALookThatWasNotWhole(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	for n := 1; len(w.KeysOfState()) == 0; n++ {
		w.DyingAt(n)
	}
	w.At = w.At.Add(times.Day)
	w.Desired.Certificates = []*spec.Certificate{reconciletest.Certificate("other", "other.example.com"), reconciletest.Certificate("third", "third.example.com")}
	r := w.Reconciler()
	if _, err := r.Observe(t.Context(), w.Desired); err != nil {
		t.Fatal(err)
	}
	retired := func() bool {
		obs, err := r.ObserveAgain(t.Context(), w.Desired, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(plan.New(w.Desired, obs, w.At).Actions, func(a plan.Action) bool { return a.Kind == ledger.KindRetire })
	}
	if !retired() {
		t.Fatal("the leftover is not seen")
	}
	w.Vault.Fail = func(_, path string) error {
		if path == "secret/tls/other" {
			return observe.PlaceError{Err: errors.New("forbidden")}
		}
		return nil
	}
	if retired() {
		t.Error("it is destroyed by a look at a part")
	}
	w.Vault.Fail = nil
	w.Ledger.Err = errors.New("Git is away")
	if retired() {
		t.Error("it is destroyed by a ledger of before")
	}
}

// TestLeftoverOfANameThatCameBack checks a certificate that was retired, declared
// again, and whose run died: its first on_remove is not applied a second time.
func TestLeftoverOfANameThatCameBack(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.OnRemove = spec.Delete
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	w.Desired.Certificates = nil
	w.Settle()
	w.Desired.Certificates = []*spec.Certificate{c}
	for n := 1; len(w.KeysOfState()) == 0; n++ {
		w.DyingAt(n)
	}
	w.At = w.At.Add(times.Day)
	w.Vault.Secrets["secret/tls/api"].Versions[0].Deleted = false // somebody undeleted it
	w.Desired.Certificates = nil
	w.Vault.Fail = func(op, _ string) error {
		if op == "destroy" {
			return errors.New("permission denied")
		}
		return nil
	}
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("what cannot be destroyed is %+v: %v", report, err)
	}
	if a := w.Only(); a.Kind != ledger.KindHold || a.Reason != ledger.ReasonBackoff {
		t.Errorf("what failed does not wait: %+v", a)
	}
	w.Vault.Fail, w.At = nil, w.At.Add(times.Day)
	w.Settle()
	if len(w.KeysOfState()) > 0 {
		t.Errorf("these stay: %q", w.KeysOfState())
	}
	if w.Vault.Secrets["secret/tls/api"].Versions[0].Deleted {
		t.Error("the secret was deleted again")
	}
}

// TestStagedByAnotherAMomentAgo checks a certificate declared again with key.next,
// whose run died right after staging a key, on a revision that this process does not
// know yet.
func TestStagedByAnotherAMomentAgo(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	w.Desired.Certificates = nil
	w.Settle()
	c.Key.Next = true
	w.Desired.Certificates = []*spec.Certificate{c}
	r, planned := w.Planned()
	var died atomic.Bool
	died.Store(true) // before the run records it
	r.Writer.Ledger, r.Writer.Journal = &reconciletest.DyingLedger{MemLedger: w.Ledger, Dead: &died}, &reconciletest.DyingJournal{MemJournal: w.Journal, Dead: &died}
	if _, err := r.Apply(t.Context(), w.Desired, ledger.Revision{}, planned); err == nil || len(w.KeysOfState()) != 1 || len(w.Journal.Lines) > 0 {
		t.Fatalf("%q are there, %d entries, %v", w.KeysOfState(), len(w.Journal.Lines), err)
	}
	w.Desired.Certificates = nil
	if as := w.Plan(); len(as) > 0 {
		t.Errorf("the staged key is destroyed: %+v", as)
	}
	w.At = w.At.Add(2 * plan.LeftoverAfter)
	w.Settle()
	if len(w.KeysOfState()) > 0 {
		t.Errorf("these stay: %q", w.KeysOfState())
	}
}
