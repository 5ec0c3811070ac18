package plan

import (
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Verdict is the result of one rule for a certificate.
type Verdict struct {
	Rule   string
	Saw    string      // the values that the rule read
	Hit    bool        // the rule matches; the first match decides
	Kind   ledger.Kind // if it matches
	Reason ledger.Reason
	Detail string
}

// Explain runs every rule for one certificate, in order. Like Plan it is a pure function,
// and the first match is the reason of Plan's action before back-off, limits and brake. It
// returns false if the spec has no such certificate.
func Explain(desired *spec.Spec, observed *Observed, now time.Time, name string) ([]Verdict, bool) {
	c := desired.Certificate(name)
	if c == nil {
		return nil, false
	}
	s := newCase(desired, c, observed, Known(desired, observed, archive.Credible(observed.History, now)), newestChains(observed.Records), now)
	verdicts := make([]Verdict, len(Rules))
	for i, r := range Rules {
		a, hit := r.decide(s)
		verdicts[i] = Verdict{Rule: r.Name, Saw: r.saw(s), Hit: hit, Kind: a.Kind, Reason: a.Reason, Detail: a.Detail}
	}
	return verdicts, true
}
