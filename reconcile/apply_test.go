package reconcile

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestApplyIssuesAndThenDoesNothing(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com", "www.example.com"))
	report := w.settle()
	if len(report.Results) != 1 || report.Results[0].Event.Operation != ledger.KindIssue {
		t.Fatalf("results: %+v", report.Results)
	}
	p := w.secretPair("tls/api")
	if err := p.Check([]string{"www.example.com", "api.example.com"}, w.at); err != nil {
		t.Fatal(err)
	}
	r := w.ledger.record(t, "api")
	if r.State != ledger.StateLive || r.Live.Serial != keypair.SerialOf(p.Leaf()) || r.Live.Version != 1 || r.Live.KeyShape != "ecdsa-P-256" {
		t.Errorf("record: %+v, live %+v", r, r.Live)
	}
	if len(w.vault.secrets) != 1 {
		t.Errorf("the pending secret was not dropped: %d secrets", len(w.vault.secrets))
	}
	writes, orders := w.vault.writes, len(w.ca.orders)
	if a := w.only(); a.Kind != ledger.KindNone || a.Reason != ledger.ReasonUpToDate {
		t.Errorf("after an apply the plan says %s, %s", a.Kind, a.Reason)
	}
	if again := w.settle(); again.Commit != "" || len(again.Results) != 0 {
		t.Errorf("a second apply did something: %+v", again)
	}
	if w.vault.writes != writes || len(w.ca.orders) != orders || len(w.ledger.messages) != 1 {
		t.Errorf("a second apply wrote: %d writes, %d orders, %d commits", w.vault.writes-writes, len(w.ca.orders)-orders, len(w.ledger.messages))
	}
}

func TestRenewalMakesAFreshKey(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	before := w.ledger.record(t, "api").Live
	w.at = w.at.Add(61 * times.Day)
	if a := w.only(); a.Kind != ledger.KindRenew || a.Reason != ledger.ReasonThreshold {
		t.Fatalf("plan: %s %s", a.Kind, a.Reason)
	}
	w.settle()
	after := w.ledger.record(t, "api").Live
	if after.KeyDigest == before.KeyDigest || after.Serial == before.Serial || after.Version != 2 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if e := w.ledger.events(t)[1]; e.OldSerial != before.Serial || e.NewSerial != after.Serial || e.Actor != "schedule" {
		t.Errorf("event: %+v", e)
	}
}

