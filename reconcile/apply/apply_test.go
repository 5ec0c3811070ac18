package apply_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestApplyIssuesAndThenDoesNothing(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com", "www.example.com"))
	report := w.Settle()
	if len(report.Results) != 1 || report.Results[0].Event.Operation != ledger.KindIssue {
		t.Fatalf("results: %+v", report.Results)
	}
	p := w.SecretPair("tls/api")
	if err := p.Check([]string{"www.example.com", "api.example.com"}, w.At); err != nil {
		t.Fatal(err)
	}
	r := w.Ledger.Record(t, "api")
	if r.State != ledger.StateLive || r.Live.Serial != keypair.SerialOf(p.Leaf()) || r.Live.Version != 1 || r.Live.KeyShape != "ecdsa-P-256" {
		t.Errorf("record: %+v, live %+v", r, r.Live)
	}
	if len(w.Vault.Secrets) != 1 {
		t.Errorf("the pending secret was not dropped: %d secrets", len(w.Vault.Secrets))
	}
	writes, orders := w.Vault.Writes, len(w.Ca.Orders)
	if a := w.Only(); a.Kind != ledger.KindNone || a.Reason != ledger.ReasonUpToDate {
		t.Errorf("after an apply the plan says %s, %s", a.Kind, a.Reason)
	}
	if again := w.Settle(); again.Commit != "" || len(again.Results) != 0 {
		t.Errorf("a second apply did something: %+v", again)
	}
	if w.Vault.Writes != writes || len(w.Ca.Orders) != orders || len(w.Ledger.Messages) != 1 {
		t.Errorf("a second apply wrote: %d writes, %d orders, %d commits", w.Vault.Writes-writes, len(w.Ca.Orders)-orders, len(w.Ledger.Messages))
	}
}

func TestRenewalMakesAFreshKey(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	w.At = w.At.Add(61 * times.Day)
	if a := w.Only(); a.Kind != ledger.KindRenew || a.Reason != ledger.ReasonThreshold {
		t.Fatalf("plan: %s %s", a.Kind, a.Reason)
	}
	w.Settle()
	after := w.Ledger.Record(t, "api").Live
	if after.KeyDigest == before.KeyDigest || after.Serial == before.Serial || after.Version != 2 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if e := w.Ledger.Events(t)[1]; e.OldSerial != before.Serial || e.NewSerial != after.Serial || e.Actor != "schedule" {
		t.Errorf("event: %+v", e)
	}
}

