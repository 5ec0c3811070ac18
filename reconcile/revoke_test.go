package reconcile

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
	"certroll/reconcile/times"
	"certroll/spec"
)

// compromised asks for a rotation that revokes.
func compromised(c *spec.Certificate) {
	c.Rotate, c.RotateRevoke = "2026-11-23 the key leaked", &spec.Revocation{Code: 1}
}

// TestRotateAndRevoke: the old one is revoked after the new one is live.
func TestRotateAndRevoke(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	compromised(c)
	live := ""
	w.ca.fail = func(op string, _ int) error {
		if op == "revoke" {
			live = keypair.SerialOf(w.secretPair("tls/api").Leaf())
		}
		return nil
	}
	w.settle()
	w.settle()
	if len(w.ca.revoked) != 1 || w.ca.revoked[0] != 1 {
		t.Fatalf("revoked for: %v", w.ca.revoked)
	}
	if live == before.Serial {
		t.Error("it was revoked before the new one was live")
	}
	es := w.ledger.events(t)
	if e := es[len(es)-1]; e.Operation != ledger.KindRotate || e.Reason != ledger.ReasonRotate || e.Detail != c.Rotate || e.Revoked != before.Serial || e.OldSerial != before.Serial ||
		e.NewSerial != live || e.Actor != "A. Owner <owner@example.com>" || len(es) != 2 {
		t.Errorf("event: %+v", e)
	}
}

// TestFailureToRevoke is told and tried again later, and holds up neither a
// renewal nor what there is to note.
func TestFailureToRevoke(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	compromised(c)
	w.ca.fail = revocationsFail("ca_rejected", "403 unauthorized")
	w.settle()
	r := w.ledger.record(t, "api")
	if r.State != ledger.StateLive || len(r.Revocations) != 1 || r.Revocations[0].Serial != before.Serial || r.Revocations[0].Version != 1 || r.Revocations[0].Code != 1 || !r.Revocations[0].NotAfter.Equal(before.NotAfter) {
		t.Fatalf("record: %+v", r)
	}
	es := w.ledger.events(t)
	if e := es[len(es)-1]; e.Status != ledger.Success || e.Revoked != "" || !strings.Contains(e.Detail, "serial "+before.Serial+" is not revoked yet; certroll retries: 403 unauthorized") {
		t.Errorf("event: %+v", e)
	}
	expect(t, w.only(), ledger.KindRevoke, ledger.ReasonRevocation, "serial "+before.Serial+" was replaced and is to be revoked")
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	a := w.only()
	expect(t, a, ledger.KindHold, ledger.ReasonBackoff, "failure 1 in a row (ca_rejected): 403 unauthorized")
	if a.Wants != ledger.KindRevoke || a.NotBefore.Before(w.at.Add(times.Day)) {
		t.Errorf("it waits until %s for %s", a.NotBefore, a.Wants)
	}

	c.Labels = map[string]string{"team": "edge"}
	expect(t, w.only(), ledger.KindRepair, ledger.ReasonBehind, "labels")
	w.settle()
	w.at = start.Add(61 * times.Day)
	expect(t, w.only(), ledger.KindRenew, ledger.ReasonThreshold, "")
	w.settle()
	if r := w.ledger.record(t, "api"); r.Live.Version != 3 || len(r.Revocations) != 1 {
		t.Errorf("record after the renewal: %+v", r)
	}
	w.ca.fail = nil
	w.settle()
	w.settle()
	if r := w.ledger.record(t, "api"); len(r.Revocations) != 0 || len(w.ca.revoked) != 3 {
		t.Errorf("%d revocations tried, record %+v", len(w.ca.revoked), r)
	}
	es = w.ledger.events(t)
	if e := es[len(es)-1]; e.Operation != ledger.KindRevoke || e.Status != ledger.Success || e.Revoked != before.Serial {
		t.Errorf("event: %+v", e)
	}
}

