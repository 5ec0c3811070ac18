package attempt_test

import (
	"slices"
	"testing"

	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// TestChallengeNames checks that a renewal may use the names that CNAMEs led to at the
// last issue. For certificates of an earlier certroll, any target is allowed once.
func TestChallengeNames(t *testing.T) {
	account := &spec.DNSAccount{Name: "lab", Provider: "rfc2136"}
	try := func(r *ledger.Record) *spec.DNSAccount {
		return (&attempt.Attempt{Action: plan.Action{Record: r}}).Bounded(account)
	}
	live := &ledger.Record{Live: &ledger.Live{}, State: ledger.StateLive}
	known := &ledger.Record{Live: &ledger.Live{}, State: ledger.StateLive, ChallengeNames: &[]string{"api.acme.example.net"}}
	for name, test := range map[string]struct {
		record *ledger.Record
		target string
		want   bool
	}{
		"a new one":                      {nil, "api.acme.example.net.", false},
		"a new one, to a challenge":      {nil, "_acme-challenge.example.net.", true},
		"issued by an earlier certroll":  {live, "anywhere.example.net.", true},
		"where it led":                   {known, "API.acme.example.net.", true},
		"elsewhere":                      {known, "_dmarc.example.net.", false},
		"retired, and back":              {&ledger.Record{Live: &ledger.Live{}, State: ledger.StateRetired}, "x.example.net.", false},
		"it never led anywhere, and now": {&ledger.Record{Live: &ledger.Live{}, State: ledger.StateLive, ChallengeNames: &[]string{}}, "x.example.net.", false},
	} {
		if got := try(test.record).Writes(test.target); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if account.Reach.LedAnywhere || account.Reach.Led != nil {
		t.Error("the spec's own account was changed")
	}
	a := &attempt.Attempt{Action: plan.Action{Record: known}, Pending: &pending.Secret{}}
	a.Report(attempt.StepRecord, "New.acme.example.net.")
	a.Report(attempt.StepRecord, "_acme-challenge.example.net.")
	if got := *a.ChallengeNames(); !slices.Equal(got, []string{"new.acme.example.net", "api.acme.example.net"}) {
		t.Errorf("the record says %q", got)
	}
	if got := (&attempt.Attempt{Action: plan.Action{Record: live}}).ChallengeNames(); got != nil {
		t.Errorf("what ordered nothing says %q", *got)
	}
}
