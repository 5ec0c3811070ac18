package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// goesOnFrom continues the record of a former name if the certificate has no record of its
// own, or only that of a failed move.
func (s *Situation) goesOnFrom(obs *Observed) {
	own := s.record
	for _, name := range s.Spec.MovedFrom {
		r := obs.Records[name]
		if own.IsOpen() && !movesStill(own, r, obs) {
			continue
		}
		if _, busy := obs.AtWork[name]; busy {
			s.formerBusy = name
		}
		if r.HasSecret() && !s.desired.SamePolicies(r.File, s.Spec.File) {
			s.notItsOwn = name
		}
		if carries(s.desired, s.Spec, name, obs) {
			s.former, s.record = name, r.Under(s.Spec.Name, own)
			if own.IsOpen() && ledger.FailsToAdopt(own) {
				s.tried = own
			}
			return
		}
	}
	s.goesOnUnknown(obs)
}

// goesOnUnknown handles a secret of a former name that has no record in the ledger.
func (s *Situation) goesOnUnknown(obs *Observed) {
	own, owner := s.record, s.secret.Owner
	if !slices.Contains(s.Spec.MovedFrom, owner) || obs.Records[owner] != nil {
		return
	}
	if own == nil || own.State == ledger.StateFailing && own.Live == nil {
		s.former = owner
		if own != nil && ledger.FailsToAdopt(own) {
			s.tried = own
		}
	}
}

// movesStill reports whether a move from a former name is still to be done, although the
// certificate has a record of its own. Either the move failed, or the secret was deleted
// and is back.
func movesStill(r *ledger.Record, former *ledger.Record, obs *Observed) bool {
	if former == nil || former.Live == nil || r.State != ledger.StateFailing && r.Gone == nil {
		return false
	}
	at := ledger.Location{Mount: former.Live.Mount, Path: former.Live.Path}
	if l := r.Live; l != nil {
		if own := (ledger.Location{Mount: l.Mount, Path: l.Path}); own != at && obs.Secrets[own].Owner == r.Certificate {
			return false
		}
	}
	if ledger.FailsToAdopt(r) {
		return !r.CameFrom(former.Certificate)
	}
	seen := obs.Secrets[at]
	return seen.Readable && seen.Owner == former.Certificate
}

// carries reports whether a certificate continues the record of a former name. A closed
// record counts only while the secret's metadata names that certificate or the new one.
// Both files have to be under the same policies: a moved block must not give one team the
// certificate of another.
func carries(desired *spec.Spec, c *spec.Certificate, former string, obs *Observed) bool {
	r := obs.Records[former]
	if r == nil || !slices.Contains(c.MovedFrom, former) || !desired.SamePolicies(r.File, c.File) {
		return false
	}
	if r.Live == nil {
		return r.State != ledger.StateRetired
	}
	seen := obs.Secrets[ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}]
	if seen.Owner == former || seen.Owner == c.Name {
		return seen.Readable || r.State != ledger.StateRetired
	}
	return seen.Owner == "" && r.State != ledger.StateRetired
}

// renames reports whether the live secret is the certificate's own under a former name.
func (s *Situation) renames() bool {
	return s.former != "" && s.unreadable == "" && s.secret.Readable && s.secret.Live != nil &&
		(s.secret.Owner == s.former || s.secret.Owner == s.Spec.Name)
}

// ruleRenamed: a moved block gives the certificate another name. An attempt under the
// former name ends first, so that no two attempts write the same secret.
func ruleRenamed(s *Situation) (Action, bool) {
	if s.formerBusy != "" && s.unreadable == "" {
		return Action{Kind: ledger.KindHold, Wants: ledger.KindAdopt, Reason: ledger.ReasonRenamed, NotBefore: s.Now.Add(throttle.LeastWait).UTC(),
			Detail: fmt.Sprintf("moved from %s, which has an attempt at work: certroll moves it when that has ended", s.formerBusy)}, true
	}
	if !s.renames() {
		return Action{}, false
	}
	return Action{Kind: ledger.KindAdopt, Reason: ledger.ReasonRenamed,
		Detail: fmt.Sprintf("moved from %s; it keeps the secret at %s, its record and its history, and certroll orders nothing", s.former, s.at)}, true
}

// MovedFrom returns the former name if the action continues it because of a moved block; ""
// for any other action.
func (a *Action) MovedFrom() string {
	if a.Reason != ledger.ReasonRenamed {
		return ""
	}
	return a.Former
}

func sawFormer(s *Situation) string {
	if len(s.Spec.MovedFrom) == 0 {
		return "no moved block leads to it"
	}
	return "moved from " + strings.Join(s.Spec.MovedFrom, ", ")
}

// successors indexes the certificates of the spec by their former names.
func successors(desired *spec.Spec) map[string]*spec.Certificate {
	byFormer := map[string]*spec.Certificate{}
	for _, c := range desired.Certificates {
		for _, name := range c.MovedFrom {
			byFormer[name] = c
		}
	}
	return byFormer
}

// succeeds reports whether c, which may be nil, continues the record r of a former name.
func succeeds(desired *spec.Spec, c *spec.Certificate, r *ledger.Record, obs *Observed) bool {
	if c == nil {
		return false
	}
	if own := obs.Records[c.Name]; own.IsOpen() && !movesStill(own, r, obs) {
		return own.HadName(r.Certificate)
	}
	return carries(desired, c, r.Certificate, obs)
}

// awaitHeir keeps a record open until the record of the new name has taken over its
// failures and holds, which no other file has. If the record has none, and the plan renames
// the secret in the same pass, both actions run at once.
func (a *Action) awaitHeir(heir string, obs *Observed, next *Action, now time.Time) {
	own := obs.Records[heir]
	if a.Kind == ledger.KindHold || own.IsOpen() && !movesStill(own, a.Record, obs) {
		return
	}
	until := now.Add(throttle.LeastWait)
	if next != nil && next.Kind == ledger.KindAdopt && next.Former == a.Certificate && !a.Record.Waits() {
		return
	}
	if next != nil && next.Kind == ledger.KindHold && next.NotBefore.After(until) {
		until = next.NotBefore
	}
	a.hold(ledger.ReasonRenamed, until, fmt.Sprintf("moved to %s; certroll closes this record once %s has a record that continues it", heir, heir))
}

// holdMove delays the retry of a failed move. A hold of the former name does not delay the
// move, because a move asks no CA.
func (s *Situation) holdMove(a Action) Action {
	if a.Kind == ledger.KindHold || s.tried == nil || !s.heldBy(s.tried.Hold) {
		return a
	}
	a.hold(ledger.ReasonBackoff, s.tried.Hold.Until, s.tried.Hold.Reason)
	return a
}

// MovedIn finds the certificates that a change moves to another name: those of the base by
// their new names, and the names that disappear. A certificate whose record does not carry
// over counts as removed, and the new one as added.
func MovedIn(base, head *spec.Spec, after map[string]*Action) (was map[string]*spec.Certificate, gone map[string]bool) {
	was, gone = map[string]*spec.Certificate{}, map[string]bool{}
	for _, c := range head.Certificates {
		if base.Certificate(c.Name) != nil {
			continue
		}
		for _, name := range c.MovedFrom {
			before, retired := base.Certificate(name), after[name]
			if before != nil && (retired == nil || retired.Reason == ledger.ReasonRenamed) {
				was[c.Name], gone[name] = before, true
				break
			}
		}
	}
	return was, gone
}
