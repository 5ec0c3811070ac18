package plan_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
)

// TestExpiring checks that a certificate that expires soon and has a problem is
// recorded once, and that a healthy one, or one with time left, is not.
func TestExpiring(t *testing.T) {
	now := reconciletest.NoticeAt
	action := func(name string, life, left time.Duration, edit func(*ledger.Record)) plan.Action {
		l := &ledger.Live{Serial: name, NotBefore: now.Add(left - life), NotAfter: now.Add(left - time.Second), Issuer: "le"}
		due := now.Add(-time.Minute)
		r := &ledger.Record{Certificate: name, State: ledger.StateLive, Live: l, RenewAt: &due}
		if edit != nil {
			edit(r)
		}
		return plan.Action{Certificate: name, Spec: reconciletest.Certificate(name, name+".example.com"), Record: r, Secret: plan.Secret{Owner: name, Live: l}}
	}
	failing := func(r *ledger.Record) {
		r.State, r.Failures, r.LastFailure = ledger.StateFailing, 2, &ledger.Failure{Class: ledger.ClassCAA, Message: "forbidden"}
	}
	cases := map[string]struct {
		a        plan.Action
		recorded bool
	}{
		"failing, 13 days left":                {action("x", 90*times.Day, 13*times.Day, failing), true},
		"failing, 20 days left":                {action("x", 90*times.Day, 20*times.Day, failing), false},
		"failing, of 45 days, 10 left":         {action("x", 45*times.Day, 10*times.Day, failing), false},
		"failing, of 45 days, 7 left":          {action("x", 45*times.Day, 7*times.Day, failing), true},
		"failing, of 160 hours, 30 left":       {action("x", 160*time.Hour, 30*time.Hour, failing), false},
		"failing, of 160 hours, 20 left":       {action("x", 160*time.Hour, 20*time.Hour, failing), true},
		"expired":                              {action("x", 90*times.Day, -times.Day, failing), true},
		"in order, of six days":                {action("x", 160*time.Hour, 20*time.Hour, nil), false},
		"its renewal is off":                   {action("x", 90*times.Day, 5*times.Day, func(r *ledger.Record) { r.RenewAt, r.Unmanaged = nil, &ledger.Unmanaged{Reason: "moves"} }), true},
		"off, of an hour, 59 minutes left":     {action("x", time.Hour, 59*time.Minute, func(r *ledger.Record) { r.RenewAt, r.Unmanaged = nil, &ledger.Unmanaged{} }), true},
		"failing, of an hour, 59 minutes left": {action("x", time.Hour, 59*time.Minute, failing), false},
		"nobody has tried for long":            {action("x", 90*times.Day, 5*times.Day, func(r *ledger.Record) { at := now.Add(-10 * times.Day); r.RenewAt = &at }), true},
		"its secret cannot be looked at": {func() plan.Action {
			a := action("x", 90*times.Day, 5*times.Day, func(r *ledger.Record) { at := now.Add(-10 * times.Day); r.RenewAt = &at })
			a.Secret, a.HeldBy = plan.Secret{}, ledger.UnreadableSubject
			return a
		}(), true},
		"another's secret":                     {func() plan.Action { a := action("x", 90*times.Day, times.Day, failing); a.Secret.Owner = "y"; return a }(), false},
		"gone from the spec":                   {func() plan.Action { a := action("x", 90*times.Day, times.Day, failing); a.Spec = nil; return a }(), false},
		"nothing is known of it in the ledger": {func() plan.Action { a := action("x", 90*times.Day, times.Day, failing); a.Record = nil; return a }(), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			events := plan.ExpiringEvents([]plan.Action{tc.a}, ledger.Revision{}, now)
			if len(events) == 1 != tc.recorded {
				t.Fatalf("told %d times", len(events))
			}
			if again := plan.ExpiringEvents([]plan.Action{tc.a}, ledger.Revision{}, now.Add(time.Hour)); tc.recorded && again[0].ID != events[0].ID {
				t.Error("told later it is another event")
			}
		})
	}
}

// TestExpiringIsInTheLedger checks that such an event is recorded once over many passes
// and processes.
func TestExpiringIsInTheLedger(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	_, _ = w.Apply(t.Context())
	w.Ca.Fail = func(op string, _ int) error { return &reconciletest.CaError{Code: "caa", Text: "forbidden"} }
	w.At = w.Ledger.Record(t, "api").Live.NotAfter.Add(-13 * times.Day)
	for range 3 {
		_, _ = w.Apply(t.Context())
		w.At = w.At.Add(time.Minute)
	}
	var recorded []ledger.Reason
	for _, e := range w.Ledger.Events(t) {
		if e.Reason == ledger.ReasonExpiring {
			recorded = append(recorded, e.Reason)
		}
	}
	if len(recorded) != 1 {
		t.Errorf("told %d times", len(recorded))
	}
	w.Ca.Fail = nil
	w.At = w.At.Add(2 * times.Day)
	_, _ = w.Apply(t.Context())
	events := w.Ledger.Events(t)
	if last := events[len(events)-1]; last.Status != ledger.Success || last.Recovered != 1 {
		t.Errorf("the recovery is told as %+v", last)
	}
}

// TestTaken checks that the first revision accepted after a rejected one is recorded,
// once.
func TestTaken(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	ctx := context.Background()
	said := func() (recorded []ledger.Reason) {
		for _, e := range w.Ledger.Events(t) {
			if e.Operation == ledger.KindConfig {
				recorded = append(recorded, e.Reason)
			}
		}
		return recorded
	}
	take := func() {
		t.Helper()
		if err := w.Reconciler().Taken(ctx, ledger.Revision{Commit: "f00d", Author: "A. Owner <owner@example.com>"}); err != nil {
			t.Fatal(err)
		}
	}
	take()
	if recorded := said(); len(recorded) != 0 {
		t.Errorf("told where none was refused: %v", recorded)
	}
	if err := w.Reconciler().Refuse(ctx, ledger.Revision{Commit: "bad"}, "a mistake"); err != nil {
		t.Fatal(err)
	}
	take()
	take()
	if recorded := said(); !slices.Equal(recorded, []ledger.Reason{ledger.ReasonRefused, ledger.ReasonTaken}) {
		t.Errorf("told: %v", recorded)
	}
}

// TestExpiringByTheThousand checks that thousands of them are recorded once, not with
// each pass.
func TestExpiringByTheThousand(t *testing.T) {
	w := reconciletest.NewWorld(t)
	r := w.Reconciler()
	var events []ledger.Event
	for i := range 1500 {
		events = append(events, ledger.Event{ID: ledger.EventID("expiring", fmt.Sprint(i))})
	}
	for range 3 {
		for _, some := range [][]ledger.Event{events, nil} {
			if err := r.NoteHeld(some); err != nil {
				t.Fatal(err)
			}
		}
		w.At = w.At.Add(times.Day)
	}
	if n := len(w.Journal.Lines); n != len(events) {
		t.Errorf("%d of them are told %d times", len(events), n)
	}
	w.At = w.At.Add(2 * times.Day)
	if err := r.NoteHeld(nil); err != nil || len(r.Held) > 0 {
		t.Errorf("%d that are over are remembered: %v", len(r.Held), err)
	}
}