func TestRotationNeverKeepsTheKey(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.Key.Rotation = spec.RotateNever
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	w.at = w.at.Add(61 * times.Day)
	w.settle()
	if after := w.ledger.record(t, "api").Live; after.KeyDigest != before.KeyDigest || !after.KeySince.Equal(before.KeySince) || after.Serial == before.Serial {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestKeyStaysWithItsOwners: a kept key follows its certificate to another path,
// and not into another team's hands.
func TestKeyStaysWithItsOwners(t *testing.T) {
	for file, kept := range map[string]bool{"teams/a/other.hcl": true, "teams/b/certs.hcl": false} {
		t.Run(file, func(t *testing.T) {
			c := certificate("api", "api.example.com")
			c.Key.Rotation, c.File = spec.RotateNever, "teams/a/certs.hcl"
			w := newWorld(t, c)
			w.settle()
			before := w.ledger.record(t, "api").Live
			c.File, c.Vault.Path = file, "tls/moved"
			w.settle()
			w.at = w.at.Add(61 * times.Day)
			w.settle()
			after := w.ledger.record(t, "api").Live
			if after.Path != "tls/moved" || (after.KeyDigest == before.KeyDigest) != kept {
				t.Errorf("before %+v, after %+v", before, after)
			}
		})
	}
}

// TestKeyStaysOverRenewals: nor by steps. A renewal that keeps the key keeps
// whose it is, too.
func TestKeyStaysOverRenewals(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.Key.Rotation, c.File = spec.RotateNever, "teams/a/certs.hcl"
	w := newWorld(t, c)
	w.settle()
	first := w.ledger.record(t, "api").Live
	c.File = "teams/b/certs.hcl"
	w.settle()
	w.at = w.at.Add(61 * times.Day)
	w.settle()
	renewed := w.ledger.record(t, "api").Live
	if renewed.Serial == first.Serial || renewed.KeyDigest != first.KeyDigest {
		t.Fatalf("the renewal did not keep the key where it was: %+v", renewed)
	}
	c.Vault.Path = "tls/moved"
	w.settle()
	w.at = w.at.Add(61 * times.Day)
	w.settle()
	if moved := w.ledger.record(t, "api").Live; moved.Path != "tls/moved" || moved.KeyDigest == first.KeyDigest || moved.File != "teams/b/certs.hcl" {
		t.Errorf("team b got the key of team a: %+v", moved)
	}
}

// TestKeyStaysWhereItIsAdopted: nor by another name that adopts the secret first.
func TestKeyStaysWhereItIsAdopted(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.Key.Rotation, c.File = spec.RotateNever, "teams/a/certs.hcl"
	w := newWorld(t, c)
	w.settle()
	first := w.ledger.record(t, "api").Live
	c.Name, c.File, c.Vault.Path = "mine", "teams/b/certs.hcl", first.Path
	w.settle()
	adopted := w.ledger.record(t, "mine").Live
	if adopted == nil || adopted.KeyDigest != first.KeyDigest {
		t.Fatalf("it was not adopted: %+v", adopted)
	}
	c.Vault.Path = "tls/moved"
	w.settle()
	w.at = w.at.Add(61 * times.Day)
	w.settle()
	if moved := w.ledger.record(t, "mine").Live; moved.Path != "tls/moved" || moved.KeyDigest == first.KeyDigest {
		t.Errorf("team b got the key of team a: %+v", moved)
	}
}

func TestRotationRequestIsDoneOnce(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	c.Rotate = "2026-11-23 suspected compromise"
	if a := w.only(); a.Kind != ledger.KindRotate || a.Detail != c.Rotate {
		t.Fatalf("plan: %+v", a)
	}
	w.settle()
	if a := w.only(); a.Kind != ledger.KindNone {
		t.Errorf("a rotation already done is planned again: %s", a.Kind)
	}
	if e := w.ledger.events(t)[1]; e.Operation != ledger.KindRotate || e.Detail != c.Rotate || e.Actor != "A. Owner <owner@example.com>" {
		t.Errorf("event: %+v", e)
	}
}

func TestShapeIsFixedAtCreation(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.Key.Algorithm, c.Key.Size = spec.RSA, 3072
	w := newWorld(t, c)
	w.settle()
	c.Key.Algorithm, c.Key.Size = "", 0
	if a := w.only(); a.Kind != ledger.KindNone {
		t.Errorf("leaving the shape out plans %s", a.Kind)
	}
	c.Key.Algorithm = spec.ECDSA
	a := w.only()
	if a.Kind != ledger.KindReissue || len(a.Changes) != 1 || a.Changes[0] != (plan.Change{Field: "key", Old: "rsa-3072", New: "ecdsa-P-256"}) {
		t.Errorf("stating another shape plans %s %v", a.Kind, a.Changes)
	}
}

// A crash is every port failing from its n-th call on: for each n the next run
// must end in the same state with the same number of orders.
func TestCrashAtEveryCall(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t, certificate("api", "api.example.com"))
		dead := w.dyingAt(n)
		w.settle()
		w.settle()
		t.Run(fmt.Sprint("call ", n), func(t *testing.T) { checkSettled(t, w) })
		if !dead {
			break
		}
		if n > 100 {
			t.Fatal("it never ends")
		}
	}
}

