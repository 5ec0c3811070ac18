package plan

import (
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// ruleRevoked: a CRL signed by the issuer lists the live certificate.
//
// A certificate that replaced a revoked one is left alone for a tenth of its life, as with
// renewal information: a CA with wrong CRLs must not cause a loop of orders. RevokedBefore
// in the record shows that it is such a replacement.
func ruleRevoked(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto {
		return Action{}, false
	}
	at := s.renewsRevoked()
	if at.IsZero() || at.After(s.Now) {
		return Action{}, false
	}
	v := s.record.Revoked
	a := Action{Kind: ledger.KindRenew, Reason: ledger.ReasonRevoked, Detail: v.Text()}
	if v.Compromised() && s.Spec.Key.Rotation == spec.RotateNever {
		a.Detail += "; key.rotation is \"never\", and the key is rotated once all the same"
	}
	return a, true
}

// renewsRevoked returns when certroll renews the live certificate because it is revoked;
// zero if it is not revoked.
func (s *Situation) renewsRevoked() time.Time {
	l := s.live()
	if s.record == nil || s.record.Revoked.Of(l) == nil {
		return time.Time{}
	}
	if s.record.RevokedBefore == "" {
		return l.IssuedAt
	}
	return l.IssuedAt.Add(l.Lifetime() / LeastBefore)
}

func sawRevoked(s *Situation) string {
	if s.record == nil || s.record.Revoked.Of(s.live()) == nil {
		return "no CRL of its issuer that certroll read lists it"
	}
	return s.record.Revoked.Text()
}
