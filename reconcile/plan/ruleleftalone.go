package plan

import (
	"fmt"

	"certroll/reconcile/ledger"
)

// leftAlone reports whether certroll leaves a foreign or deleted secret as it is.
// renewal.auto is off, by which the owner says "do not touch it", and the spec has no
// rotation request.
func (s *Situation) leftAlone() bool {
	// An interrupted write of certroll's own, a requested rotation and a move go on.
	if s.auto || s.unreadable != "" || s.begun() || s.asksRotation() || s.renames() {
		return false
	}
	l, r := s.live(), s.record
	if l != nil {
		return s.secret.IsStale() || !s.secret.Readable
	}
	return r.HasSecret() && s.at == ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}
}

// ruleLeftAlone: another program changed the secret while renewal.auto is off. certroll
// notes it once per version.
func ruleLeftAlone(s *Situation) (Action, bool) {
	if !s.leftAlone() || s.record != nil && s.record.ForeignVersion != nil && *s.record.ForeignVersion == s.secret.Version {
		return Action{}, false
	}
	return Action{Kind: ledger.KindNote, Reason: ledger.ReasonLeftAlone, Detail: s.leftText()}, true
}

// leftText describes the change of the other program, and the ways to end the standstill.
func (s *Situation) leftText() string {
	const stays = ", and renewal.auto is off: certroll writes nothing there until it is on again (certroll enable) or a rotation is asked for"
	switch {
	case s.secret.Version == 0:
		return "there is no secret at " + s.at.String() + " any more" + stays
	case !s.secret.Readable:
		return fmt.Sprintf("version %d of %s was deleted"+stays, s.secret.Version, s.at)
	default:
		return fmt.Sprintf("version %d of %s was not written by certroll"+stays, s.secret.Version, s.at)
	}
}
