package attempt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
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

// TestRotateAndRevoke checks that the old certificate is revoked after the new one is
// live.
func TestRotateAndRevoke(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	reconciletest.Compromised(c)
	live := ""
	w.Ca.Fail = func(op string, _ int) error {
		if op == "revoke" {
			live = keypair.SerialOf(w.SecretPair("tls/api").Leaf())
		}
		return nil
	}
	w.Settle()
	w.Settle()
	if len(w.Ca.Revoked) != 1 || w.Ca.Revoked[0] != 1 {
		t.Fatalf("revoked for: %v", w.Ca.Revoked)
	}
	if live == before.Serial {
		t.Error("it was revoked before the new one was live")
	}
	es := w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Operation != ledger.KindRotate || e.Reason != ledger.ReasonRotate || e.Detail != c.Rotate || e.Revoked != before.Serial || e.OldSerial != before.Serial ||
		e.NewSerial != live || e.Actor != "A. Owner <owner@example.com>" || len(es) != 2 {
		t.Errorf("event: %+v", e)
	}
}

// TestFailureToRevoke checks that a failed revocation is recorded and retried later,
// and delays neither renewals nor records.
func TestFailureToRevoke(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	reconciletest.Compromised(c)
	w.Ca.Fail = revocationsFail("ca_rejected", "403 unauthorized")
	w.Settle()
	r := w.Ledger.Record(t, "api")
	if r.State != ledger.StateLive || len(r.Revocations) != 1 || r.Revocations[0].Serial != before.Serial || r.Revocations[0].Version != 1 || r.Revocations[0].Code != 1 || !r.Revocations[0].NotAfter.Equal(before.NotAfter) {
		t.Fatalf("record: %+v", r)
	}
	es := w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Status != ledger.Success || e.Revoked != "" || !strings.Contains(e.Detail, "serial "+before.Serial+" is not revoked yet; certroll retries: 403 unauthorized") {
		t.Errorf("event: %+v", e)
	}
	reconciletest.Expect(t, w.Only(), ledger.KindRevoke, ledger.ReasonRevocation, "serial "+before.Serial+" was replaced and is to be revoked")
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	a := w.Only()
	reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonBackoff, "failure 1 in a row (ca_rejected): 403 unauthorized")
	if a.Wants != ledger.KindRevoke || a.NotBefore.Before(w.At.Add(times.Day)) {
		t.Errorf("it waits until %s for %s", a.NotBefore, a.Wants)
	}

	c.Labels = map[string]string{"team": "edge"}
	reconciletest.Expect(t, w.Only(), ledger.KindRepair, ledger.ReasonBehind, "labels")
	w.Settle()
	w.At = reconciletest.Start.Add(61 * times.Day)
	reconciletest.Expect(t, w.Only(), ledger.KindRenew, ledger.ReasonThreshold, "")
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.Live.Version != 3 || len(r.Revocations) != 1 {
		t.Errorf("record after the renewal: %+v", r)
	}
	w.Ca.Fail = nil
	w.Settle()
	w.Settle()
	if r := w.Ledger.Record(t, "api"); len(r.Revocations) != 0 || len(w.Ca.Revoked) != 3 {
		t.Errorf("%d revocations tried, record %+v", len(w.Ca.Revoked), r)
	}
	es = w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Operation != ledger.KindRevoke || e.Status != ledger.Success || e.Revoked != before.Serial {
		t.Errorf("event: %+v", e)
	}
}