func TestRotationNeverKeepsTheKey(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Key.Rotation = spec.RotateNever
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	if after := w.Ledger.Record(t, "api").Live; after.KeyDigest != before.KeyDigest || !after.KeySince.Equal(before.KeySince) || after.Serial == before.Serial {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestKeyStaysWithItsOwners checks that a kept key follows its certificate to another
// path, but never to another team.
func TestKeyStaysWithItsOwners(t *testing.T) {
	for file, stays := range map[string]bool{"teams/a/other.hcl": true, "teams/b/certs.hcl": false} {
		t.Run(file, func(t *testing.T) {
			c := reconciletest.Certificate("api", "api.example.com")
			c.Key.Rotation, c.File = spec.RotateNever, "teams/a/certs.hcl"
			w := reconciletest.NewWorld(t, c)
			w.Settle()
			before := w.Ledger.Record(t, "api").Live
			c.File, c.Vault.Path = file, "tls/moved"
			w.Settle()
			w.At = w.At.Add(61 * times.Day)
			w.Settle()
			after := w.Ledger.Record(t, "api").Live
			if after.Path != "tls/moved" || (after.KeyDigest == before.KeyDigest) != stays {
				t.Errorf("before %+v, after %+v", before, after)
			}
		})
	}
}

// TestKeyStaysOverRenewals checks that a renewal that keeps the key also keeps the
// key's owners, so no series of renewals hands it over.
func TestKeyStaysOverRenewals(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Key.Rotation, c.File = spec.RotateNever, "teams/a/certs.hcl"
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	first := w.Ledger.Record(t, "api").Live
	c.File = "teams/b/certs.hcl"
	w.Settle()
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	renewed := w.Ledger.Record(t, "api").Live
	if renewed.Serial == first.Serial || renewed.KeyDigest != first.KeyDigest {
		t.Fatalf("the renewal did not keep the key where it was: %+v", renewed)
	}
	c.Vault.Path = "tls/moved"
	w.Settle()
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	if moved := w.Ledger.Record(t, "api").Live; moved.Path != "tls/moved" || moved.KeyDigest == first.KeyDigest || moved.File != "teams/b/certs.hcl" {
		t.Errorf("team b got the key of team a: %+v", moved)
	}
}

// TestKeyStaysWhereItIsAdopted checks that a certificate under another name cannot get
// the key by adopting the secret first.
func TestKeyStaysWhereItIsAdopted(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Key.Rotation, c.File = spec.RotateNever, "teams/a/certs.hcl"
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	first := w.Ledger.Record(t, "api").Live
	c.Name, c.File, c.Vault.Path = "mine", "teams/b/certs.hcl", first.Path
	w.Settle()
	adopted := w.Ledger.Record(t, "mine").Live
	if adopted == nil || adopted.KeyDigest != first.KeyDigest {
		t.Fatalf("it was not adopted: %+v", adopted)
	}
	c.Vault.Path = "tls/moved"
	w.Settle()
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	if moved := w.Ledger.Record(t, "mine").Live; moved.Path != "tls/moved" || moved.KeyDigest == first.KeyDigest {
		t.Errorf("team b got the key of team a: %+v", moved)
	}
}

func TestRotationRequestIsDoneOnce(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	c.Rotate = "2026-11-23 suspected compromise"
	if a := w.Only(); a.Kind != ledger.KindRotate || a.Detail != c.Rotate {
		t.Fatalf("plan: %+v", a)
	}
	w.Settle()
	if a := w.Only(); a.Kind != ledger.KindNone {
		t.Errorf("a rotation already done is planned again: %s", a.Kind)
	}
	if e := w.Ledger.Events(t)[1]; e.Operation != ledger.KindRotate || e.Detail != c.Rotate || e.Actor != "A. Owner <owner@example.com>" {
		t.Errorf("event: %+v", e)
	}
}

func TestShapeIsFixedAtCreation(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Key.Algorithm, c.Key.Size = spec.RSA, 3072
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	c.Key.Algorithm, c.Key.Size = "", 0
	if a := w.Only(); a.Kind != ledger.KindNone {
		t.Errorf("leaving the shape out plans %s", a.Kind)
	}
	c.Key.Algorithm = spec.ECDSA
	a := w.Only()
	if a.Kind != ledger.KindReissue || len(a.Changes) != 1 || a.Changes[0] != (plan.Change{Field: "key", Old: "rsa-3072", New: "ecdsa-P-256"}) {
		t.Errorf("stating another shape plans %s %v", a.Kind, a.Changes)
	}
}

// TestCrashAtEveryCall makes every port fail from its n-th call on. For each n, the
// next run must reach the same state with the same number of orders.
func TestCrashAtEveryCall(t *testing.T) {
	for n := 1; ; n++ {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
		dead := w.DyingAt(n)
		w.Settle()
		w.Settle()
		t.Run(fmt.Sprint("call ", n), func(t *testing.T) { reconciletest.CheckSettled(t, w) })
		if !dead {
			break
		}
		if n > 100 {
			t.Fatal("it never ends")
		}
	}
}

func TestFailureKeepsWhatIsLiveAndBacksOff(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	before := w.SecretPair("tls/api").Leaf().Raw
	w.At = w.At.Add(61 * times.Day)
	w.Ca.Fail = func(string, int) error {
		return &reconciletest.CaError{Code: "ca_unavailable", Text: "ordering: 503 the service is down for maintenance eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.abc"}
	}
	report, err := w.Apply(context.Background())
	if err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if !bytes.Equal(before, w.SecretPair("tls/api").Leaf().Raw) {
		t.Error("what was live was replaced")
	}
	r := w.Ledger.Record(t, "api")
	if r.State != ledger.StateFailing || r.Failures != 1 || r.LastFailure.Class != ledger.ClassCAUnavailable || r.Live == nil {
		t.Errorf("record: %+v", r)
	}
	if !strings.Contains(r.LastFailure.Message, "down for maintenance [redacted]") {
		t.Errorf("message: %q", r.LastFailure.Message)
	}
	if a := w.Only(); a.Kind != ledger.KindHold || a.Wants != ledger.KindRenew || !a.NotBefore.After(w.At) {
		t.Errorf("plan: %+v", a)
	}
	w.Ca.Fail = nil
	w.At = r.Hold.Until
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.State != ledger.StateLive || r.Failures != 0 || r.Hold != nil {
		t.Errorf("record after recovery: %+v", r)
	}
}

func TestASpecChangeEndsAHold(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_rejected", Text: "no"} }
	if _, err := w.Apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	if a := w.Only(); a.Kind != ledger.KindHold {
		t.Fatalf("plan: %s", a.Kind)
	}
	c.Domains[0] = spec.Domain{Typed: "web.example.com", ASCII: "web.example.com"}
	if a := w.Only(); a.Kind != ledger.KindIssue {
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
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
			w.Ca.Wrong = wrong
			report, err := w.Apply(context.Background())
			if err != nil || report.Failed() != 1 {
				t.Fatalf("report %+v, error %v", report, err)
			}
			if _, _, err := w.Vault.Read(context.Background(), "secret", "tls/api"); err == nil {
				t.Error("it was written")
			}
			if e := w.Ledger.Events(t)[0]; e.Class != ledger.ClassCARejected {
				t.Errorf("event: %+v", e)
			}
		})
	}
}

