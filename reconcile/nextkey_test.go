package reconcile

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
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// nextWorld has one certificate with key.next.
func nextWorld(t testing.TB) (*world, *spec.Certificate) {
	c := certificate("api", "api.example.com")
	c.Key.Next = true
	return newWorld(t, c), c
}

// staged is the next key in Vault.
func (w *world) staged() *pending.StagedKey {
	w.t.Helper()
	n, err := w.reconciler().Next.Load(context.Background(), "api")
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// checkNext demands that the key that is staged, the metadata and the record say
// the same, of a key that is not live, and returns both digests.
func (w *world) checkNext() (live, next string) {
	w.t.Helper()
	live, err := keypair.KeyDigest(w.secretPair("tls/api").Key.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	n := w.staged()
	if n == nil {
		w.t.Fatal("no key is staged")
	}
	custom := w.vault.secrets["secret/tls/api"].custom
	r := w.ledger.record(w.t, "api").Live
	if n.Digest != custom[observe.MetaNextKey] || n.Digest != r.NextKeyDigest || n.Digest == live || r.KeyDigest != live {
		w.t.Errorf("staged %s, published %s, told %s, live %s", n.Digest, custom[observe.MetaNextKey], r.NextKeyDigest, live)
	}
	if r.NextKeySince == nil || !r.NextKeySince.Equal(n.Since) || r.NextKeyShape != n.Shape || custom[observe.MetaNextShape] != n.Shape {
		w.t.Errorf("record %+v, staged %s since %s", r, n.Shape, n.Since)
	}
	if v := w.vault.secrets["secret/"+observe.NextPath("certroll", "api")]; len(v.versions) != 1 {
		w.t.Errorf("%d versions of staged keys are kept", len(v.versions))
	}
	return live, n.Digest
}

func (w *world) lastEvent() ledger.Event {
	w.t.Helper()
	es := w.ledger.events(w.t)
	return es[len(es)-1]
}

// noKeys demands that nothing the ledger has is a private key.
func (w *world) noKeys() {
	w.t.Helper()
	for _, s := range w.vault.secrets {
		for _, v := range s.versions {
			for _, field := range []string{"key", "next_key", "private_key"} {
				_, body, _ := strings.Cut(v.data[field], "\n")
				for name, f := range w.ledger.tree {
					if len(body) > 40 && strings.Contains(string(f.Data), body[:40]) {
						w.t.Errorf("%s holds a private key", name)
					}
				}
			}
		}
	}
}

// TestNextKey: what was published as the next key is live after the renewal,
// and another one is published then.
func TestNextKey(t *testing.T) {
	w, _ := nextWorld(t)
	w.settle()
	first, next := w.checkNext()
	if e := w.lastEvent(); e.Operation != ledger.KindIssue || e.KeyDigest != first || e.NextKey != next || !strings.Contains(e.Detail, "not published ahead") {
		t.Errorf("event: %+v", e)
	}
	expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	for n := range 3 {
		was := next
		w.at = w.at.Add(61 * times.Day)
		if a := w.only(); a.Kind != ledger.KindRenew || a.Next == nil || a.Next.KeyDigest != was {
			t.Fatalf("plan %d: %+v", n, a)
		}
		w.settle()
		var live string
		if live, next = w.checkNext(); live != was || next == was {
			t.Errorf("renewal %d: live %s, published before %s, next %s", n, live, was, next)
		}
		if e := w.lastEvent(); e.Operation != ledger.KindRenew || e.KeyDigest != was || e.NextKey != next || !strings.Contains(e.Detail, "was published ahead, since") {
			t.Errorf("event %d: %+v", n, e)
		}
		expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	}
	w.noKeys()
}

// TestNextKeyOnAndOff: it is staged beside a live certificate and withdrawn,
// without an order and without a version of the secret.
func TestNextKeyOnAndOff(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	for n := range 2 {
		c.Key.Next = true
		expect(t, w.only(), ledger.KindStage, ledger.ReasonNextKey, "key.next is on")
		w.settle()
		_, next := w.checkNext()
		if e := w.lastEvent(); e.Operation != ledger.KindStage || e.Status != ledger.Success || e.NextKey != next || e.Actor != "A. Owner <owner@example.com>" {
			t.Errorf("event %d: %+v", n, e)
		}
		expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
		c.Key.Next = false
		expect(t, w.only(), ledger.KindStage, ledger.ReasonNextKeyOff, next)
		w.settle()
		if e := w.lastEvent(); e.Reason != ledger.ReasonNextKeyOff || e.NextKey != "" || !strings.Contains(e.Detail, next) {
			t.Errorf("event %d: %+v", n, e)
		}
		custom := w.vault.secrets["secret/tls/api"].custom
		if r := w.ledger.record(t, "api").Live; w.staged() != nil || custom[observe.MetaNextKey]+custom[observe.MetaNextShape]+custom[observe.MetaNextSince] != "" || r.NextKeyDigest != "" || r.NextKeySince != nil {
			t.Errorf("it is not withdrawn: %v, %+v", custom, r)
		}
		expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	}
	if len(w.ca.orders) != 1 || w.only().Secret.Version != 1 || len(w.ledger.events(t)) != 5 || len(w.vault.secrets) != 1 {
		t.Errorf("%d orders, version %d, %d events, %d secrets", len(w.ca.orders), w.only().Secret.Version, len(w.ledger.events(t)), len(w.vault.secrets))
	}
}

// TestNextKeyLost: a key that is gone from Vault is told by its digest, and one
// that nobody can read counts as gone when it is needed.
func TestNextKeyLost(t *testing.T) {
	w, _ := nextWorld(t)
	w.settle()
	_, was := w.checkNext()
	at := observe.NextPath("certroll", "api")
	if err := w.vault.Delete(t.Context(), "secret", at); err != nil {
		t.Fatal(err)
	}
	expect(t, w.only(), ledger.KindStage, ledger.ReasonNextKeyLost, was)
	w.settle()
	_, next := w.checkNext()
	if e := w.lastEvent(); e.Reason != ledger.ReasonNextKeyLost || e.NextKey != next || next == was || e.Cause != "drift" {
		t.Errorf("event: %+v", e)
	}
	if _, err := w.vault.Write(t.Context(), "secret", at, map[string]string{"schema": "1", "key": "rubbish"}, 1); err != nil {
		t.Fatal(err)
	}
	w.at = w.at.Add(61 * times.Day)
	w.settle()
	if live, _ := w.checkNext(); live == next {
		t.Error("it used a key that could not be read")
	}
	if e := w.lastEvent(); e.Operation != ledger.KindRenew || !strings.Contains(e.Detail, "as none was staged") {
		t.Errorf("event: %+v", e)
	}
}

// TestNextKeyOfAnotherShape: the staged key is replaced, and the reissue waits
// until the new one was published for a day.
func TestNextKeyOfAnotherShape(t *testing.T) {
	w, c := nextWorld(t)
	w.settle()
	_, was := w.checkNext()
	w.at = w.at.Add(5 * times.Day)
	c.Key.Curve = "P-384"
	expect(t, w.only(), ledger.KindStage, ledger.ReasonNextKey, "SPKI SHA-256 "+was+") is replaced")
	w.settle()
	_, next := w.checkNext()
	a := w.only()
	expect(t, a, ledger.KindHold, ledger.ReasonNextKeyNew, "")
	if a.Wants != ledger.KindReissue || !a.NotBefore.Equal(w.at.Add(times.Day)) {
		t.Errorf("it waits until %s for %s", a.NotBefore, a.Wants)
	}
	w.at = a.NotBefore
	w.settle()
	if live, _ := w.checkNext(); live != next || w.staged().Shape != "ecdsa-P-384" {
		t.Errorf("live %s, published before %s, staged %s", live, next, w.staged().Shape)
	}
}

// TestNextKeyIsTheBackup: two rotations in a row leave neither the key that was
// live nor the one that was staged.
func TestNextKeyIsTheBackup(t *testing.T) {
	w, c := nextWorld(t)
	w.settle()
	first, second := w.checkNext()
	c.Rotate, c.RotateRevoke = "leaked", &spec.Revocation{Code: 1}
	w.settle()
	live, third := w.checkNext()
	if live != second || len(w.ca.revoked) != 1 {
		t.Errorf("live %s, want the backup %s; revoked %v", live, second, w.ca.revoked)
	}
	c.Rotate = "the backup too"
	w.settle()
	if live, next := w.checkNext(); live != third || next == first || next == second {
		t.Errorf("live %s, want %s; next %s", live, third, next)
	}
}

// TestNextKeyOfADraft: an attempt that fails keeps its key and what was
// published; a pending secret of before the key was staged is given up.
func TestNextKeyOfADraft(t *testing.T) {
	w, c := nextWorld(t)
	c.Key.Next = false
	w.settle()
	w.at = w.at.Add(61 * times.Day)
	w.ca.fail = func(op string, _ int) error {
		if op == "finish" {
			return &caError{class: "ca_unavailable", text: "503"}
		}
		return nil
	}
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatal(report, err)
	}
	c.Key.Next = true // ends the hold
	w.settle()
	_, next := w.checkNext()
	w.at = w.at.Add(times.Day)
	for range 2 {
		if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
			t.Fatal(report, err)
		}
		if _, now := w.checkNext(); now != next {
			t.Errorf("a failure changed the published key from %s to %s", next, now)
		}
		w.at = w.only().NotBefore
	}
	w.ca.fail = nil
	w.settle()
	if live, _ := w.checkNext(); live != next {
		t.Errorf("live %s, published before %s", live, next)
	}
}

