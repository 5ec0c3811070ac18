package attempt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// nextWorld returns a world with one certificate that has key.next.
func nextWorld(t testing.TB) (*reconciletest.World, *spec.Certificate) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Key.Next = true
	return reconciletest.NewWorld(t, c), c
}

// TestNextKey checks that a renewal makes the published next key live and publishes a
// new one.
func TestNextKey(t *testing.T) {
	w, _ := nextWorld(t)
	w.Settle()
	first, next := w.CheckNext()
	if e := w.LastEvent(); e.Operation != ledger.KindIssue || e.KeyDigest != first || e.NextKey != next || !strings.Contains(e.Detail, "not published ahead") {
		t.Errorf("event: %+v", e)
	}
	reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	for n := range 3 {
		was := next
		w.At = w.At.Add(61 * times.Day)
		if a := w.Only(); a.Kind != ledger.KindRenew || a.Next == nil || a.Next.KeyDigest != was {
			t.Fatalf("plan %d: %+v", n, a)
		}
		w.Settle()
		var live string
		if live, next = w.CheckNext(); live != was || next == was {
			t.Errorf("renewal %d: live %s, published before %s, next %s", n, live, was, next)
		}
		if e := w.LastEvent(); e.Operation != ledger.KindRenew || e.KeyDigest != was || e.NextKey != next || !strings.Contains(e.Detail, "was published ahead, since") {
			t.Errorf("event %d: %+v", n, e)
		}
		reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	}
	w.NoKeys()
}

// TestNextKeyOnAndOff checks that certroll stages and withdraws a next key of a live
// certificate without an order or a new version of the secret.
func TestNextKeyOnAndOff(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	for n := range 2 {
		c.Key.Next = true
		reconciletest.Expect(t, w.Only(), ledger.KindStage, ledger.ReasonNextKey, "key.next is on")
		w.Settle()
		_, next := w.CheckNext()
		if e := w.LastEvent(); e.Operation != ledger.KindStage || e.Status != ledger.Success || e.NextKey != next || e.Actor != "A. Owner <owner@example.com>" {
			t.Errorf("event %d: %+v", n, e)
		}
		reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
		c.Key.Next = false
		reconciletest.Expect(t, w.Only(), ledger.KindStage, ledger.ReasonNextKeyOff, next)
		w.Settle()
		if e := w.LastEvent(); e.Reason != ledger.ReasonNextKeyOff || e.NextKey != "" || !strings.Contains(e.Detail, next) {
			t.Errorf("event %d: %+v", n, e)
		}
		custom := w.Vault.Secrets["secret/tls/api"].Custom
		if r := w.Ledger.Record(t, "api").Live; w.Staged() != nil || custom[observe.MetaNextKey]+custom[observe.MetaNextShape]+custom[observe.MetaNextSince] != "" || r.NextKeyDigest != "" || r.NextKeySince != nil {
			t.Errorf("it is not withdrawn: %v, %+v", custom, r)
		}
		reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	}
	if len(w.Ca.Orders) != 1 || w.Only().Secret.Version != 1 || len(w.Ledger.Events(t)) != 5 || len(w.Vault.Secrets) != 1 {
		t.Errorf("%d orders, version %d, %d events, %d secrets", len(w.Ca.Orders), w.Only().Secret.Version, len(w.Ledger.Events(t)), len(w.Vault.Secrets))
	}
}

// TestNextKeyLost checks that the plan names a next key deleted from Vault by its
// digest, and that an unreadable one counts as lost when it is needed.
func TestNextKeyLost(t *testing.T) {
	w, _ := nextWorld(t)
	w.Settle()
	_, was := w.CheckNext()
	at := observe.NextPath("certroll", "api")
	if err := w.Vault.Delete(t.Context(), "secret", at); err != nil {
		t.Fatal(err)
	}
	reconciletest.Expect(t, w.Only(), ledger.KindStage, ledger.ReasonNextKeyLost, was)
	w.Settle()
	_, next := w.CheckNext()
	if e := w.LastEvent(); e.Reason != ledger.ReasonNextKeyLost || e.NextKey != next || next == was || e.Cause != "drift" {
		t.Errorf("event: %+v", e)
	}
	if _, err := w.Vault.Write(t.Context(), "secret", at, map[string]string{"schema": "1", "key": "rubbish"}, 1); err != nil {
		t.Fatal(err)
	}
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	if live, _ := w.CheckNext(); live == next {
		t.Error("it used a key that could not be read")
	}
	if e := w.LastEvent(); e.Operation != ledger.KindRenew || !strings.Contains(e.Detail, "as none was staged") {
		t.Errorf("event: %+v", e)
	}
}

