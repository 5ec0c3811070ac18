package recorder_test

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
)

// TestLostHeads checks that the audit log itself shows that the ledger was rewritten,
// until a person accepts exactly that head.
func TestLostHeads(t *testing.T) {
	rewound := func(head, message string) ledger.Event {
		return ledger.Event{Operation: ledger.KindNote, Status: ledger.Failed, Reason: ledger.ReasonRewound, OldRevision: head, Message: message, Time: reconciletest.Start}
	}
	accepted := func(head string) ledger.Event {
		return ledger.Event{Operation: ledger.KindNote, Status: ledger.Success, Reason: ledger.ReasonAccepted, Subject: archive.LedgerSubject, OldRevision: head}
	}
	earlier := rewound("", "the branch does not go on from the head: expected a head that descends from commit "+commitA+", seen no branch")
	for name, tc := range map[string]struct {
		events []ledger.Event
		want   string
	}{
		"never":                          {[]ledger.Event{{Operation: ledger.KindIssue, Status: ledger.Success}}, ""},
		"once":                           {[]ledger.Event{rewound(commitA, "")}, commitA},
		"told by an earlier version":     {[]ledger.Event{earlier}, commitA},
		"accepted":                       {[]ledger.Event{rewound(commitA, ""), accepted(commitA)}, ""},
		"another is accepted":            {[]ledger.Event{rewound(commitA, ""), accepted(commitB)}, commitA},
		"one of two is accepted":         {[]ledger.Event{rewound(commitA, ""), rewound(commitB, ""), accepted(commitA)}, commitB},
		"lost again after it":            {[]ledger.Event{rewound(commitA, ""), accepted(commitA), rewound(commitA, "")}, commitA},
		"a revision's consent is no one": {[]ledger.Event{rewound(commitA, ""), {Operation: ledger.KindConfig, Status: ledger.Success, Reason: ledger.ReasonAccepted, OldRevision: commitA}}, commitA},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, l := range archive.LostHeads(tc.events) {
				got = append(got, l.Commit)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("lost: %v, want %q", got, tc.want)
			}
			if last := archive.LastRewound(tc.events); last.IsZero() != (tc.want == "") {
				t.Errorf("last rewound: %s", last)
			}
		})
	}
}

// TestAcceptLostHead checks that a person can accept only a head that the ledger
// mentions or this machine has seen.
func TestAcceptLostHead(t *testing.T) {
	w := reconciletest.NewWorld(t)
	r := w.Reconciler()
	if err := r.AcceptLost(t.Context(), commitA, false, "ann@host"); err == nil || !strings.Contains(err.Error(), "records no lost head") {
		t.Errorf("a head that was never lost: %v", err)
	}
	if err := r.AcceptLost(t.Context(), commitA, true, "ann@host"); err != nil {
		t.Fatal(err)
	}
	events := w.Ledger.Events(t)
	if len(events) != 1 || events[0].Actor != "ann@host" || !archive.AcceptedHeads(events)[commitA] || !events[0].Time.Equal(reconciletest.Start.Truncate(time.Millisecond)) {
		t.Errorf("events: %+v", events)
	}
}