// TestRevocationEndsWithItsCertificate checks that certroll stops trying to revoke a
// certificate once it has expired, even if its version or issuer is gone.
func TestRevocationEndsWithItsCertificate(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	reconciletest.Compromised(c)
	w.Ca.Fail = revocationsFail("ca_unavailable", "503")
	w.Settle()
	w.Vault.Secrets["secret/tls/api"].Versions[0].Deleted = true
	delete(w.Vault.Secrets, "secret/certroll/replaced/api")
	report, err := w.Apply(t.Context())
	if err != nil || report.Failed() != 1 || !strings.Contains(report.Results[0].Event.Message, "version 1 of secret/tls/api, which holds it, is gone: revoke it at the CA by hand") {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.At = reconciletest.Start.Add(61 * times.Day)
	w.Settle() // renewal
	w.At = reconciletest.Start.Add(91 * times.Day)
	w.Settle()
	if r := w.Ledger.Record(t, "api"); len(r.Revocations) != 0 {
		t.Errorf("record: %+v", r)
	}
	events := w.Ledger.Events(t)
	if e := events[len(events)-1]; e.Operation != ledger.KindRevoke || e.Revoked != "" || !strings.Contains(e.Detail, "it has expired meanwhile") {
		t.Errorf("it was not revoked, and is told so: %+v", e)
	}
}

// TestRotationWithRevokeSurvivesACrash checks that a crash at each call leads to one
// order and one successful revocation.
func TestRotationWithRevokeSurvivesACrash(t *testing.T) {
	for n := 1; n < 60; n++ {
		c := reconciletest.Certificate("api", "api.example.com")
		w := reconciletest.NewWorld(t, c)
		w.Settle()
		before := w.Ledger.Record(t, "api").Live.Serial
		reconciletest.Compromised(c)
		if n%2 == 0 {
			c.Rotate += strings.Repeat(" and more", 100) // longer than metadata allows
		}
		var calls atomic.Int64
		var dead atomic.Bool
		revoked := 0
		step := func() error {
			if calls.Add(1) >= int64(n) {
				dead.Store(true)
				return errors.New("crash")
			}
			return nil
		}
		w.Vault.Fail = func(string, string) error { return step() }
		w.Ca.Fail = func(op string, _ int) error {
			err := step()
			if op == "revoke" && err == nil {
				revoked++
			}
			return err
		}
		obs, err := w.Reconciler().Observe(t.Context(), w.Desired)
		if err == nil {
			r := apply.New(&observe.Observer{Metadata: w.Vault, StateMount: "secret", StatePrefix: "certroll"}, w.Vault, w.Ca, &reconciletest.DyingLedger{MemLedger: w.Ledger, Dead: &dead}, &reconciletest.DyingJournal{MemJournal: w.Journal, Dead: &dead}, w.Opts)
			_, _ = r.Apply(t.Context(), w.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(w.Desired, obs, w.At))
		}
		done := !dead.Load()
		w.Vault.Fail = nil
		w.Ca.Fail = func(op string, _ int) error {
			if op == "revoke" {
				revoked++
			}
			return nil
		}
		for range 4 {
			w.Settle()
		}
		t.Run(fmt.Sprint("call ", n), func(t *testing.T) {
			r := w.Ledger.Record(t, "api")
			if len(w.Ca.Orders) != 2 || r.Live.Serial == before || r.Live.Version != 2 {
				t.Errorf("%d orders, live %+v", len(w.Ca.Orders), r.Live)
			}
			if revoked == 0 || len(r.Revocations) != 0 {
				t.Errorf("%d revocations, waiting %+v", revoked, r.Revocations)
			}
			rotated := 0
			for _, e := range w.Ledger.Events(t) {
				if e.Operation == ledger.KindRotate && e.Status == ledger.Success {
					rotated++
				}
			}
			if rotated != 1 {
				t.Errorf("the audit log tells of %d rotations", rotated)
			}
			reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
		})
		if done {
			return
		}
	}
	t.Error("it never ends")
}

// TestForgedRevocation checks that a record forged by somebody with push access cannot
// revoke a live certificate, also not another certificate's.
func TestForgedRevocation(t *testing.T) {
	for name, of := range map[string]string{"its own": "api", "another's": "web"} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("web", "web.example.com"))
			w.Settle()
			live := w.Ledger.Record(t, of).Live
			forged := w.Ledger.Record(t, "api")
			forged.Revocations = []ledger.Revocation{{Serial: live.Serial, Issuer: live.Issuer, Mount: live.Mount, Path: live.Path, Version: live.Version, Code: 1}}
			b, err := json.Marshal(forged)
			if err != nil {
				t.Fatal(err)
			}
			w.Ledger.Tree[ledger.RecordFile("api")] = &fstest.MapFile{Data: b}
			w.Ledger.Messages = append(w.Ledger.Messages, "a push")
			report, err := w.Apply(t.Context())
			if err != nil || report.Failed() != 1 {
				t.Fatalf("report %+v, error %v", report, err)
			}
			if e := report.Results[0].Event; e.Operation != ledger.KindRevoke || e.Status != ledger.Denied || len(w.Ca.Revoked) > 0 {
				t.Errorf("revoked %v, event %+v", w.Ca.Revoked, e)
			}
		})
	}
}