// TestNextKeyOfAnotherShape checks that a new key algorithm replaces the staged key,
// and that the reissue waits until the new key has been published for a day.
func TestNextKeyOfAnotherShape(t *testing.T) {
	w, c := nextWorld(t)
	w.Settle()
	_, was := w.CheckNext()
	w.At = w.At.Add(5 * times.Day)
	c.Key.Curve = "P-384"
	reconciletest.Expect(t, w.Only(), ledger.KindStage, ledger.ReasonNextKey, "SPKI SHA-256 "+was+") is replaced")
	w.Settle()
	_, next := w.CheckNext()
	a := w.Only()
	reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonNextKeyNew, "")
	if a.Wants != ledger.KindReissue || !a.NotBefore.Equal(w.At.Add(times.Day)) {
		t.Errorf("it waits until %s for %s", a.NotBefore, a.Wants)
	}
	w.At = a.NotBefore
	w.Settle()
	if live, _ := w.CheckNext(); live != next || w.Staged().Shape != "ecdsa-P-384" {
		t.Errorf("live %s, published before %s, staged %s", live, next, w.Staged().Shape)
	}
}

// TestNextKeyIsTheBackup checks that two rotations in a row replace both the live key
// and the staged one.
func TestNextKeyIsTheBackup(t *testing.T) {
	w, c := nextWorld(t)
	w.Settle()
	first, second := w.CheckNext()
	c.Rotate, c.RotateRevoke = "leaked", &spec.Revocation{Code: 1}
	w.Settle()
	live, third := w.CheckNext()
	if live != second || len(w.Ca.Revoked) != 1 {
		t.Errorf("live %s, want the backup %s; revoked %v", live, second, w.Ca.Revoked)
	}
	c.Rotate = "the backup too"
	w.Settle()
	if live, next := w.CheckNext(); live != third || next == first || next == second {
		t.Errorf("live %s, want %s; next %s", live, third, next)
	}
}

// TestNextKeyOfADraft checks that a failed attempt keeps its key and the published one,
// and that certroll discards a pending secret from before the key was staged.
func TestNextKeyOfADraft(t *testing.T) {
	w, c := nextWorld(t)
	c.Key.Next = false
	w.Settle()
	w.At = w.At.Add(61 * times.Day)
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			return &reconciletest.CaError{Code: "ca_unavailable", Text: "503"}
		}
		return nil
	}
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatal(report, err)
	}
	c.Key.Next = true // ends the hold
	w.Settle()
	_, next := w.CheckNext()
	w.At = w.At.Add(times.Day)
	for range 2 {
		if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
			t.Fatal(report, err)
		}
		if _, now := w.CheckNext(); now != next {
			t.Errorf("a failure changed the published key from %s to %s", next, now)
		}
		w.At = w.Only().NotBefore
	}
	w.Ca.Fail = nil
	w.Settle()
	if live, _ := w.CheckNext(); live != next {
		t.Errorf("live %s, published before %s", live, next)
	}
}

