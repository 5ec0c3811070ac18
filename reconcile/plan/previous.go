package plan

import (
	"certroll/spec"
)

// leftChanged says why a record is to be made anew for what was left behind; "" where it
// is not.
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

// seeLeft looks for what the record says was left behind.
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