// TestRotationRequestThatComesBack checks that an earlier rotate text that is set again
// forces nothing, also after a renewal without it.
func TestRotationRequestThatComesBack(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	for _, text := range []string{"2026-11-23 leaked", strings.Repeat("long ", 200)} {
		c.Rotate = text
		reconciletest.Expect(t, w.Only(), ledger.KindRotate, ledger.ReasonRotate, text)
		w.Settle()
		reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
		c.Rotate = ""
		w.At = w.At.Add(61 * times.Day)
		w.Settle()
		c.Rotate = text
		reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	}
}

// TestEarlierRotationRequestThatComesBack checks the same for a rotate text that was
// fulfilled before another one.
func TestEarlierRotationRequestThatComesBack(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	for _, text := range []string{"first", "second"} {
		c.Rotate = text
		reconciletest.Expect(t, w.Only(), ledger.KindRotate, ledger.ReasonRotate, text)
		w.Settle()
	}
	c.Rotate = "first"
	reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
}

// TestRevokesFromWhereItWas checks that a rotation that moves the secret and dies
// before the revocation finds the old certificate at the old path.
func TestRevokesFromWhereItWas(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	c.Vault.Path = "tls/moved"
	c.Rotate, c.RotateRevoke = "leaked", &spec.Revocation{Code: 1}
	w.Vault.Fail = func(op, path string) error {
		if op == "write-metadata" && path == "secret/tls/moved" {
			return errors.New("crash")
		}
		return nil
	}
	r, planned := w.Planned()
	w.Ledger.Err = errors.New("crash")
	_, _ = r.Apply(t.Context(), w.Desired, ledger.Revision{}, planned)
	w.Vault.Fail, w.Ledger.Err, w.Journal.Lines = nil, nil, nil
	w.Settle()
	es := w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Operation != ledger.KindRotate || e.Revoked != before.Serial || len(w.Ca.Revoked) != 1 {
		t.Errorf("event %+v, revocations %v", e, w.Ca.Revoked)
	}
}

// TestRevokeAddedLater checks that a failed rotation also revokes if its block requests
// the revocation later.
func TestRevokeAddedLater(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	c.Rotate = "leaked"
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_unavailable", Text: "the CA is down"} }
	_, _ = w.Apply(t.Context())
	w.Ca.Fail = nil
	c.RotateRevoke = &spec.Revocation{Code: 1}
	w.At = w.At.Add(times.Day)
	w.Settle()
	es := w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Operation != ledger.KindRotate || e.Revoked != before.Serial {
		t.Errorf("event %+v", e)
	}
}