// TestRevocationEndsWithItsCertificate: one that expired need not be revoked,
// though its version, or its issuer, is long gone.
func TestRevocationEndsWithItsCertificate(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	compromised(c)
	w.ca.fail = revocationsFail("ca_unavailable", "503")
	w.settle()
	w.vault.secrets["secret/tls/api"].versions[0].deleted = true
	delete(w.vault.secrets, "secret/certroll/replaced/api")
	report, err := w.apply(t.Context())
	if err != nil || report.Failed() != 1 || !strings.Contains(report.Results[0].Event.Message, "version 1 of secret/tls/api, which holds it, is gone: revoke it at the CA by hand") {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.at = start.Add(61 * times.Day)
	w.settle() // the renewal
	w.at = start.Add(91 * times.Day)
	w.settle()
	if r := w.ledger.record(t, "api"); len(r.Revocations) != 0 {
		t.Errorf("record: %+v", r)
	}
	events := w.ledger.events(t)
	if e := events[len(events)-1]; e.Operation != ledger.KindRevoke || e.Revoked != "" || !strings.Contains(e.Detail, "it has expired meanwhile") {
		t.Errorf("it was not revoked, and is told so: %+v", e)
	}
}

// TestRotationWithRevokeSurvivesACrash at each call: one order, one
// revocation that worked.
func TestRotationWithRevokeSurvivesACrash(t *testing.T) {
	for n := 1; n < 60; n++ {
		c := certificate("api", "api.example.com")
		w := newWorld(t, c)
		w.settle()
		before := w.ledger.record(t, "api").Live.Serial
		compromised(c)
		if n%2 == 0 {
			c.Rotate += strings.Repeat(" and more", 100) // longer than metadata takes
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
		w.vault.fail = func(string, string) error { return step() }
		w.ca.fail = func(op string, _ int) error {
			err := step()
			if op == "revoke" && err == nil {
				revoked++
			}
			return err
		}
		obs, err := w.reconciler().Observe(t.Context(), w.desired)
		if err == nil {
			r := apply.New(&observe.Observer{Metadata: w.vault, StateMount: "secret", StatePrefix: "certroll"}, w.vault, w.ca, &dyingLedger{w.ledger, &dead}, &dyingJournal{w.journal, &dead}, w.opts)
			_, _ = r.Apply(t.Context(), w.desired, ledger.Revision{Commit: "c0ffee"}, plan.Plan(w.desired, obs, w.at))
		}
		done := !dead.Load()
		w.vault.fail = nil
		w.ca.fail = func(op string, _ int) error {
			if op == "revoke" {
				revoked++
			}
			return nil
		}
		for range 4 {
			w.settle()
		}
		t.Run(fmt.Sprint("call ", n), func(t *testing.T) {
			r := w.ledger.record(t, "api")
			if len(w.ca.orders) != 2 || r.Live.Serial == before || r.Live.Version != 2 {
				t.Errorf("%d orders, live %+v", len(w.ca.orders), r.Live)
			}
			if revoked == 0 || len(r.Revocations) != 0 {
				t.Errorf("%d revocations, waiting %+v", revoked, r.Revocations)
			}
			rotated := 0
			for _, e := range w.ledger.events(t) {
				if e.Operation == ledger.KindRotate && e.Status == ledger.Success {
					rotated++
				}
			}
			if rotated != 1 {
				t.Errorf("the audit log tells of %d rotations", rotated)
			}
			expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
		})
		if done {
			return
		}
	}
	t.Error("it never ends")
}

// TestForgedRevocation: who can push to the ledger can write a record. It has
// nothing revoked that is live, be it another certificate's.
func TestForgedRevocation(t *testing.T) {
	for name, of := range map[string]string{"its own": "api", "another's": "web"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, certificate("api", "api.example.com"), certificate("web", "web.example.com"))
			w.settle()
			live := w.ledger.record(t, of).Live
			forged := w.ledger.record(t, "api")
			forged.Revocations = []ledger.Revocation{{Serial: live.Serial, Issuer: live.Issuer, Mount: live.Mount, Path: live.Path, Version: live.Version, Code: 1}}
			b, err := json.Marshal(forged)
			if err != nil {
				t.Fatal(err)
			}
			w.ledger.tree[ledger.RecordFile("api")] = &fstest.MapFile{Data: b}
			w.ledger.messages = append(w.ledger.messages, "a push")
			report, err := w.apply(t.Context())
			if err != nil || report.Failed() != 1 {
				t.Fatalf("report %+v, error %v", report, err)
			}
			if e := report.Results[0].Event; e.Operation != ledger.KindRevoke || e.Status != ledger.Denied || len(w.ca.revoked) > 0 {
				t.Errorf("revoked %v, event %+v", w.ca.revoked, e)
			}
		})
	}
}

// TestRotationRequestThatComesBack forces nothing, also after a renewal
// without it.
func TestRotationRequestThatComesBack(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	for _, text := range []string{"2026-11-23 leaked", strings.Repeat("long ", 200)} {
		c.Rotate = text
		expect(t, w.only(), ledger.KindRotate, ledger.ReasonRotate, text)
		w.settle()
		expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
		c.Rotate = ""
		w.at = w.at.Add(61 * times.Day)
		w.settle()
		c.Rotate = text
		expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	}
}

// TestEarlierRotationRequestThatComesBack: one that was satisfied before another
// one forces nothing either.
func TestEarlierRotationRequestThatComesBack(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	for _, text := range []string{"first", "second"} {
		c.Rotate = text
		expect(t, w.only(), ledger.KindRotate, ledger.ReasonRotate, text)
		w.settle()
	}
	c.Rotate = "first"
	expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
}

// TestRevokesFromWhereItWas: a rotation that moves the secret and dies before it
// revokes finds the old certificate where it was.
func TestRevokesFromWhereItWas(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	c.Vault.Path = "tls/moved"
	c.Rotate, c.RotateRevoke = "leaked", &spec.Revocation{Code: 1}
	w.vault.fail = func(op, path string) error {
		if op == "write-metadata" && path == "secret/tls/moved" {
			return errors.New("crash")
		}
		return nil
	}
	r, actions := w.planned()
	w.ledger.err = errors.New("crash")
	_, _ = r.Apply(t.Context(), w.desired, ledger.Revision{}, actions)
	w.vault.fail, w.ledger.err, w.journal.lines = nil, nil, nil
	w.settle()
	es := w.ledger.events(t)
	if e := es[len(es)-1]; e.Operation != ledger.KindRotate || e.Revoked != before.Serial || len(w.ca.revoked) != 1 {
		t.Errorf("event %+v, revocations %v", e, w.ca.revoked)
	}
}

