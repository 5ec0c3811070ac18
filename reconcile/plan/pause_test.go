package plan_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestPausePlanned(t *testing.T) {
	until := reconciletest.Start.Add(70 * times.Day)
	cases := map[string]struct {
		view    func(*reconciletest.View)
		age     time.Duration
		kind    ledger.Kind
		reason  ledger.Reason
		detail  string
		warning string
	}{
		"begins": {func(v *reconciletest.View) { reconciletest.Pause(v, until, "moves"); v.Record.Unmanaged = nil }, times.Day, ledger.KindNote, ledger.ReasonPauseBegan,
			"renewal.auto is off until 2027-02-01T12:00:00Z (moves); it expires 2027-02-21", "certroll does not renew it until then"},
		"without an end": {func(v *reconciletest.View) { reconciletest.Pause(v, time.Time{}, "") }, times.Day, ledger.KindNone, ledger.ReasonUnmanaged, "renewal.auto is off; it expires 2027-02-21",
			"without an end: certroll does not renew it; set renewal.until"},
		"lasts": {func(v *reconciletest.View) { reconciletest.Pause(v, until, "moves") }, 69 * times.Day, ledger.KindNone, ledger.ReasonUnmanaged, "(moves)", "a renewal has been due since 2027-01-22, but renewal.auto is off"},
		"overdue, not told yet": {func(v *reconciletest.View) { reconciletest.Pause(v, until, ""); v.Record.Unmanaged.Overdue = false }, 60 * times.Day, ledger.KindNote, ledger.ReasonOverdue,
			"it would be renewed now, and renewal.auto is off", "certroll does not renew it"},
		"over, and due": {func(v *reconciletest.View) { reconciletest.Pause(v, until, "moves") }, 70 * times.Day, ledger.KindRenew, ledger.ReasonThreshold,
			"its pause until 2027-02-01T12:00:00Z (moves) is over", "is over: it is renewed again"},
		"over, and not due": {func(v *reconciletest.View) { reconciletest.Pause(v, reconciletest.Start.Add(10*times.Day), "") }, 10 * times.Day, ledger.KindNote, ledger.ReasonPauseEnded,
			"the pause until 2026-12-03T12:00:00Z is over: it is renewed again", "is over"},
		"another end": {func(v *reconciletest.View) {
			reconciletest.Pause(v, until, "")
			v.C.Renewal.Until = until.Add(times.Day)
		}, times.Day, ledger.KindNote, ledger.ReasonPauseBegan, "until 2027-02-02", ""},
		"on again": {func(v *reconciletest.View) { v.Record.Unmanaged = &ledger.Unmanaged{Since: reconciletest.Start} }, times.Day, ledger.KindNote, ledger.ReasonPauseEnded, "renewal.auto is on again", ""},
		"expired":  {func(v *reconciletest.View) { reconciletest.Pause(v, time.Time{}, "") }, 100 * times.Day, ledger.KindNone, ledger.ReasonUnmanaged, "it expires 2027-02-21", "but renewal.auto is off"},
		"gone from Vault": {func(v *reconciletest.View) {
			reconciletest.Pause(v, time.Time{}, "")
			v.Secret = plan.Secret{}
			v.Record.Live = nil
		}, times.Day, ledger.KindIssue, ledger.ReasonMissing, "no secret", "without an end"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := reconciletest.NewView()
			tc.view(v)
			a := v.At(tc.age)
			reconciletest.Expect(t, a, tc.kind, tc.reason, tc.detail)
			if tc.warning != "" {
				reconciletest.ExpectWarning(t, a, tc.warning)
			}
		})
	}
}