// dyingAt lets a run die at its n-th call; tells whether it did.
func (w *world) dyingAt(n int) bool {
	var calls atomic.Int64
	var died atomic.Bool
	step := func() error {
		if calls.Add(1) >= int64(n) {
			died.Store(true)
			return errors.New("crash")
		}
		return nil
	}
	w.vault.fail = func(string, string) error { return step() }
	w.ca.fail = func(string, int) error { return step() }
	defer func() { w.vault.fail, w.ca.fail = nil, nil }()
	obs, err := w.reconciler().Observe(context.Background(), w.desired)
	if err != nil {
		return died.Load()
	}
	r := w.reconciler()
	r.Writer.Ledger, r.Writer.Journal = &dyingLedger{w.ledger, &died}, &dyingJournal{w.journal, &died}
	_, _ = r.Apply(context.Background(), w.desired, ledger.Revision{Commit: "c0ffee"}, plan.Plan(w.desired, obs, w.at))
	return died.Load()
}

func checkSettled(t *testing.T, w *world) {
	t.Helper()
	if err := w.secretPair("tls/api").Check([]string{"api.example.com"}, w.at); err != nil {
		t.Error(err)
	}
	if n := len(w.ca.orders); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
	if a := w.only(); a.Kind != ledger.KindNone || a.Secret.Version != 1 {
		t.Errorf("plan afterwards: %s, version %d", a.Kind, a.Secret.Version)
	}
	if es := w.ledger.events(t); len(es) != 1 || es[0].Status != ledger.Success || es[0].Operation != ledger.KindIssue {
		t.Errorf("events: %+v", es)
	}
	if len(w.vault.secrets) != 1 {
		t.Errorf("%d secrets are left, want 1", len(w.vault.secrets))
	}
}

type dyingJournal struct {
	*memJournal
	dead *atomic.Bool
}

func (j *dyingJournal) Append(line []byte) error {
	if j.dead.Load() {
		return errors.New("crash")
	}
	return j.memJournal.Append(line)
}

type dyingLedger struct {
	*memLedger
	dead *atomic.Bool
}

// Commit pushes nothing of what a dead process has in memory.
func (l *dyingLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	if l.dead.Load() {
		return "", errors.New("crash")
	}
	return l.memLedger.Commit(ctx, message, edit)
}

func TestFailureKeepsWhatIsLiveAndBacksOff(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	before := w.secretPair("tls/api").Leaf().Raw
	w.at = w.at.Add(61 * times.Day)
	w.ca.fail = func(string, int) error {
		return &caError{class: "ca_unavailable", text: "ordering: 503 the service is down for maintenance eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.abc"}
	}
	report, err := w.apply(context.Background())
	if err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if !bytes.Equal(before, w.secretPair("tls/api").Leaf().Raw) {
		t.Error("what was live was replaced")
	}
	r := w.ledger.record(t, "api")
	if r.State != ledger.StateFailing || r.Failures != 1 || r.LastFailure.Class != ledger.ClassCAUnavailable || r.Live == nil {
		t.Errorf("record: %+v", r)
	}
	if !strings.Contains(r.LastFailure.Message, "down for maintenance [redacted]") {
		t.Errorf("message: %q", r.LastFailure.Message)
	}
	if a := w.only(); a.Kind != ledger.KindHold || a.Wants != ledger.KindRenew || !a.NotBefore.After(w.at) {
		t.Errorf("plan: %+v", a)
	}
	w.ca.fail = nil
	w.at = r.Hold.Until
	w.settle()
	if r := w.ledger.record(t, "api"); r.State != ledger.StateLive || r.Failures != 0 || r.Hold != nil {
		t.Errorf("record after recovery: %+v", r)
	}
}

func TestASpecChangeEndsAHold(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.ca.fail = func(string, int) error { return &caError{class: "ca_rejected", text: "no"} }
	if _, err := w.apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	if a := w.only(); a.Kind != ledger.KindHold {
		t.Fatalf("plan: %s", a.Kind)
	}
	c.Domains[0] = spec.Domain{Typed: "web.example.com", ASCII: "web.example.com"}
	if a := w.only(); a.Kind != ledger.KindIssue {
		t.Errorf("plan after the change: %s", a.Kind)
	}
}

