package reconcile

import (
	"slices"
	"testing"

	"certroll/spec"
)

// TestChallengeNames: where CNAMEs led at the last issue is free at the next; of
// what an earlier certroll issued it is free once.
func TestChallengeNames(t *testing.T) {
	account := &spec.DNSAccount{Name: "lab", Provider: "rfc2136"}
	try := func(r *Record) *spec.DNSAccount { return (&attempt{action: Action{Record: r}}).bounded(account) }
	live := &Record{Live: &Live{}, State: StateLive}
	known := &Record{Live: &Live{}, State: StateLive, ChallengeNames: &[]string{"api.acme.example.net"}}
	for name, test := range map[string]struct {
		record *Record
		target string
		want   bool
	}{
		"a new one":                      {nil, "api.acme.example.net.", false},
		"a new one, to a challenge":      {nil, "_acme-challenge.example.net.", true},
		"issued by an earlier certroll":  {live, "anywhere.example.net.", true},
		"where it led":                   {known, "API.acme.example.net.", true},
		"elsewhere":                      {known, "_dmarc.example.net.", false},
		"retired, and back":              {&Record{Live: &Live{}, State: StateRetired}, "x.example.net.", false},
		"it never led anywhere, and now": {&Record{Live: &Live{}, State: StateLive, ChallengeNames: &[]string{}}, "x.example.net.", false},
	} {
		if got := try(test.record).Writes(test.target); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if account.Reach.LedAnywhere || account.Reach.Led != nil {
		t.Error("the spec's own account was changed")
	}
	a := &attempt{action: Action{Record: known}, draft: &draft{}}
	a.report(stepRecord, "New.acme.example.net.")
	a.report(stepRecord, "_acme-challenge.example.net.")
	if got := *a.challengeNames(); !slices.Equal(got, []string{"new.acme.example.net", "api.acme.example.net"}) {
		t.Errorf("the record says %q", got)
	}
	if got := (&attempt{action: Action{Record: live}}).challengeNames(); got != nil {
		t.Errorf("what ordered nothing says %q", *got)
	}
}