// TestNextKeyOfATakenOverSecret checks that certroll stages a key for an adopted
// secret.
func TestNextKeyOfATakenOverSecret(t *testing.T) {
	w, _ := nextWorld(t)
	w.Settle()
	data, _, err := w.Vault.Read(t.Context(), "secret", "tls/api")
	if err != nil {
		t.Fatal(err)
	}
	other, c := nextWorld(t)
	if _, err := other.Vault.Write(t.Context(), "secret", "tls/api", data, 0); err != nil {
		t.Fatal(err)
	}
	reconciletest.Expect(t, other.Only(), ledger.KindAdopt, ledger.ReasonForeign, "")
	other.Settle()
	other.CheckNext()
	reconciletest.Expect(t, other.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	// Drift: certroll adopts the same pair written again, and keeps the published key.
	_, next := other.CheckNext()
	if _, err := other.Vault.Write(t.Context(), "secret", c.Vault.Path, data, 1); err != nil {
		t.Fatal(err)
	}
	other.Settle()
	if _, now := other.CheckNext(); now != next {
		t.Errorf("drift changed the published key from %s to %s", next, now)
	}
}

// TestNextKeyOfARetired checks that the next key is deleted with its certificate for
// every on_remove.
func TestNextKeyOfARetired(t *testing.T) {
	for _, onRemove := range []spec.OnRemove{spec.Keep, spec.Delete} {
		w, c := nextWorld(t)
		c.OnRemove = onRemove
		w.Settle()
		_, next := w.CheckNext()
		w.Desired = reconciletest.Desire()
		reconciletest.Expect(t, w.Only(), ledger.KindRetire, ledger.ReasonRemoved, next)
		w.Settle()
		if r := w.Ledger.Record(t, "api").Live; w.Staged() != nil || r.NextKeyDigest != "" || w.Vault.Secrets["secret/tls/api"].Custom[observe.MetaNextKey] != "" {
			t.Errorf("%s: it is not withdrawn: %+v", onRemove, r)
		}
		if as := w.Plan(); len(as) != 0 {
			t.Errorf("plan afterwards: %+v", as)
		}
	}
}

// TestNextKeyOutlivesTheLedger checks that certroll knows the published key without the
// ledger.
func TestNextKeyOutlivesTheLedger(t *testing.T) {
	w, _ := nextWorld(t)
	w.Settle()
	_, next := w.CheckNext()
	w.Ledger = reconciletest.NewMemLedger()
	w.Settle()
	if _, now := w.CheckNext(); now != next {
		t.Errorf("a lost ledger changed the published key from %s to %s", next, now)
	}
}

// TestNextKeyCrashAtEveryCall checks that wherever a run dies, the published key
// becomes live with one order, and every change is recorded once.
func TestNextKeyCrashAtEveryCall(t *testing.T) {
	for name, tc := range map[string]struct {
		begin  func(*reconciletest.World, *spec.Certificate)
		orders int
		events int
	}{
		"a first issue": {func(*reconciletest.World, *spec.Certificate) {}, 1, 1},
		"a renewal":     {func(w *reconciletest.World, c *spec.Certificate) { w.Settle(); w.At = w.At.Add(61 * times.Day) }, 2, 2},
		"turned on": {func(w *reconciletest.World, c *spec.Certificate) {
			c.Key.Next = false
			w.Settle()
			c.Key.Next = true
		}, 1, 2},
		"turned off and on": {func(w *reconciletest.World, c *spec.Certificate) {
			w.Settle()
			c.Key.Next = false
			w.Settle()
			c.Key.Next = true
		}, 1, 3},
	} {
		for n := 1; ; n++ {
			w, c := nextWorld(t)
			tc.begin(w, c)
			published := ""
			if s := w.Vault.Secrets["secret/tls/api"]; s != nil {
				published = s.Custom[observe.MetaNextKey]
			}
			dead := dieAtCall(w, n)
			w.Settle()
			w.Settle()
			t.Run(fmt.Sprint(name, ", call ", n), func(t *testing.T) {
				w.T = t
				live, _ := w.CheckNext()
				if published != "" && live != published {
					t.Errorf("live %s, published %s", live, published)
				}
				if a := w.Only(); a.Kind != ledger.KindNone || len(w.Ca.Orders) != tc.orders {
					t.Errorf("plan afterwards: %s %s; %d orders, want %d", a.Kind, a.Detail, len(w.Ca.Orders), tc.orders)
				}
				es := w.Ledger.Events(t)
				if len(es) != tc.events || w.LastEvent().NextKey != w.Staged().Digest {
					t.Errorf("%d events, want %d: %+v", len(es), tc.events, es)
				}
				if len(w.Vault.Secrets) != 2 {
					t.Errorf("%d secrets are left, want 2", len(w.Vault.Secrets))
				}
				w.NoKeys()
			})
			if !dead {
				break
			}
			if n > 100 {
				t.Fatal("it never ends")
			}
		}
	}
}

// dieAtCall applies with every port failing from its n-th call on, and reports whether
// the run reached that call.
func dieAtCall(w *reconciletest.World, n int) bool {
	var calls atomic.Int64
	var dead atomic.Bool
	step := func() error {
		if calls.Add(1) < int64(n) {
			return nil
		}
		dead.Store(true)
		return errors.New("crash")
	}
	w.Vault.Fail = func(string, string) error { return step() }
	w.Ca.Fail = func(string, int) error { return step() }
	r := apply.New(&observe.Observer{Metadata: w.Vault, StateMount: "secret", StatePrefix: "certroll"}, w.Vault, w.Ca,
		&reconciletest.DyingLedger{MemLedger: w.Ledger, Dead: &dead}, &reconciletest.DyingJournal{MemJournal: w.Journal, Dead: &dead}, w.Opts)
	if obs, err := r.Observe(context.Background(), w.Desired); err == nil {
		_, _ = r.Apply(context.Background(), w.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(w.Desired, obs, w.At))
	}
	w.Vault.Fail, w.Ca.Fail = nil, nil
	return dead.Load()
}

// TestNextKeyThatCannotBeStaged checks that a next key that cannot be staged, or no
// longer can be, does not delay a renewal.
func TestNextKeyThatCannotBeStaged(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprint("staged before: ", before), func(t *testing.T) {
			w, c := nextWorld(t)
			c.Key.Next = before
			w.Settle()
			c.Key.Next = true
			w.Vault.Fail = func(op, path string) error {
				if strings.Contains(path, "pending/next/") && op != "metadata" {
					return errors.New("permission denied")
				}
				return nil
			}
			for range 3 {
				was := w.SecretPair("tls/api").Leaf().SerialNumber
				for end := w.At.Add(89 * times.Day); w.At.Before(end); w.At = w.At.Add(6 * time.Hour) {
					if _, err := w.Apply(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if is := w.SecretPair("tls/api").Leaf(); is.SerialNumber.Cmp(was) == 0 || !is.NotAfter.After(w.At) {
					t.Fatalf("it is not renewed, and ends %s", is.NotAfter)
				}
				if r := w.Ledger.Record(t, "api"); r.Live.Serial != keypair.SerialOf(w.SecretPair("tls/api").Leaf()) || r.LastFailure == nil || r.LastFailure.Operation != ledger.KindStage {
					t.Errorf("the record is %+v, failed last %+v", r, r.LastFailure)
				}
			}
		})
	}
}