func TestAnUnreadableVaultIsNotAnEmptyOne(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	w.Vault.Fail = func(op, _ string) error { return errors.New("Vault is sealed") }
	if _, err := w.Reconciler().Observe(context.Background(), w.Desired); err == nil {
		t.Error("observing an unreadable Vault gave no error")
	}
}

func TestForeignSecrets(t *testing.T) {
	t.Run("a fitting pair is adopted", func(t *testing.T) {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
		key, err := keypair.NewKey("ecdsa-P-384")
		if err != nil {
			t.Fatal(err)
		}
		text, err := keypair.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		chain := w.Ca.Sign([]string{"api.example.com"}, key.Public())
		if _, err := w.Vault.Write(context.Background(), "secret", "tls/api", map[string]string{"crt": string(chain), "key": text}, 0); err != nil {
			t.Fatal(err)
		}
		if a := w.Only(); a.Kind != ledger.KindAdopt {
			t.Fatalf("plan: %s", a.Kind)
		}
		w.Settle()
		if len(w.Ca.Orders) != 0 {
			t.Error("adopting cost an order")
		}
		if r := w.Ledger.Record(t, "api"); r.Live == nil || r.Live.KeyShape != "ecdsa-P-384" {
			t.Errorf("record: %+v", r)
		}
		if a := w.Only(); a.Kind != ledger.KindNone {
			t.Errorf("plan afterwards: %s", a.Kind)
		}
	})
	t.Run("anything else is not overwritten", func(t *testing.T) {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
		if _, err := w.Vault.Write(context.Background(), "secret", "tls/api", map[string]string{"password": "of a database"}, 0); err != nil {
			t.Fatal(err)
		}
		report, err := w.Apply(context.Background())
		if err != nil || report.Failed() != 1 || report.Results[0].Event.Status != ledger.Denied {
			t.Fatalf("report %+v, error %v", report, err)
		}
		if _, version, _ := w.Vault.Read(context.Background(), "secret", "tls/api"); version != 1 || len(w.Ca.Orders) != 0 {
			t.Errorf("version %d, %d orders", version, len(w.Ca.Orders))
		}
		if a := w.Only(); a.Kind != ledger.KindHold {
			t.Errorf("plan afterwards: %s", a.Kind)
		}
	})
}