func TestNothingWorseIsWritten(t *testing.T) {
	spoil := map[string]func(*x509.Certificate){
		"other names": func(c *x509.Certificate) { c.DNSNames = []string{"evil.example.com"} },
		"expired":     func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Second) },
		"not yet":     func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(48 * time.Hour) },
	}
	for name, wrong := range spoil {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, certificate("api", "api.example.com"))
			w.ca.wrong = wrong
			report, err := w.apply(context.Background())
			if err != nil || report.Failed() != 1 {
				t.Fatalf("report %+v, error %v", report, err)
			}
			if _, _, err := w.vault.Read(context.Background(), "secret", "tls/api"); err == nil {
				t.Error("it was written")
			}
			if e := w.ledger.events(t)[0]; e.Class != ledger.ClassCARejected {
				t.Errorf("event: %+v", e)
			}
		})
	}
}

func TestAnUnreadableVaultIsNotAnEmptyOne(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	w.vault.fail = func(op, _ string) error { return errors.New("Vault is sealed") }
	if _, err := w.reconciler().Observe(context.Background(), w.desired); err == nil {
		t.Error("observing an unreadable Vault gave no error")
	}
}

func TestForeignSecrets(t *testing.T) {
	t.Run("a fitting pair is adopted", func(t *testing.T) {
		w := newWorld(t, certificate("api", "api.example.com"))
		key, err := keypair.NewKey("ecdsa-P-384")
		if err != nil {
			t.Fatal(err)
		}
		text, err := keypair.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		chain := w.ca.sign([]string{"api.example.com"}, key.Public())
		if _, err := w.vault.Write(context.Background(), "secret", "tls/api", map[string]string{"crt": string(chain), "key": text}, 0); err != nil {
			t.Fatal(err)
		}
		if a := w.only(); a.Kind != ledger.KindAdopt {
			t.Fatalf("plan: %s", a.Kind)
		}
		w.settle()
		if len(w.ca.orders) != 0 {
			t.Error("adopting cost an order")
		}
		if r := w.ledger.record(t, "api"); r.Live == nil || r.Live.KeyShape != "ecdsa-P-384" {
			t.Errorf("record: %+v", r)
		}
		if a := w.only(); a.Kind != ledger.KindNone {
			t.Errorf("plan afterwards: %s", a.Kind)
		}
	})
	t.Run("anything else is not overwritten", func(t *testing.T) {
		w := newWorld(t, certificate("api", "api.example.com"))
		if _, err := w.vault.Write(context.Background(), "secret", "tls/api", map[string]string{"password": "of a database"}, 0); err != nil {
			t.Fatal(err)
		}
		report, err := w.apply(context.Background())
		if err != nil || report.Failed() != 1 || report.Results[0].Event.Status != ledger.Denied {
			t.Fatalf("report %+v, error %v", report, err)
		}
		if _, version, _ := w.vault.Read(context.Background(), "secret", "tls/api"); version != 1 || len(w.ca.orders) != 0 {
			t.Errorf("version %d, %d orders", version, len(w.ca.orders))
		}
		if a := w.only(); a.Kind != ledger.KindHold {
			t.Errorf("plan afterwards: %s", a.Kind)
		}
	})
}

func TestDriftIsRestoredWithoutAnOrder(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	before := w.secretPair("tls/api").Leaf().Raw
	if _, err := w.vault.Write(context.Background(), "secret", "tls/api", map[string]string{"oops": "wrong path"}, 1); err != nil {
		t.Fatal(err)
	}
	if a := w.only(); a.Kind != ledger.KindRepair || a.Reason != ledger.ReasonDrifted {
		t.Fatalf("plan: %s %s", a.Kind, a.Reason)
	}
	w.settle()
	if !bytes.Equal(before, w.secretPair("tls/api").Leaf().Raw) || len(w.ca.orders) != 1 {
		t.Errorf("%d orders", len(w.ca.orders))
	}
	if a := w.only(); a.Kind != ledger.KindNone || a.Secret.Version != 3 {
		t.Errorf("plan afterwards: %s, version %d", a.Kind, a.Secret.Version)
	}
}