// TestRevokeAddedLater: a failed rotation whose block then asks for a revocation
// makes that too.
func TestRevokeAddedLater(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	c.Rotate = "leaked"
	w.ca.fail = func(string, int) error { return &caError{class: "ca_unavailable", text: "the CA is down"} }
	_, _ = w.apply(t.Context())
	w.ca.fail = nil
	c.RotateRevoke = &spec.Revocation{Code: 1}
	w.at = w.at.Add(times.Day)
	w.settle()
	es := w.ledger.events(t)
	if e := es[len(es)-1]; e.Operation != ledger.KindRotate || e.Revoked != before.Serial {
		t.Errorf("event %+v", e)
	}
}

// TestDriftLosesNoRotationRequest: a foreign pair that is taken over does not
// count as the rotation that was asked for meanwhile.
func TestDriftLosesNoRotationRequest(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		t.Fatal(err)
	}
	text, err := keypair.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.at = w.at.Add(time.Hour)
	if _, err := w.vault.Write(t.Context(), "secret", "tls/api", map[string]string{"crt": string(w.ca.sign([]string{"api.example.com"}, key.Public())), "key": text}, 1); err != nil {
		t.Fatal(err)
	}
	c.Rotate = "2026-11-23 leaked"
	w.settle()
	expect(t, w.only(), ledger.KindRotate, ledger.ReasonRotate, "leaked")
	w.settle()
	expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
}

// TestRevocationOfADeletedSecretIsNotForgotten: the secret is deleted before the
// rotation that was to revoke it is done. What is issued in its place satisfies
// that, and it is told that somebody has to revoke by hand.
func TestRevocationOfADeletedSecretIsNotForgotten(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	compromised(c)
	w.vault.secrets["secret/tls/api"].versions[0].deleted = true
	w.settle()
	r := w.ledger.record(t, "api")
	es := w.ledger.events(t)
	e := es[len(es)-1]
	if r.Live.Version != 2 || len(r.Revocations) != 1 || r.Revocations[0].Serial != before.Serial ||
		!strings.Contains(e.Detail, "serial "+before.Serial+" is not revoked yet") || !strings.Contains(e.Detail, "revoke it at the CA by hand") {
		t.Errorf("revocations %+v, event %+v", r.Revocations, e)
	}
}

// TestOneRevocationHoldsUpNoOther: what can never be revoked is told each time,
// and the one after it is revoked all the same.
func TestOneRevocationHoldsUpNoOther(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	w.ca.fail = revocationsFail("ca_unavailable", "503")
	for _, why := range []string{"the key leaked", "and again"} {
		c.Rotate, c.RotateRevoke = why, &spec.Revocation{Code: 1}
		w.settle()
	}
	w.ca.fail = nil
	w.vault.secrets["secret/tls/api"].versions[0].deleted = true
	delete(w.vault.secrets["secret/certroll/replaced/api"].versions[1].data, w.ledger.record(t, "api").Revocations[0].Serial)
	if n := len(w.ledger.record(t, "api").Revocations); n != 2 {
		t.Fatalf("%d wait", n)
	}
	for range 2 {
		if _, err := w.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.at = w.at.Add(2 * time.Minute)
	}
	if left := w.ledger.record(t, "api").Revocations; len(left) != 1 || left[0].Version != 1 {
		t.Errorf("there wait %+v", left)
	}
}

// TestARenewalIsNotCountedAfterRevocations: the first renewal that fails is the
// first failure, however often a revocation has failed before it.
func TestARenewalIsNotCountedAfterRevocations(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	compromised(c)
	w.ca.fail = revocationsFail("ca_rejected", "403 unauthorized")
	w.settle()
	for w.at.Before(start.Add(60 * times.Day)) {
		if _, err := w.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.at = w.at.Add(2 * times.Day)
	}
	if r := w.ledger.record(t, "api"); r.Failures < ledger.PageAfter || r.Severity != ledger.SeverityPage {
		t.Fatalf("record of the revocation: %+v", r)
	}
	w.ca.fail = func(string, int) error { return &caError{class: "ca_unavailable", text: "503"} }
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	r := w.ledger.record(t, "api")
	if wait := r.Hold.Until.Sub(w.at); r.LastFailure.Operation != ledger.KindRenew || r.Failures != 1 || r.Severity != "" || !r.FailingSince.Equal(w.at) || wait > 2*time.Minute {
		t.Errorf("after %s: %d failures since %s, severity %q, it waits %s", r.LastFailure.Operation, r.Failures, r.FailingSince, r.Severity, wait)
	}
}

// revocationsFail has a CA refuse to revoke, and do all else.
func revocationsFail(class, text string) func(op string, n int) error {
	return func(op string, _ int) error {
		if op == "revoke" {
			return &caError{class: class, text: text}
		}
		return nil
	}
}
