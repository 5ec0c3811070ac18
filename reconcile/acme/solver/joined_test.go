package solver

import (
	"context"
	"errors"
	"testing"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
)

// TestFailureOutlastsTheTime checks that the failure of one name counts though another
// name was still waiting when the attempt's time ended. A run that is stopped reports
// neither: the next run meets the failure again.
func TestFailureOutlastsTheTime(t *testing.T) {
	j := &Job{Doing: "finishing the order"}
	caa := &problem.Error{OfClass: ledger.ClassCAA, Doing: "validating a.example.com", Said: "CAA forbids it"}
	timeUp, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if err := j.joined(timeUp, []error{problem.Interrupted(timeUp, "waiting for a turn"), caa}); err != error(caa) {
		t.Errorf("after the time is over: got %v, want the failure", err)
	}
	if err := j.joined(timeUp, []error{problem.Interrupted(timeUp, "waiting for a turn"), nil}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a failure: got %v, want the interruption", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := j.joined(stopped, []error{caa}); !errors.Is(err, context.Canceled) {
		t.Errorf("after a stop: got %v, want the interruption", err)
	}
}
