package plan

import (
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Verdict is what one rule made of a certificate.
type Verdict struct {
	Rule   string
	Saw    string      // the values it looked at
	Hit    bool        // it would decide; the first that hits does
	Kind   ledger.Kind // where it hit
	Reason ledger.Reason
	Detail string
}

// Explain asks every rule about one certificate, in their order. It is a pure
// function like Plan, whose action for the certificate it explains; false
// where the spec has no such certificate.
func Explain(desired *spec.Spec, observed *Observed, now time.Time, name string) ([]Verdict, bool) {
	c := desired.Certificate(name)
	if c == nil {
		return nil, false
	}
	s := newCase(desired, c, observed, Known(desired, observed, archive.Credible(observed.History, now)), now)
	s.longerChain = s.live() != nil && longerChain(newestChains(observed.Records), s.live())
	verdicts := make([]Verdict, len(Rules))
	for i, r := range Rules {
		a, hit := r.decide(s)
		verdicts[i] = Verdict{Rule: r.Name, Saw: r.saw(s), Hit: hit, Kind: a.Kind, Reason: a.Reason, Detail: a.Detail}
	}
	return verdicts, true
}
