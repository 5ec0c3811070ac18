package recorder_test

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/recorder"
)

var (
	commitA = strings.Repeat("a", 40)
	commitB = strings.Repeat("b", 40)
	commitC = strings.Repeat("c", 40)
)

// TestWithheldIsToldOnce checks that a withheld revision is recorded once with its
// reason, not again with each pull, and that the last accepted revision stays in force.
func TestWithheldIsToldOnce(t *testing.T) {
	w := reconciletest.NewWorld(t)
	r := w.Reconciler()
	for range 2 {
		for _, reason := range []ledger.Reason{ledger.ReasonUnsigned, ledger.ReasonRewritten} {
			held := recorder.Withheld{Revision: ledger.Revision{Commit: commitB, Author: "Eve <eve@example.com>"}, Reason: reason, Old: archive.Taken{Commit: commitA, At: reconciletest.Start}, Message: "it is not signed"}
			if err := r.Withhold(t.Context(), held); err != nil {
				t.Fatal(err)
			}
		}
	}
	events := w.Ledger.Events(t)
	if len(events) != 2 {
		t.Fatalf("events: %+v", events)
	}
	if e := events[0]; e.Operation != ledger.KindConfig || e.Status != ledger.Denied || e.Class != ledger.ClassConfig || e.Reason != ledger.ReasonUnsigned || e.Severity != ledger.SeverityPage ||
		e.Revision != commitB || e.OldRevision != commitA || e.Actor != "Eve <eve@example.com>" || e.Message != "it is not signed" {
		t.Errorf("event: %+v", e)
	}
	if taken, err := archive.LastTaken(w.Snapshot(t)); err != nil || taken != (archive.Taken{}) {
		t.Errorf("taken: %+v, %v", taken, err)
	}
}

// TestAccepted checks that consent applies to one commit and counts once.
func TestAccepted(t *testing.T) {
	w := reconciletest.NewWorld(t)
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	accept := func(commit string, at time.Time) {
		t.Helper()
		w.At = at
		if err := w.Reconciler().Accept(t.Context(), ledger.Revision{Commit: commit, Author: "Eve <eve@example.com>"}, "ops@host"); err != nil {
			t.Fatal(err)
		}
	}
	accept(commitB, at)
	tests := map[string]struct {
		commit string
		since  time.Time
		want   bool
	}{
		"this one":        {commitB, at.Add(-time.Hour), true},
		"long after":      {commitB, at.AddDate(-1, 0, 0), true},
		"another one":     {commitC, at.Add(-time.Hour), false},
		"used up":         {commitB, at, false},
		"used up by then": {commitB, at.AddDate(0, 1, 0), false},
	}
	for name, test := range tests {
		if got, err := archive.AcceptedSince(w.Snapshot(t), test.commit, test.since); err != nil || got != test.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if taken, err := archive.LastTaken(w.Snapshot(t)); err != nil || taken != (archive.Taken{Commit: commitB, At: at}) {
		t.Errorf("taken: %+v, %v", taken, err)
	}
	e := w.Ledger.Events(t)[0]
	if e.Status != ledger.Success || e.Reason != ledger.ReasonAccepted || e.Actor != "ops@host" || e.Cause != "command" || e.OldRevision != "" || !strings.Contains(e.Detail, "Eve") {
		t.Errorf("event: %+v", e)
	}
	// The same consent later is a new one.
	accept(commitB, at.Add(time.Hour))
	if got, err := archive.AcceptedSince(w.Snapshot(t), commitB, at.Add(time.Minute)); err != nil || !got {
		t.Errorf("the second consent: %v, %v", got, err)
	}
	if events := w.Ledger.Events(t); events[1].OldRevision != commitB {
		t.Errorf("it is told to be instead of %s", events[1].OldRevision)
	}
}

// TestConsentByAClockThatIsBehind checks a consent from a machine whose clock is
// minutes behind the one that last recorded the revision in force. The consent must
// count as later.
func TestConsentByAClockThatIsBehind(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	r, planned := w.Planned()
	if _, err := r.Apply(t.Context(), w.Desired, ledger.Revision{Commit: commitA}, planned); err != nil {
		t.Fatal(err)
	}
	before, err := archive.LastTaken(w.Snapshot(t))
	if err != nil || before.Commit != commitA {
		t.Fatalf("taken: %+v, %v", before, err)
	}
	w.At = w.At.Add(-5 * time.Minute)
	if err := w.Reconciler().Accept(t.Context(), ledger.Revision{Commit: commitB}, "ops@host"); err != nil {
		t.Fatal(err)
	}
	if got, err := archive.AcceptedSince(w.Snapshot(t), commitB, before.At); err != nil || !got {
		t.Errorf("accepted: %v, %v", got, err)
	}
}

// TestLastTaken checks that a rejected or withheld revision was never in force, and
// that a directory has no commit.
func TestLastTaken(t *testing.T) {
	day1 := time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC)
	events := []ledger.Event{
		{ID: "1", Time: day1, Operation: ledger.KindIssue, Status: ledger.Failed, Revision: commitA},
		{ID: "2", Time: day1.Add(time.Hour), Operation: ledger.KindIssue, Status: ledger.Success, Revision: commitA + "-dirty"},
		{ID: "3", Time: day1.Add(2 * time.Hour), Operation: ledger.KindConfig, Status: ledger.Failed, Revision: commitB},
		{ID: "4", Time: day1.Add(3 * time.Hour), Operation: ledger.KindConfig, Status: ledger.Denied, Revision: commitC},
		{ID: "5", Time: day1.Add(4 * time.Hour), Operation: ledger.KindPass, Status: ledger.Failed},
	}
	w := reconciletest.NewWorld(t)
	for _, e := range events {
		if err := w.Reconciler().Writer.Note(ledger.Entry{Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Reconciler().Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	if taken, err := archive.LastTaken(w.Snapshot(t)); err != nil || taken != (archive.Taken{Commit: commitA, At: day1}) {
		t.Errorf("taken: %+v, %v", taken, err)
	}
}
