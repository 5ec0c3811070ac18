package plan

import (
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// ruleRevoked: the CA revoked what is live, by a list that its issuer signed.
//
// One that took the place of a revoked certificate is left alone for a tenth of its
// life, as by renewal information: a CA whose lists are wrong is not followed into a
// loop. That is known by RevokedBefore, which its record keeps.
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

// renewsRevoked is when what is live is renewed as it was revoked; zero where it was
// not.
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