func TestRetire(t *testing.T) {
	for onRemove, want := range map[spec.OnRemove]struct {
		readable bool
		revoked  int
	}{spec.Keep: {true, 0}, spec.Delete: {false, 0}, spec.Revoke: {false, 1}} {
		t.Run(string(onRemove), func(t *testing.T) {
			c := certificate("api", "api.example.com")
			c.OnRemove = onRemove
			w := newWorld(t, c)
			w.settle()
			w.desired = desire()
			if a := w.only(); a.Kind != ledger.KindRetire {
				t.Fatalf("plan: %s", a.Kind)
			}
			w.settle()
			if _, readable, _, _ := w.vault.ReadMetadata(context.Background(), "secret", "tls/api"); readable != want.readable || len(w.ca.revoked) != want.revoked {
				t.Errorf("readable %v, revoked %v", readable, w.ca.revoked)
			}
			if r := w.ledger.record(t, "api"); r.State != ledger.StateRetired {
				t.Errorf("record: %+v", r)
			}
			if as := w.plan(); len(as) != 0 {
				t.Errorf("plan afterwards: %+v", as)
			}
		})
	}
}

func TestAMovedPathIsUsedFromTheNextRenewalOn(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	c.Vault.Path = "tls/moved"
	if a := w.only(); a.Kind != ledger.KindNone || len(a.Warnings) != 1 {
		t.Fatalf("plan: %s %v", a.Kind, a.Warnings)
	}
	w.at = w.at.Add(61 * times.Day)
	w.settle()
	if err := w.secretPair("tls/moved").Check(c.Names(), w.at); err != nil {
		t.Error(err)
	}
	if a := w.only(); a.Kind != ledger.KindNone || a.At.Path != "tls/moved" {
		t.Errorf("plan afterwards: %s at %s", a.Kind, a.At)
	}
}

func TestOneFailureHoldsUpNoOther(t *testing.T) {
	w := newWorld(t, certificate("a", "a.example.com"), certificate("b", "b.example.com"), certificate("c", "c.example.com"))
	w.ca.fail = func(op string, n int) error {
		if op == "finish" && n == 1 {
			return &caError{class: "validation", gone: true, text: "the TXT record was not found"}
		}
		return nil
	}
	report, err := w.apply(context.Background())
	if err != nil || report.Failed() != 1 || len(report.Results) != 3 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if len(w.ledger.messages) != 1 {
		t.Errorf("%d commits for what ended together, want 1", len(w.ledger.messages))
	}
}

func TestInterruptIsNoFailure(t *testing.T) {
	w := newWorld(t, certificate("a", "a.example.com"))
	ctx, cancel := context.WithCancel(context.Background())
	w.ca.fail = func(op string, _ int) error {
		if op == "finish" {
			cancel()
		}
		return nil
	}
	report, err := w.apply(ctx)
	if err != nil || report.Interrupted != 1 || len(report.Results) != 0 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.ca.fail = nil
	w.settle()
	if len(w.ca.orders) != 1 {
		t.Errorf("%d orders, want the one of the interrupted run", len(w.ca.orders))
	}
}

func TestGitOutageLosesNoEvent(t *testing.T) {
	w := newWorld(t, certificate("a", "a.example.com"))
	r, actions := w.planned()
	w.ledger.err = errors.New("connection refused")
	if _, err := r.Apply(context.Background(), w.desired, ledger.Revision{}, actions); err == nil {
		t.Fatal("a ledger that cannot be reached gave no error")
	}
	w.ledger.err = nil
	w.settle()
	if es := w.ledger.events(t); len(es) != 1 || es[0].NewSerial == "" {
		t.Errorf("events: %+v", es)
	}
	if len(w.ca.orders) != 1 {
		t.Errorf("%d orders", len(w.ca.orders))
	}
}

