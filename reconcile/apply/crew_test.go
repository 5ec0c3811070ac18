package apply_test

import (
	"slices"
	"testing"

	"certroll/reconcile/apply"
	"certroll/reconcile/plan"
)

// TestEndedIsNotPlannedAgain checks that the plan of a pass no longer announces a
// certificate whose attempt has ended, and still contains attempts in progress.
func TestEndedIsNotPlannedAgain(t *testing.T) {
	c := &apply.Crew{Ended: map[string]bool{"over": true, "begun anew": true}}
	actions := []plan.Action{{Certificate: "over"}, {Certificate: "due"}, {Certificate: "begun anew", AtWork: &plan.Work{}}}
	var names []string
	for _, a := range c.WithoutEnded(actions) {
		names = append(names, a.Certificate)
	}
	if want := []string{"due", "begun anew"}; !slices.Equal(names, want) {
		t.Errorf("announced %q, want %q", names, want)
	}
	if len(actions) != 3 || actions[0].Certificate != "over" {
		t.Errorf("the plan itself was changed: %+v", actions)
	}
}