func TestDriftIsRestoredWithoutAnOrder(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	before := w.SecretPair("tls/api").Leaf().Raw
	if _, err := w.Vault.Write(context.Background(), "secret", "tls/api", map[string]string{"oops": "wrong path"}, 1); err != nil {
		t.Fatal(err)
	}
	if a := w.Only(); a.Kind != ledger.KindRepair || a.Reason != ledger.ReasonDrifted {
		t.Fatalf("plan: %s %s", a.Kind, a.Reason)
	}
	w.Settle()
	if !bytes.Equal(before, w.SecretPair("tls/api").Leaf().Raw) || len(w.Ca.Orders) != 1 {
		t.Errorf("%d orders", len(w.Ca.Orders))
	}
	if a := w.Only(); a.Kind != ledger.KindNone || a.Secret.Version != 3 {
		t.Errorf("plan afterwards: %s, version %d", a.Kind, a.Secret.Version)
	}
}

func TestRetire(t *testing.T) {
	for onRemove, want := range map[spec.OnRemove]struct {
		readable bool
		revoked  int
	}{spec.Keep: {true, 0}, spec.Delete: {false, 0}, spec.Revoke: {false, 1}} {
		t.Run(string(onRemove), func(t *testing.T) {
			c := reconciletest.Certificate("api", "api.example.com")
			c.OnRemove = onRemove
			w := reconciletest.NewWorld(t, c)
			w.Settle()
			w.Desired = reconciletest.Desire()
			if a := w.Only(); a.Kind != ledger.KindRetire {
				t.Fatalf("plan: %s", a.Kind)
			}
			w.Settle()
			if _, readable, _, _ := w.Vault.ReadMetadata(context.Background(), "secret", "tls/api"); readable != want.readable || len(w.Ca.Revoked) != want.revoked {
				t.Errorf("readable %v, revoked %v", readable, w.Ca.Revoked)
			}
			if r := w.Ledger.Record(t, "api"); r.State != ledger.StateRetired {
				t.Errorf("record: %+v", r)
			}
			if as := w.Plan(); len(as) != 0 {
				t.Errorf("plan afterwards: %+v", as)
			}
		})
	}
}

func TestAMovedPathIsUsedFromTheNextRenewalOn(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	c.Vault.Path = "tls/moved"
	if a := w.Only(); a.Kind != ledger.KindNone || len(a.Warnings) != 1 {
		t.Fatalf("plan: %s %v", a.Kind, a.Warnings)
	}
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	if err := w.SecretPair("tls/moved").Check(c.Names(), w.At); err != nil {
		t.Error(err)
	}
	if a := w.Only(); a.Kind != ledger.KindNone || a.At.Path != "tls/moved" {
		t.Errorf("plan afterwards: %s at %s", a.Kind, a.At)
	}
}

func TestOneFailureHoldsUpNoOther(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("a", "a.example.com"), reconciletest.Certificate("b", "b.example.com"), reconciletest.Certificate("c", "c.example.com"))
	w.Ca.Fail = func(op string, n int) error {
		if op == "finish" && n == 1 {
			return &reconciletest.CaError{Code: "validation", Gone: true, Text: "the TXT record was not found"}
		}
		return nil
	}
	report, err := w.Apply(context.Background())
	if err != nil || report.Failed() != 1 || len(report.Results) != 3 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if len(w.Ledger.Messages) != 1 {
		t.Errorf("%d commits for what ended together, want 1", len(w.Ledger.Messages))
	}
}

func TestInterruptIsNoFailure(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("a", "a.example.com"))
	ctx, cancel := context.WithCancel(context.Background())
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			cancel()
		}
		return nil
	}
	report, err := w.Apply(ctx)
	if err != nil || report.Interrupted != 1 || len(report.Results) != 0 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.Ca.Fail = nil
	w.Settle()
	if len(w.Ca.Orders) != 1 {
		t.Errorf("%d orders, want the one of the interrupted run", len(w.Ca.Orders))
	}
}