func TestALostRaceIsReplayed(t *testing.T) {
	w := newWorld(t, certificate("a", "a.example.com"))
	other := ledger.Event{Schema: 1, ID: "other", Time: start, Operation: ledger.KindIssue, Certificate: "z", Status: ledger.Success}
	w.ledger.race = func(tree fstest.MapFS) {
		files, err := archive.AppendEvents(tree, []ledger.Event{other}, start)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range files {
			tree[name] = &fstest.MapFile{Data: b}
		}
	}
	w.settle()
	es := w.ledger.events(t)
	if len(es) != 2 || es[0].ID != "other" || es[1].Certificate != "a" {
		t.Fatalf("events: %+v", es)
	}
	lines := bytes.Split(bytes.TrimSpace(w.ledger.tree["audit/2026/11.jsonl"].Data), []byte("\n"))
	if es[1].Prev != ledger.LineHash(lines[0]) {
		t.Error("the chain is broken")
	}
}

// TestRecordFollowsTheSpec: what is said of on_remove holds when the block
// goes, though nothing was issued in between.
func TestRecordFollowsTheSpec(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	orders, writes := len(w.ca.orders), w.vault.writes
	c.OnRemove = spec.Delete
	w.settle()
	if len(w.ca.orders) != orders || w.vault.writes != writes {
		t.Error("bringing the record up to date ordered, or wrote to Vault")
	}
	if r := w.ledger.record(t, "api"); r.OnRemove != spec.Delete || r.State != ledger.StateLive {
		t.Errorf("record: %+v", r)
	}
	if a := w.only(); a.Kind != ledger.KindNone {
		t.Errorf("it is planned again: %s", a.Detail)
	}
	w.desired = desire()
	w.settle()
	if _, live, _, _ := w.vault.ReadMetadata(t.Context(), "secret", "tls/api"); live {
		t.Error("the secret is still there")
	}
}

// TestLostLedger: it is made anew from Vault's metadata, without an order.
func TestLostLedger(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	before := w.ledger.record(t, "api")
	w.ledger = newMemLedger()
	w.settle()
	after := w.ledger.record(t, "api")
	if len(w.ca.orders) != 1 || after.Live.Serial != before.Live.Serial || after.Live.Names[0] != "api.example.com" || !after.RenewAt.Equal(*before.RenewAt) {
		t.Errorf("before %+v, after %+v", before.Live, after.Live)
	}
}

// TestRetireWaits: a retirement that fails is not tried at each pass.
func TestRetireWaits(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.OnRemove = spec.Revoke
	w := newWorld(t, c)
	w.settle()
	w.desired.Certificates = nil
	w.ca.fail = func(string, int) error { return &caError{class: "ca_unavailable", text: "the CA is down"} }
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if a := w.only(); a.Kind != ledger.KindHold || a.Wants != ledger.KindRetire || !a.NotBefore.After(w.at) {
		t.Fatalf("plan: %+v", a)
	}
	w.ca.fail = nil
	w.at = w.only().NotBefore
	w.settle()
	if r := w.ledger.record(t, "api"); r.State != ledger.StateRetired || len(w.ca.revoked) != 2 {
		t.Errorf("record %+v, %d revocations", r, len(w.ca.revoked))
	}
}

// TestRetiredTwice: a name that is retired, comes back and is retired again has
// two events.
func TestRetiredTwice(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	for range 2 {
		w.desired = desire(c)
		w.settle()
		w.at = w.at.Add(time.Minute)
		w.desired = desire()
		w.settle()
		w.at = w.at.Add(time.Minute)
	}
	retired := 0
	for _, e := range w.ledger.events(t) {
		if e.Operation == ledger.KindRetire {
			retired++
		}
	}
	if retired != 2 {
		t.Errorf("%d retirements in the audit log, want 2", retired)
	}
}

