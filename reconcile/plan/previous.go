package plan

import (
	"certroll/spec"
)

// leftChanged says why the record needs an update for a secret left behind; "" if it does
// not.
func (s *Situation) leftChanged() string {
	switch {
	case s.leftGone:
		return "a secret that it had left behind is gone"
	case s.leftThere && s.Spec.Vault.Previous == spec.Delete:
		return "vault.previous is \"delete\", and a secret that it left behind is there"
	default:
		return ""
	}
}

// seeLeft checks which of the secrets in LeftBehind still exist. A path that this pass did
// not read says nothing.
func (s *Situation) seeLeft(obs *Observed) {
	if !s.record.HasSecret() {
		return
	}
	for _, l := range s.record.LeftBehind {
		seen, ok := obs.Secrets[l.At()]
		there := seen.Readable && seen.Owner == s.Spec.Name
		s.leftGone = s.leftGone || ok && !there
		s.leftThere = s.leftThere || ok && there
	}
}