func TestGitOutageLosesNoEvent(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("a", "a.example.com"))
	r, planned := w.Planned()
	w.Ledger.Err = errors.New("connection refused")
	if _, err := r.Apply(context.Background(), w.Desired, ledger.Revision{}, planned); err == nil {
		t.Fatal("a ledger that cannot be reached gave no error")
	}
	w.Ledger.Err = nil
	w.Settle()
	if es := w.Ledger.Events(t); len(es) != 1 || es[0].NewSerial == "" {
		t.Errorf("events: %+v", es)
	}
	if len(w.Ca.Orders) != 1 {
		t.Errorf("%d orders", len(w.Ca.Orders))
	}
}

func TestALostRaceIsReplayed(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("a", "a.example.com"))
	other := ledger.Event{Schema: 1, ID: "other", Time: reconciletest.Start, Operation: ledger.KindIssue, Certificate: "z", Status: ledger.Success}
	w.Ledger.Race = func(tree fstest.MapFS) {
		files, err := archive.AppendEvents(tree, []ledger.Event{other}, reconciletest.Start)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range files {
			tree[name] = &fstest.MapFile{Data: b}
		}
	}
	w.Settle()
	es := w.Ledger.Events(t)
	if len(es) != 2 || es[0].ID != "other" || es[1].Certificate != "a" {
		t.Fatalf("events: %+v", es)
	}
	lines := bytes.Split(bytes.TrimSpace(w.Ledger.Tree["audit/2026/11.jsonl"].Data), []byte("\n"))
	if es[1].Prev != ledger.LineHash(lines[0]) {
		t.Error("the chain is broken")
	}
}

// TestRecordFollowsTheSpec checks that a changed on_remove applies when the block is
// removed, even if nothing was issued in between.
func TestRecordFollowsTheSpec(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	orders, writes := len(w.Ca.Orders), w.Vault.Writes
	c.OnRemove = spec.Delete
	w.Settle()
	if len(w.Ca.Orders) != orders || w.Vault.Writes != writes {
		t.Error("bringing the record up to date ordered, or wrote to Vault")
	}
	if r := w.Ledger.Record(t, "api"); r.OnRemove != spec.Delete || r.State != ledger.StateLive {
		t.Errorf("record: %+v", r)
	}
	if a := w.Only(); a.Kind != ledger.KindNone {
		t.Errorf("it is planned again: %s", a.Detail)
	}
	w.Desired = reconciletest.Desire()
	w.Settle()
	if _, live, _, _ := w.Vault.ReadMetadata(t.Context(), "secret", "tls/api"); live {
		t.Error("the secret is still there")
	}
}

// TestLostLedger checks that certroll rebuilds a lost ledger from Vault's metadata
// without an order.
func TestLostLedger(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	before := w.Ledger.Record(t, "api")
	w.Ledger = reconciletest.NewMemLedger()
	w.Settle()
	after := w.Ledger.Record(t, "api")
	if len(w.Ca.Orders) != 1 || after.Live.Serial != before.Live.Serial || after.Live.Names[0] != "api.example.com" || !after.RenewAt.Equal(*before.RenewAt) {
		t.Errorf("before %+v, after %+v", before.Live, after.Live)
	}
}

// TestRetireWaits checks that a failed retirement backs off instead of being retried in
// every pass.
func TestRetireWaits(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.OnRemove = spec.Revoke
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	w.Desired.Certificates = nil
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_unavailable", Text: "the CA is down"} }
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if a := w.Only(); a.Kind != ledger.KindHold || a.Wants != ledger.KindRetire || !a.NotBefore.After(w.At) {
		t.Fatalf("plan: %+v", a)
	}
	w.Ca.Fail = nil
	w.At = w.Only().NotBefore
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.State != ledger.StateRetired || len(w.Ca.Revoked) != 2 {
		t.Errorf("record %+v, %d revocations", r, len(w.Ca.Revoked))
	}
}