// TestPauseInTheLedger checks that the ledger shows who paused a certificate, when and
// in which commit, once that it would be due, and the end of the pause.
func TestPauseInTheLedger(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	w.At = w.At.Add(times.Day)
	until := reconciletest.Start.Add(65 * times.Day)
	c.Renewal.Auto, c.Renewal.Reason, c.Renewal.Until = false, "moves to another team", until
	w.Settle()
	w.Settle()
	u := w.Ledger.Record(t, "api").Unmanaged
	if u == nil || u.By != "A. Owner <owner@example.com>" || u.Revision != "c0ffee" || !u.Since.Equal(w.At) || u.Reason != c.Renewal.Reason || !u.Until.Equal(until) || u.Overdue {
		t.Fatalf("record: %+v", u)
	}
	if r := w.Ledger.Record(t, "api"); r.RenewAt != nil || r.State != ledger.StateLive {
		t.Errorf("record: %+v", r)
	}
	for range 3 {
		w.At = w.At.Add(20 * times.Day)
		w.Settle()
	}
	if !w.Ledger.Record(t, "api").Unmanaged.Overdue {
		t.Error("the record does not say that it is overdue")
	}
	w.At = until
	w.Settle()
	w.Settle()
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.Unmanaged != nil || r.RenewAt == nil {
		t.Errorf("record after the pause: %+v", r)
	}
	var events []string
	for _, e := range w.Ledger.Events(t) {
		events = append(events, string(e.Operation)+" "+string(e.Reason)+" "+string(e.Status))
	}
	want := "issue missing success, note renewal_off success, note unmanaged_overdue held, renew threshold success, note renewal_on success"
	if got := strings.Join(events, ", "); got != want {
		t.Errorf("events:\n%s, want\n%s", got, want)
	}
	if e := w.Ledger.Events(t)[1]; e.Actor != "A. Owner <owner@example.com>" || e.Cause != "spec" || e.Revision != "c0ffee" || !strings.Contains(e.Detail, "moves to another team") {
		t.Errorf("event: %+v", e)
	}
}

// TestFailureEndsWithAPause checks that pausing a certificate ends its failing state.
func TestFailureEndsWithAPause(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	w.At = w.At.Add(61 * times.Day)
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_rejected", Text: "no"} }
	if _, err := w.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Renewal.Auto = false
	w.Settle()
	w.Settle()
	r := w.Ledger.Record(t, "api")
	if r.State != ledger.StateLive || r.Hold != nil || r.Unmanaged == nil || !r.Unmanaged.Overdue || r.Live == nil {
		t.Errorf("record: %+v", r)
	}
	reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUnmanaged, "")
	c.Renewal = spec.Renewal{Auto: true, ThresholdDays: 30}
	reconciletest.Expect(t, w.Only(), ledger.KindRenew, ledger.ReasonThreshold, "")
}

// TestWhatCannotBeToldBacksOff checks that a pending secret that Vault does not let
// certroll delete does not cause an event per minute.
func TestWhatCannotBeToldBacksOff(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	w.At = w.At.Add(61 * times.Day)
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_rejected", Text: "no"} }
	if _, err := w.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Renewal.Auto = false
	w.Vault.Fail = func(op, _ string) error {
		if op == "destroy" {
			return reconciletest.ConflictError{Err: errors.New("403 permission denied")}
		}
		return nil
	}
	before := len(w.Ledger.Events(t))
	for range 60 {
		w.At = w.At.Add(time.Minute)
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.Ledger.Events(t)) - before; n < 1 || n > 3 {
		t.Errorf("%d events within an hour", n)
	}
	w.Vault.Fail = nil
	w.At = w.Only().NotBefore
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.State != ledger.StateLive {
		t.Errorf("record: %+v", r)
	}
}

// TestIssuedWithItsRenewalOff checks that such a certificate is recorded as unmanaged
// at once, and that the next plan adds nothing.
func TestIssuedWithItsRenewalOff(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Renewal.Auto, c.Renewal.Reason = false, "moves away"
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.Unmanaged == nil || r.Unmanaged.Reason != "moves away" || r.Unmanaged.Revision != "c0ffee" || r.RenewAt != nil {
		t.Errorf("record: %+v", r)
	}
	reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUnmanaged, "")
}
