package reconcile

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"certroll/spec"
)

// A certificate that a moved block gives another name goes on with what it was: its
// secret, its record and its history. Nothing is ordered.
//
//	record a ──┐ moved { from = "a", to = "b" }
//	           ├── adopt b: the metadata names b, and the record of b continues that of a
//	secret  ───┘── retire a: its record is closed, and nothing else is done

// Former is a name that a certificate had, and until when.
type Former struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until"`
}

// Tells whether an event of the name belongs to the certificate that has another one now.
// That the record of the name was closed does not.
func (f Former) Tells(e *Event) bool {
	return f.Name == e.Certificate && !e.Time.After(f.Until) && e.Operation != KindRetire
}

// History picks the events of the certificate, with those of its former names, in their
// order.
func (r *Record) History(byName map[string][]Event) []Event {
	own := slices.Clone(byName[r.Certificate])
	for _, f := range r.Formerly {
		for _, e := range byName[f.Name] {
			if f.Name != r.Certificate && f.Tells(&e) {
				own = append(own, e)
			}
		}
	}
	slices.SortStableFunc(own, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return own
}

// goesOnFrom takes the record of a former name for one that has none of its own, or only
// one of a move that failed.
func (s *situation) goesOnFrom(obs *Observed) {
	own := s.record
	for _, name := range s.spec.MovedFrom {
		r := obs.Records[name]
		if own.isOpen() && !movesStill(own, r, obs) {
			continue
		}
		if _, busy := obs.AtWork[name]; busy {
			s.formerBusy = name
		}
		if r.holds() && !s.desired.SamePolicies(r.File, s.spec.File) {
			s.notItsOwn = name
		}
		if carries(s.desired, s.spec, name, obs) {
			s.former, s.record = name, r.under(s.spec.Name, own)
			if own.isOpen() && failsToAdopt(own) {
				s.tried = own
			}
			return
		}
	}
	s.goesOnUnknown(obs)
}

// goesOnUnknown is about a secret of a former name of which the ledger knows nothing.
func (s *situation) goesOnUnknown(obs *Observed) {
	own, owner := s.record, s.secret.Owner
	if !slices.Contains(s.spec.MovedFrom, owner) || obs.Records[owner] != nil {
		return
	}
	if own == nil || own.State == StateFailing && own.Live == nil {
		s.former = owner
		if own != nil && failsToAdopt(own) {
			s.tried = own
		}
	}
}

// isOpen tells that there is a record, and that it is not closed.
func (r *Record) isOpen() bool { return r != nil && r.State != StateRetired }

// failsToAdopt tells that what failed last took a secret over.
func failsToAdopt(r *Record) bool {
	return r.LastFailure != nil && r.LastFailure.Operation == KindAdopt
}

// movesStill tells that a certificate has a record of its own and no secret, while that
// of a former name is still to become its own: the move has failed, or the secret was
// gone and has come back.
func movesStill(r *Record, former *Record, obs *Observed) bool {
	if former == nil || former.Live == nil || r.State != StateFailing && r.Gone == nil {
		return false
	}
	at := Location{former.Live.Mount, former.Live.Path}
	if l := r.Live; l != nil {
		if own := (Location{l.Mount, l.Path}); own != at && obs.Secrets[own].Owner == r.Certificate {
			return false
		}
	}
	if failsToAdopt(r) {
		return !r.cameFrom(former.Certificate)
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
		return r.State != StateRetired
	}
	seen := obs.Secrets[Location{r.Live.Mount, r.Live.Path}]
	if seen.Owner == former || seen.Owner == c.Name {
		return seen.Readable || r.State != StateRetired
	}
	return seen.Owner == "" && r.State != StateRetired
}

// under is the record as it goes on under another name, which may have had an own one.
func (r *Record) under(name string, own *Record) *Record {
	next := *r
	next.Certificate = name
	if next.State == StateRetired {
		next.State = StateLive
	}
	if own != nil && own.UpdatedAt.After(next.UpdatedAt) {
		next.UpdatedAt = own.UpdatedAt
	}
	if own.isOpen() && own.State == StateFailing && !failsToAdopt(own) {
		next.State, next.Severity, next.Hold = own.State, own.Severity, own.Hold
		next.Failures, next.LastFailure, next.FailingSince = own.Failures, own.LastFailure, own.FailingSince
	}
	return &next
}

// renames tells that what is live is the certificate's under a former name.
func (s *situation) renames() bool {
	return s.former != "" && s.unreadable == "" && s.secret.Readable && s.secret.Live != nil &&
		(s.secret.Owner == s.former || s.secret.Owner == s.spec.Name)
}

// ruleRenamed: a moved block says that it had another name. What is under way under that
// one ends first, so that two do not write one secret.
func ruleRenamed(s *situation) (Action, bool) {
	if s.formerBusy != "" && s.unreadable == "" {
		return Action{Kind: KindHold, Wants: KindAdopt, Reason: ReasonRenamed, NotBefore: s.now.Add(leastWait).UTC(),
			Detail: fmt.Sprintf("moved from %s, under which an attempt is under way: it goes on when that has ended", s.formerBusy)}, true
	}
	if !s.renames() {
		return Action{}, false
	}
	return Action{Kind: KindAdopt, Reason: ReasonRenamed,
		Detail: fmt.Sprintf("moved from %s; it goes on with the secret at %s, its record and its history, and nothing is ordered", s.former, s.at)}, true
}

// MovedFrom is the name that a moved block gives to the certificate of an action instead
// of another; "" for any other action.
func (a *Action) MovedFrom() string {
	if a.Reason != ReasonRenamed {
		return ""
	}
	return a.former
}

func sawFormer(s *situation) string {
	if len(s.spec.MovedFrom) == 0 {
		return "no moved block leads to it"
	}
	return "moved from " + strings.Join(s.spec.MovedFrom, ", ")
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
func succeeds(desired *spec.Spec, c *spec.Certificate, r *Record, obs *Observed) bool {
	if c == nil {
		return false
	}
	if own := obs.Records[c.Name]; own.isOpen() && !movesStill(own, r, obs) {
		return own.hadName(r.Certificate)
	}
	return carries(desired, c, r.Certificate, obs)
}

// awaitHeir keeps a record from being closed before that of the new name goes on with
// what it counts: until then nothing else knows of its failures and waits. Where there
// are none, and the plan gives the secret the new name, both are done at once.
func (a *Action) awaitHeir(heir string, obs *Observed, next *Action, now time.Time) {
	own := obs.Records[heir]
	if a.Kind == KindHold || own.isOpen() && !movesStill(own, a.Record, obs) {
		return
	}
	until := now.Add(leastWait)
	if next != nil && next.Kind == KindAdopt && next.former == a.Certificate && !a.Record.waits() {
		return
	}
	if next != nil && next.Kind == KindHold && next.NotBefore.After(until) {
		until = next.NotBefore
	}
	a.hold(ReasonRenamed, until, fmt.Sprintf("moved to %s; the record is closed once %s has one that goes on with it", heir, heir))
}

// waits tells that the record counts failures, or holds something back.
func (r *Record) waits() bool {
	return r.Failures > 0 || r.LastFailure != nil || r.Hold != nil || len(r.Undone) > 0 || r.Gone != nil
}

// holdMove makes a move that failed wait before it is tried again. What the former name
// waits for holds up no move: no CA is asked.
func (s *situation) holdMove(a Action) Action {
	if a.Kind == KindHold || s.tried == nil || !s.heldBy(s.tried.Hold) {
		return a
	}
	a.hold(ReasonBackoff, s.tried.Hold.Until, s.tried.Hold.Reason)
	return a
}

func (r *Record) hadName(name string) bool {
	return slices.ContainsFunc(r.Formerly, func(f Former) bool { return f.Name == name })
}

// moves tells that the attempt gives a secret the certificate's name by a moved block.
func (a *attempt) moves() bool {
	return a.action.Kind == KindAdopt && a.action.Reason == ReasonRenamed
}

// goesOn tells that a record is closed because it goes on under another name: its
// failures have not ended.
func (a *attempt) goesOn() bool {
	return a.action.Kind == KindRetire && a.action.Reason == ReasonRenamed
}

// rename gives the secret the certificate's name. Neither the pair nor anything that is
// known of it changes.
func (a *attempt) rename(ctx context.Context) error {
	at, was := a.action.At, a.action.Secret
	a.report("adopt", fmt.Sprintf("moving %s from %s to %s", at, a.action.former, a.action.Certificate))
	seen, err := a.observer.Secret(ctx, at)
	if err != nil {
		return err
	}
	if seen.Owner != was.Owner || seen.Live == nil || seen.Live.Serial != was.Live.Serial {
		return &failure{code: ClassVault, err: fmt.Errorf("moving %s from %s to %s: its metadata has changed meanwhile", at, a.action.former, a.action.Certificate)}
	}
	a.live = keepNames(was.Live, a.recordLive()).withoutNext()
	if err := a.stageHere(ctx); err != nil {
		return err
	}
	return a.describeRestored(ctx)
}

// takesOver is the name that the certificate goes on from by a moved block, or of the one
// that what is adopted belonged to, where the spec has that one no more; "" for anything
// else.
func (a *attempt) takesOver() string {
	if a.action.former != "" {
		return a.action.former
	}
	if a.action.Kind != KindAdopt {
		return ""
	}
	owner := a.action.Secret.Owner
	if owner == a.action.Certificate || owner == "" || a.desired.Certificate(owner) != nil {
		return ""
	}
	return owner
}

// actor names who is behind the action: also of a certificate that was renamed without a
// moved block, whose adoption the commit has asked for.
func (a *attempt) actor(reason Reason) (actor, cause string) {
	if reason == ReasonForeign && a.takesOver() != "" && !a.action.Record.holds() {
		reason = ReasonRenamed
	}
	return a.applier.actor(reason)
}

// noteFormer keeps in the record which name its history begins under.
func (a *attempt) noteFormer(r *Record, now time.Time) { r.comesFrom(a.takesOver(), now) }

// comesFrom adds a former name to the record, or says until when it was the last one; ""
// is none.
func (r *Record) comesFrom(name string, now time.Time) {
	if name == "" || name == r.Certificate {
		return
	}
	before := r.Formerly
	if r.cameFrom(name) {
		before = before[:len(before)-1]
	}
	r.Formerly = append(slices.Clone(before), Former{name, now.Truncate(time.Second)})
	r.Formerly = r.Formerly[max(0, len(r.Formerly)-mostFormer):]
}

// cameFrom tells that the name is the one that it had last.
func (r *Record) cameFrom(name string) bool {
	n := len(r.Formerly)
	return n > 0 && r.Formerly[n-1].Name == name
}

// mostFormer is how many former names a record remembers.
const mostFormer = 100

// formerOf are the former names of a certificate, by its record in a ledger's tree.
func formerOf(tree fs.FS, name string) []Former {
	if !spec.IsCertificateName(name) {
		return nil
	}
	b, err := fs.ReadFile(tree, recordFile(name))
	if err != nil {
		return nil // no record, or one that whoever reads the records finds damaged
	}
	r, err := UnmarshalRecord(b)
	if err != nil {
		return nil
	}
	return r.Formerly
}

// movedIn finds what a change moves to another name: the certificates of the base by the
// new names, and the names that are no more. One whose record is not carried over is
// removed, and another one added.
func movedIn(base, head *spec.Spec, after map[string]*Action) (was map[string]*spec.Certificate, gone map[string]bool) {
	was, gone = map[string]*spec.Certificate{}, map[string]bool{}
	for _, c := range head.Certificates {
		if base.Certificate(c.Name) != nil {
			continue
		}
		for _, name := range c.MovedFrom {
			before, retired := base.Certificate(name), after[name]
			if before != nil && (retired == nil || retired.Reason == ReasonRenamed) {
				was[c.Name], gone[name] = before, true
				break
			}
		}
	}
	return was, gone
}