// TestRetiredTwice checks that a certificate that is retired, declared again and
// retired again has two retire events.
func TestRetiredTwice(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	for range 2 {
		w.Desired = reconciletest.Desire(c)
		w.Settle()
		w.At = w.At.Add(time.Minute)
		w.Desired = reconciletest.Desire()
		w.Settle()
		w.At = w.At.Add(time.Minute)
	}
	retired := 0
	for _, e := range w.Ledger.Events(t) {
		if e.Operation == ledger.KindRetire {
			retired++
		}
	}
	if retired != 2 {
		t.Errorf("%d retirements in the audit log, want 2", retired)
	}
}

// TestBadChainIsNotAskedForAgain checks that an order that delivered a bad chain is not
// used again.
func TestBadChainIsNotAskedForAgain(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Wrong = func(c *x509.Certificate) { c.DNSNames = []string{"evil.example.com"} }
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.Ca.Wrong = nil
	w.At = w.Only().NotBefore
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.State != ledger.StateLive || len(w.Ca.Orders) != 2 {
		t.Errorf("state %s after %d orders", r.State, len(w.Ca.Orders))
	}
}

// TestDraftTellsWhatItFollows checks that a run that crashes right after writing the
// secret is recognized by the next run, even if its pending secret replaced an earlier
// one.
func TestDraftTellsWhatItFollows(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_unavailable", Text: "the CA is down"} }
	_, _ = w.Apply(t.Context())
	w.Ca.Fail = nil
	c.Domains = append(c.Domains, spec.Domain{Typed: "www.example.com", ASCII: "www.example.com"})
	w.Vault.Fail = func(op, path string) error {
		if op == "write-metadata" && path == "secret/tls/api" {
			return errors.New("crash")
		}
		return nil
	}
	r, planned := w.Planned()
	w.Ledger.Err = errors.New("crash")
	_, _ = r.Apply(t.Context(), w.Desired, ledger.Revision{}, planned)
	w.Vault.Fail, w.Ledger.Err = nil, nil
	w.Journal.Lines = nil // the disk is lost
	if a := w.Only(); a.Reason != ledger.ReasonUnfinished {
		t.Fatalf("plan: %s %s", a.Reason, a.Detail)
	}
	w.Settle()
	if len(w.Ca.Orders) != 1 || w.Ledger.Record(t, "api").State != ledger.StateLive {
		t.Errorf("%d orders", len(w.Ca.Orders))
	}
}

// TestPairInOneField checks that certroll finds key and chain in one field, in either
// order.
func TestPairInOneField(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	data, _, err := w.Vault.Read(t.Context(), "secret", "tls/api")
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

// TestRefusedRevisionIsToldOnce checks that certroll records a rejected revision at
// once, and does not record it again with each pull.
func TestRefusedRevisionIsToldOnce(t *testing.T) {
	w := reconciletest.NewWorld(t)
	for range 2 {
		if err := w.Reconciler().Refuse(t.Context(), ledger.Revision{Commit: "bad", Author: "A. Owner <owner@example.com>"}, "c.hcl:1:1: Unknown block"); err != nil {
			t.Fatal(err)
		}
	}
	events := w.Ledger.Events(t)
	if len(events) != 1 || events[0].Operation != ledger.KindConfig || events[0].Revision != "bad" || events[0].Class != ledger.ClassConfig || len(w.Ledger.Messages) != 1 {
		t.Errorf("events: %+v, commits: %q", events, w.Ledger.Messages)
	}
}

// TestWhatComesBackBeginsAnew checks that failures from before a block was removed do
// not count as consecutive failures when the block returns.
func TestWhatComesBackBeginsAnew(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_rejected", Text: "no"} }
	for range 3 {
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.At = w.At.Add(2 * times.Day)
	}
	w.Desired = reconciletest.Desire()
	w.Settle()
	w.Desired = reconciletest.Desire(reconciletest.Certificate("api", "api.example.com"))
	if _, err := w.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := w.Ledger.Record(t, "api"); r.Failures != 1 || r.Severity != "" || !r.FailingSince.Equal(w.At) {
		t.Errorf("record: %+v", r)
	}
}