// TestNextKeyOfATakenOverSecret: a key is staged beside what is adopted.
func TestNextKeyOfATakenOverSecret(t *testing.T) {
	w, _ := nextWorld(t)
	w.settle()
	data, _, err := w.vault.Read(t.Context(), "secret", "tls/api")
	if err != nil {
		t.Fatal(err)
	}
	other, c := nextWorld(t)
	if _, err := other.vault.Write(t.Context(), "secret", "tls/api", data, 0); err != nil {
		t.Fatal(err)
	}
	expect(t, other.only(), ledger.KindAdopt, ledger.ReasonForeign, "")
	other.settle()
	other.checkNext()
	expect(t, other.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	// Drift: the same pair written again is taken over, and what was published stays.
	_, next := other.checkNext()
	if _, err := other.vault.Write(t.Context(), "secret", c.Vault.Path, data, 1); err != nil {
		t.Fatal(err)
	}
	other.settle()
	if _, now := other.checkNext(); now != next {
		t.Errorf("drift changed the published key from %s to %s", next, now)
	}
}

// TestNextKeyOfARetired: it goes with its certificate, whatever becomes of the
// secret.
func TestNextKeyOfARetired(t *testing.T) {
	for _, onRemove := range []spec.OnRemove{spec.Keep, spec.Delete} {
		w, c := nextWorld(t)
		c.OnRemove = onRemove
		w.settle()
		_, next := w.checkNext()
		w.desired = desire()
		expect(t, w.only(), ledger.KindRetire, ledger.ReasonRemoved, next)
		w.settle()
		if r := w.ledger.record(t, "api").Live; w.staged() != nil || r.NextKeyDigest != "" || w.vault.secrets["secret/tls/api"].custom[observe.MetaNextKey] != "" {
			t.Errorf("%s: it is not withdrawn: %+v", onRemove, r)
		}
		if as := w.plan(); len(as) != 0 {
			t.Errorf("plan afterwards: %+v", as)
		}
	}
}

// TestNextKeyOutlivesTheLedger: what is published is known without it.
func TestNextKeyOutlivesTheLedger(t *testing.T) {
	w, _ := nextWorld(t)
	w.settle()
	_, next := w.checkNext()
	w.ledger = newMemLedger()
	w.settle()
	if _, now := w.checkNext(); now != next {
		t.Errorf("a lost ledger changed the published key from %s to %s", next, now)
	}
}

// TestNextKeyCrashAtEveryCall: whatever call a run dies at, what was published
// is what becomes live, with one order, and every change is told once.
func TestNextKeyCrashAtEveryCall(t *testing.T) {
	for name, tc := range map[string]struct {
		begin  func(*world, *spec.Certificate)
		orders int
		events int
	}{
		"a first issue": {func(*world, *spec.Certificate) {}, 1, 1},
		"a renewal":     {func(w *world, c *spec.Certificate) { w.settle(); w.at = w.at.Add(61 * times.Day) }, 2, 2},
		"turned on": {func(w *world, c *spec.Certificate) {
			c.Key.Next = false
			w.settle()
			c.Key.Next = true
		}, 1, 2},
		"turned off and on": {func(w *world, c *spec.Certificate) {
			w.settle()
			c.Key.Next = false
			w.settle()
			c.Key.Next = true
		}, 1, 3},
	} {
		for n := 1; ; n++ {
			w, c := nextWorld(t)
			tc.begin(w, c)
			published := ""
			if s := w.vault.secrets["secret/tls/api"]; s != nil {
				published = s.custom[observe.MetaNextKey]
			}
			dead := dieAtCall(w, n)
			w.settle()
			w.settle()
			t.Run(fmt.Sprint(name, ", call ", n), func(t *testing.T) {
				w.t = t
				live, _ := w.checkNext()
				if published != "" && live != published {
					t.Errorf("live %s, published %s", live, published)
				}
				if a := w.only(); a.Kind != ledger.KindNone || len(w.ca.orders) != tc.orders {
					t.Errorf("plan afterwards: %s %s; %d orders, want %d", a.Kind, a.Detail, len(w.ca.orders), tc.orders)
				}
				es := w.ledger.events(t)
				if len(es) != tc.events || w.lastEvent().NextKey != w.staged().Digest {
					t.Errorf("%d events, want %d: %+v", len(es), tc.events, es)
				}
				if len(w.vault.secrets) != 2 {
					t.Errorf("%d secrets are left, want 2", len(w.vault.secrets))
				}
				w.noKeys()
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

// dieAtCall applies with every port failing from its n-th call on, and tells
// whether it came that far.
func dieAtCall(w *world, n int) bool {
	var calls atomic.Int64
	var dead atomic.Bool
	step := func() error {
		if calls.Add(1) < int64(n) {
			return nil
		}
		dead.Store(true)
		return errors.New("crash")
	}
	w.vault.fail = func(string, string) error { return step() }
	w.ca.fail = func(string, int) error { return step() }
	r := apply.New(&observe.Observer{Metadata: w.vault, StateMount: "secret", StatePrefix: "certroll"}, w.vault, w.ca,
		&dyingLedger{w.ledger, &dead}, &dyingJournal{memJournal: w.journal, dead: &dead}, w.opts)
	if obs, err := r.Observe(context.Background(), w.desired); err == nil {
		_, _ = r.Apply(context.Background(), w.desired, ledger.Revision{Commit: "c0ffee"}, plan.Plan(w.desired, obs, w.at))
	}
	w.vault.fail, w.ca.fail = nil, nil
	return dead.Load()
}

// TestNextKeyThatCannotBeStaged holds up no renewal, neither where it never could
// be nor where it cannot be any more.
func TestNextKeyThatCannotBeStaged(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprint("staged before: ", before), func(t *testing.T) {
			w, c := nextWorld(t)
			c.Key.Next = before
			w.settle()
			c.Key.Next = true
			w.vault.fail = func(op, path string) error {
				if strings.Contains(path, "pending/next/") && op != "metadata" {
					return errors.New("permission denied")
				}
				return nil
			}
			for range 3 {
				was := w.secretPair("tls/api").Leaf().SerialNumber
				for end := w.at.Add(89 * times.Day); w.at.Before(end); w.at = w.at.Add(6 * time.Hour) {
					if _, err := w.apply(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if is := w.secretPair("tls/api").Leaf(); is.SerialNumber.Cmp(was) == 0 || !is.NotAfter.After(w.at) {
					t.Fatalf("it is not renewed, and ends %s", is.NotAfter)
				}
				if r := w.ledger.record(t, "api"); r.Live.Serial != keypair.SerialOf(w.secretPair("tls/api").Leaf()) || r.LastFailure == nil || r.LastFailure.Operation != ledger.KindStage {
					t.Errorf("the record is %+v, failed last %+v", r, r.LastFailure)
				}
			}
		})
	}
}