// TestBadChainIsNotAskedForAgain: the order that brought it is spent.
func TestBadChainIsNotAskedForAgain(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.ca.wrong = func(c *x509.Certificate) { c.DNSNames = []string{"evil.example.com"} }
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.ca.wrong = nil
	w.at = w.only().NotBefore
	w.settle()
	if r := w.ledger.record(t, "api"); r.State != ledger.StateLive || len(w.ca.orders) != 2 {
		t.Errorf("state %s after %d orders", r.State, len(w.ca.orders))
	}
}

// TestDraftTellsWhatItFollows: a draft that takes another's place is found
// again after a crash right behind its write.
func TestDraftTellsWhatItFollows(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.ca.fail = func(string, int) error { return &caError{class: "ca_unavailable", text: "the CA is down"} }
	_, _ = w.apply(t.Context())
	w.ca.fail = nil
	c.Domains = append(c.Domains, spec.Domain{Typed: "www.example.com", ASCII: "www.example.com"})
	w.vault.fail = func(op, path string) error {
		if op == "write-metadata" && path == "secret/tls/api" {
			return errors.New("crash")
		}
		return nil
	}
	r, actions := w.planned()
	w.ledger.err = errors.New("crash")
	_, _ = r.Apply(t.Context(), w.desired, ledger.Revision{}, actions)
	w.vault.fail, w.ledger.err = nil, nil
	w.journal.lines = nil // the disk is gone
	if a := w.only(); a.Reason != ledger.ReasonUnfinished {
		t.Fatalf("plan: %s %s", a.Reason, a.Detail)
	}
	w.settle()
	if len(w.ca.orders) != 1 || w.ledger.record(t, "api").State != ledger.StateLive {
		t.Errorf("%d orders", len(w.ca.orders))
	}
}

// TestPairInOneField: key and chain in one text are found, in either order.
func TestPairInOneField(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	data, _, err := w.vault.Read(t.Context(), "secret", "tls/api")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{data["private_key"] + data["fullchain"], data["fullchain"] + data["private_key"]} {
		p, err := keypair.FindIn(map[string]string{"haproxy.pem": text})
		if err != nil || len(p.Chain) != 2 {
			t.Errorf("%v, a chain of %d", err, len(p.Chain))
		}
	}
}

// TestRefusedRevisionIsToldOnce: at once, and not again at each pull.
func TestRefusedRevisionIsToldOnce(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if err := w.reconciler().Refuse(t.Context(), ledger.Revision{Commit: "bad", Author: "A. Owner <owner@example.com>"}, "c.hcl:1:1: Unknown block"); err != nil {
			t.Fatal(err)
		}
	}
	events := w.ledger.events(t)
	if len(events) != 1 || events[0].Operation != ledger.KindConfig || events[0].Revision != "bad" || events[0].Class != ledger.ClassConfig || len(w.ledger.messages) != 1 {
		t.Errorf("events: %+v, commits: %q", events, w.ledger.messages)
	}
}

// TestWhatComesBackBeginsAnew: the failures of before its block was removed are
// no failures in a row.
func TestWhatComesBackBeginsAnew(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.ca.fail = func(string, int) error { return &caError{class: "ca_rejected", text: "no"} }
	for range 3 {
		if _, err := w.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.at = w.at.Add(2 * times.Day)
	}
	w.desired = desire()
	w.settle()
	w.desired = desire(certificate("api", "api.example.com"))
	if _, err := w.apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := w.ledger.record(t, "api"); r.Failures != 1 || r.Severity != "" || !r.FailingSince.Equal(w.at) {
		t.Errorf("record: %+v", r)
	}
}
