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

// goesOnFrom takes the record of a former name for one that has none of its own, or only
// one of a move that failed.
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

// goesOnUnknown is about a secret of a former name of which the ledger knows nothing.
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

// movesStill tells that a certificate has a record of its own and no secret, while that
// of a former name is still to become its own: the move has failed, or the secret was
// gone and has come back.
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

// carries tells whether a certificate goes on with the record of a former name. A record
// that is closed counts only while the secret says that it was the last one there. The
// files of both have to be under the same policies: a moved block must not bring one team
// what is another's.
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

// renames tells that what is live is the certificate's under a former name.
func (s *Situation) renames() bool {
	return s.former != "" && s.unreadable == "" && s.secret.Readable && s.secret.Live != nil &&
		(s.secret.Owner == s.former || s.secret.Owner == s.Spec.Name)
}

// ruleRenamed: a moved block says that it had another name. What is under way under that
// one ends first, so that two do not write one secret.
func ruleRenamed(s *Situation) (Action, bool) {
	if s.formerBusy != "" && s.unreadable == "" {
		return Action{Kind: ledger.KindHold, Wants: ledger.KindAdopt, Reason: ledger.ReasonRenamed, NotBefore: s.Now.Add(throttle.LeastWait).UTC(),
			Detail: fmt.Sprintf("moved from %s, under which an attempt is under way: it goes on when that has ended", s.formerBusy)}, true
	}
	if !s.renames() {
		return Action{}, false
	}
	return Action{Kind: ledger.KindAdopt, Reason: ledger.ReasonRenamed,
		Detail: fmt.Sprintf("moved from %s; it goes on with the secret at %s, its record and its history, and nothing is ordered", s.former, s.at)}, true
}

// MovedFrom is the name that a moved block gives to the certificate of an action instead
// of another; "" for any other action.
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

// successors are the certificates of the spec by the names that they had before.
func successors(desired *spec.Spec) map[string]*spec.Certificate {
	byFormer := map[string]*spec.Certificate{}
	for _, c := range desired.Certificates {
		for _, name := range c.MovedFrom {
			byFormer[name] = c
		}
	}
	return byFormer
}

// succeeds tells whether a certificate that had the name of a record, or nil, goes on
// with it.
func succeeds(desired *spec.Spec, c *spec.Certificate, r *ledger.Record, obs *Observed) bool {
	if c == nil {
		return false
	}
	if own := obs.Records[c.Name]; own.IsOpen() && !movesStill(own, r, obs) {
		return own.HadName(r.Certificate)
	}
	return carries(desired, c, r.Certificate, obs)
}

// awaitHeir keeps a record from being closed before that of the new name goes on with
// what it counts: until then nothing else knows of its failures and waits. Where there
// are none, and the plan gives the secret the new name, both are done at once.
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
	a.hold(ledger.ReasonRenamed, until, fmt.Sprintf("moved to %s; the record is closed once %s has one that goes on with it", heir, heir))
}

// holdMove makes a move that failed wait before it is tried again. What the former name
// waits for holds up no move: no CA is asked.
func (s *Situation) holdMove(a Action) Action {
	if a.Kind == ledger.KindHold || s.tried == nil || !s.heldBy(s.tried.Hold) {
		return a
	}
	a.hold(ledger.ReasonBackoff, s.tried.Hold.Until, s.tried.Hold.Reason)
	return a
}

// MovedIn finds what a change moves to another name: the certificates of the base by the
// new names, and the names that are no more. One whose record is not carried over is
// removed, and another one added.
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
