package reconcile

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
	"certroll/reconcile/times"
	"certroll/spec"
)

// keysOfState are the secrets of certroll's own state that hold something.
func (w *world) keysOfState() []string {
	var paths []string
	for path, s := range w.vault.secrets {
		if strings.HasPrefix(path, "secret/certroll/") && len(s.versions) > 0 {
			paths = append(paths, path)
		}
	}
	return slices.Sorted(slices.Values(paths))
}

// TestNothingIsLeftOfARunThatDied on a first issue, whenever it did, once the
// block is gone: no key stays of which no record speaks.
func TestNothingIsLeftOfARunThatDied(t *testing.T) {
	for n := 1; ; n++ {
		c := certificate("api", "api.example.com")
		c.Key.Next = true
		w := newWorld(t, c)
		died := w.dyingAt(n)
		left, told := w.keysOfState(), len(w.journal.lines) > 0 || len(w.ledger.messages) > 0
		w.desired.Certificates = nil
		w.settle()
		if !told && len(w.keysOfState()) != len(left) {
			t.Errorf("call %d: what another replica may have begun a moment ago is destroyed", n)
		}
		w.at = w.at.Add(2 * plan.LeftoverAfter)
		w.settle()
		t.Run(fmt.Sprint("call ", n), func(t *testing.T) {
			if keys := w.keysOfState(); len(keys) > 0 {
				t.Errorf("of %q these stay: %q", left, keys)
			}
			if len(left) > 0 {
				e := w.ledger.events(t)
				if len(e) == 0 {
					t.Fatal("nothing is told of it")
				}
				if last := e[len(e)-1]; last.Operation != ledger.KindRetire || last.Status != ledger.Success || last.Reason != ledger.ReasonRemoved {
					t.Errorf("it is told as %+v", last)
				}
				if _, written := w.vault.secrets["secret/tls/api"]; written && len(e) == 1 && !strings.Contains(e[0].Detail, "secret/tls/api") {
					t.Errorf("that the pair stays is not told: %q", e[0].Detail)
				}
			}
			if again := w.settle(); again.Commit != "" || len(w.plan()) != 0 {
				t.Errorf("there is more to do afterwards: %+v", w.plan())
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

// TestLeftoversOfOthers stay: another ledger's, a stranger's, and all where the
// look was not whole.
func TestLeftoversOfOthers(t *testing.T) {
	draft := certificate("api", "api.example.com")
	for name, spoil := range map[string]func(w *world, at string){
		"another ledger": func(w *world, at string) { w.vault.secrets[at].custom[observe.MetaLedger] = "b2" },
		"no ledger's":    func(w *world, at string) { delete(w.vault.secrets[at].custom, observe.MetaLedger) },
		"not certroll's": func(w *world, at string) { delete(w.vault.secrets[at].custom, observe.MetaManagedBy) },
		"the block is there": func(w *world, _ string) {
			w.desired.Certificates = []*spec.Certificate{draft}
			w.ca.fail = func(string, int) error { return errors.New("away") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, draft)
			for n := 1; len(w.keysOfState()) == 0; n++ {
				w.dyingAt(n)
			}
			w.desired.Certificates = nil
			w.at = w.at.Add(times.Day)
			spoil(w, "secret/certroll/pending/api")
			if _, err := w.apply(context.Background()); err != nil {
				t.Fatal(err)
			}
			if len(w.keysOfState()) != 1 {
				t.Error("it was destroyed")
			}
		})
	}
}

// TestLeftoversOfALookThatWasNotWhole: what is not seen is not taken for gone.
func TestLeftoversOfALookThatWasNotWhole(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	for n := 1; len(w.keysOfState()) == 0; n++ {
		w.dyingAt(n)
	}
	w.at = w.at.Add(times.Day)
	w.desired.Certificates = []*spec.Certificate{certificate("other", "other.example.com"), certificate("third", "third.example.com")}
	r := w.reconciler()
	if _, err := r.Observe(t.Context(), w.desired); err != nil {
		t.Fatal(err)
	}
	retired := func() bool {
		obs, err := r.ObserveAgain(t.Context(), w.desired, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(plan.Plan(w.desired, obs, w.at), func(a plan.Action) bool { return a.Kind == ledger.KindRetire })
	}
	if !retired() {
		t.Fatal("the leftover is not seen")
	}
	w.vault.fail = func(_, path string) error {
		if path == "secret/tls/other" {
			return observe.PlaceError{Err: errors.New("forbidden")}
		}
		return nil
	}
	if retired() {
		t.Error("it is destroyed by a look at a part")
	}
	w.vault.fail = nil
	w.ledger.err = errors.New("Git is away")
	if retired() {
		t.Error("it is destroyed by a ledger of before")
	}
}

// TestLeftoverOfANameThatCameBack: a name that was retired, came back, and whose
// run died. What on_remove said the first time is not done a second time.
func TestLeftoverOfANameThatCameBack(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.OnRemove = spec.Delete
	w := newWorld(t, c)
	w.settle()
	w.desired.Certificates = nil
	w.settle()
	w.desired.Certificates = []*spec.Certificate{c}
	for n := 1; len(w.keysOfState()) == 0; n++ {
		w.dyingAt(n)
	}
	w.at = w.at.Add(times.Day)
	w.vault.secrets["secret/tls/api"].versions[0].deleted = false // somebody brought it back
	w.desired.Certificates = nil
	w.vault.fail = func(op, _ string) error {
		if op == "destroy" {
			return errors.New("permission denied")
		}
		return nil
	}
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("what cannot be destroyed is %+v: %v", report, err)
	}
	if a := w.only(); a.Kind != ledger.KindHold || a.Reason != ledger.ReasonBackoff {
		t.Errorf("what failed does not wait: %+v", a)
	}
	w.vault.fail, w.at = nil, w.at.Add(times.Day)
	w.settle()
	if len(w.keysOfState()) > 0 {
		t.Errorf("these stay: %q", w.keysOfState())
	}
	if w.vault.secrets["secret/tls/api"].versions[0].deleted {
		t.Error("the secret was deleted again")
	}
}

// TestStagedByAnotherAMomentAgo: a name that came back with key.next, and a run
// that died once it had staged a key, on a revision that is not known here yet.
func TestStagedByAnotherAMomentAgo(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	w.desired.Certificates = nil
	w.settle()
	c.Key.Next = true
	w.desired.Certificates = []*spec.Certificate{c}
	r, actions := w.planned()
	var died atomic.Bool
	died.Store(true) // before it can tell
	r.Writer.Ledger, r.Writer.Journal = &dyingLedger{w.ledger, &died}, &dyingJournal{w.journal, &died}
	if _, err := r.Apply(t.Context(), w.desired, ledger.Revision{}, actions); err == nil || len(w.keysOfState()) != 1 || len(w.journal.lines) > 0 {
		t.Fatalf("%q are there, %d entries, %v", w.keysOfState(), len(w.journal.lines), err)
	}
	w.desired.Certificates = nil
	if as := w.plan(); len(as) > 0 {
		t.Errorf("the staged key is destroyed: %+v", as)
	}
	w.at = w.at.Add(2 * plan.LeftoverAfter)
	w.settle()
	if len(w.keysOfState()) > 0 {
		t.Errorf("these stay: %q", w.keysOfState())
	}
}