// TestDriftLosesNoRotationRequest checks that adopting a foreign pair does not fulfill
// a pending rotation request.
func TestDriftLosesNoRotationRequest(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		t.Fatal(err)
	}
	text, err := keypair.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.At = w.At.Add(time.Hour)
	if _, err := w.Vault.Write(t.Context(), "secret", "tls/api", map[string]string{"crt": string(w.Ca.Sign([]string{"api.example.com"}, key.Public())), "key": text}, 1); err != nil {
		t.Fatal(err)
	}
	c.Rotate = "2026-11-23 leaked"
	w.Settle()
	reconciletest.Expect(t, w.Only(), ledger.KindRotate, ledger.ReasonRotate, "leaked")
	w.Settle()
	reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
}

// TestRevocationOfADeletedSecretIsNotForgotten checks a secret that is deleted before
// its rotation with revocation is done. The new certificate fulfills the rotation, and
// the event says that somebody must revoke the old one by hand.
func TestRevocationOfADeletedSecretIsNotForgotten(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	reconciletest.Compromised(c)
	w.Vault.Secrets["secret/tls/api"].Versions[0].Deleted = true
	w.Settle()
	r := w.Ledger.Record(t, "api")
	es := w.Ledger.Events(t)
	e := es[len(es)-1]
	if r.Live.Version != 2 || len(r.Revocations) != 1 || r.Revocations[0].Serial != before.Serial ||
		!strings.Contains(e.Detail, "serial "+before.Serial+" is not revoked yet") || !strings.Contains(e.Detail, "revoke it at the CA by hand") {
		t.Errorf("revocations %+v, event %+v", r.Revocations, e)
	}
}

// TestOneRevocationHoldsUpNoOther checks that a revocation that can never succeed is
// reported each time, and that the next one still runs.
func TestOneRevocationHoldsUpNoOther(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	w.Ca.Fail = revocationsFail("ca_unavailable", "503")
	for _, why := range []string{"the key leaked", "and again"} {
		c.Rotate, c.RotateRevoke = why, &spec.Revocation{Code: 1}
		w.Settle()
	}
	w.Ca.Fail = nil
	w.Vault.Secrets["secret/tls/api"].Versions[0].Deleted = true
	delete(w.Vault.Secrets["secret/certroll/replaced/api"].Versions[1].Data, w.Ledger.Record(t, "api").Revocations[0].Serial)
	if n := len(w.Ledger.Record(t, "api").Revocations); n != 2 {
		t.Fatalf("%d wait", n)
	}
	for range 2 {
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.At = w.At.Add(2 * time.Minute)
	}
	if left := w.Ledger.Record(t, "api").Revocations; len(left) != 1 || left[0].Version != 1 {
		t.Errorf("there wait %+v", left)
	}
}

// TestARenewalIsNotCountedAfterRevocations checks that failed revocations do not count
// as failures of the next renewal.
func TestARenewalIsNotCountedAfterRevocations(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	reconciletest.Compromised(c)
	w.Ca.Fail = revocationsFail("ca_rejected", "403 unauthorized")
	w.Settle()
	for w.At.Before(reconciletest.Start.Add(60 * times.Day)) {
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.At = w.At.Add(2 * times.Day)
	}
	if r := w.Ledger.Record(t, "api"); r.Failures < ledger.PageAfter || r.Severity != ledger.SeverityPage {
		t.Fatalf("record of the revocation: %+v", r)
	}
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_unavailable", Text: "503"} }
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	r := w.Ledger.Record(t, "api")
	if wait := r.Hold.Until.Sub(w.At); r.LastFailure.Operation != ledger.KindRenew || r.Failures != 1 || r.Severity != "" || !r.FailingSince.Equal(w.At) || wait > 2*time.Minute {
		t.Errorf("after %s: %d failures since %s, severity %q, it waits %s", r.LastFailure.Operation, r.Failures, r.FailingSince, r.Severity, wait)
	}
}

// revocationsFail makes the CA reject revocations only.
func revocationsFail(class, text string) func(op string, n int) error {
	return func(op string, _ int) error {
		if op == "revoke" {
			return &reconciletest.CaError{Code: class, Text: text}
		}
		return nil
	}
}
