package plan

import (
	"slices"
	"strings"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// ByName finds actions by their certificate.
func ByName(actions []Action) map[string]*Action {
	m := make(map[string]*Action, len(actions))
	for i := range actions {
		m[actions[i].Certificate] = &actions[i]
	}
	return m
}

// Plan is the difference between the spec and what is there, by name of the
// certificate. It is total, and a pure function of its arguments.
func Plan(desired *spec.Spec, observed *Observed, now time.Time) []Action {
	history := archive.Credible(observed.History, now)
	found := Known(desired, observed, history)
	chains := newestChains(observed.Records)
	actions := make([]Action, 0, len(desired.Certificates))
	wanted := make(map[string]bool, len(desired.Certificates))
	claimed := make(map[ledger.Location]string, len(desired.Certificates))
	for _, c := range desired.Certificates {
		wanted[c.Name] = true
		claimed[TargetOf(c)] = c.Name
		if _, busy := observed.AtWork[c.Name]; busy {
			continue
		}
		s := newCase(desired, c, observed, found, now)
		s.longerChain = s.live() != nil && longerChain(chains, s.live())
		actions = append(actions, decide(s))
	}
	heirs := ByName(actions)
	renamed := successors(desired)
	for name, w := range observed.AtWork {
		a := w.Action
		a.AtWork = &w
		actions, wanted[name] = append(actions, a), true
	}
	for name, r := range observed.Records {
		if !wanted[name] && r.State != ledger.StateRetired {
			next := renamed[name]
			if !succeeds(desired, next, r, observed) {
				next = nil
			}
			a := retire(r, observed, claimed, next, now)
			if next != nil {
				a.awaitHeir(next.Name, observed, heirs[next.Name], now)
			}
			actions = append(actions, a)
		}
	}
	brake(actions, observed, history, now, func(c *spec.Certificate) Action { return decide(newCase(desired, c, observed, found, now)) })
	holdNotRead(actions, desired, consents(observed.HeldSets, now), now)
	Admit(actions, throttle.AccountsOf(desired), history, found, now)
	actions = append(actions, leftovers(wanted, observed, now)...)
	slices.SortFunc(actions, func(a, b Action) int { return strings.Compare(a.Certificate, b.Certificate) })
	return actions
}

// newCase gathers all that the rules look at for one certificate.
func newCase(desired *spec.Spec, c *spec.Certificate, obs *Observed, found map[ledger.Subject]*throttle.Circuit, now time.Time) *Situation {
	s := &Situation{desired: desired, Spec: c, record: obs.Records[c.Name], auto: RenewsAt(c, now), Now: now}
	s.at = TargetOf(c)
	s.secret = obs.Secrets[s.at]
	s.unreadable = obs.Unreadable[c.Name]
	s.goesOnFrom(obs)
	if p, ok := obs.Pending[c.Name]; ok && !obs.isDone(c.Name, p) {
		s.pending = &p
	}
	if r := s.record; r.HasSecret() {
		was := ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}
		// The target moved and nothing was written there yet: what is live is
		// still at the old place, and stays so until the next renewal.
		if old := obs.Secrets[was]; was != s.at && s.secret.Live == nil && (old.Owner == c.Name || s.former != "" && old.Owner == s.former) && !s.begun() {
			s.target, s.at, s.secret = s.secret, was, old
			s.moved = true
		}
	}
	s.seeLeft(obs)
	if n, ok := obs.Staged[c.Name]; ok {
		s.next = &n
	}
	if l := s.secret.Live; l != nil && s.record != nil && (s.live() != nil || s.renames()) {
		s.secret.Live = l.WithFacts(s.record.Live)
	}
	s.issuer, s.failing = issuerFor(desired, c, s.record, s.live(), found, now)
	s.accountDead = found[ledger.IssuerSubject(s.issuer.Name)].OfAccount()
	s.credentials = obs.Credentials
	if s.record != nil {
		s.said = s.record.RenewalInfo
	}
	return s
}

// decide runs the rules; the first that hits wins.
func decide(s *Situation) Action {
	a := Action{Kind: ledger.KindNone}
	for _, r := range Rules {
		if hit, ok := r.decide(s); ok {
			a = hit
			break
		}
	}
	a.Certificate, a.Spec, a.Record, a.At, a.Secret, a.Issuer = s.Spec.Name, s.Spec, s.record, s.at, s.secret, s.issuer
	a.Former, a.Tried = s.former, s.tried
	a.Next, a.Pending, a.Ways = s.next, s.pending, WaysOf(s.desired, s.Spec)
	if s.moved {
		target := s.target
		a.Target = &target
	}
	a.Warnings = warnings(s)
	awaitNext(s, &a)
	a.Replaces, a.Exempt = coordinated(s, a.Kind)
	return holdBack(s, HoldByRule(s, holdUndone(s, a)))
}

// coordinated says which certificate the order takes the place of, and what
// that frees it of. Only the account that a certificate was made with may
// replace it.
func coordinated(s *Situation, kind ledger.Kind) (replaces string, free ledger.Exemption) {
	l := s.live()
	if l == nil || !kind.Orders() || l.Directory != s.issuer.Directory {
		return "", ""
	}
	if keypair.NamesDigest(s.Spec.Names()) == l.NamesDigest {
		free = ledger.ExemptRenewal
	}
	if i := s.said.Of(l); i != nil && l.ARI != "" && madeBy(s, l) {
		replaces = l.ARI
		// One that came a moment ago is no renewal in the CA's own time: the
		// limits on the same set of names hold, so that nothing loops.
		if i.Inside(s.Now) && !s.Now.Before(l.IssuedAt.Add(l.Lifetime()/10)) {
			free = ledger.ExemptARI
		}
	}
	return replaces, free
}

// madeBy tells whether what is live was made with the account of the issuer that
// is asked now. A block that has another name since says so by its directory.
func madeBy(s *Situation, l *ledger.Live) bool {
	i := IssuerOf(s.desired, s.Spec, l)
	return i != nil && (i == s.issuer || i.SameAccount(s.issuer))
}

// holdBack turns an action that must wait into a hold.
func holdBack(s *Situation, a Action) Action {
	if a.Reason == ledger.ReasonRenamed {
		return s.holdMove(a)
	}
	if s.record == nil || a.Kind == ledger.KindNone || a.Kind == ledger.KindHold || !s.heldBy(s.record.Hold) {
		return a
	}
	if f := s.record.LastFailure; a.Reason.Records() && (f == nil || f.Operation != a.Kind) {
		return a // what is held is something else
	}
	if a.Kind.Orders() && (FailsToRevoke(s.record) || FailsToStage(s.record)) {
		return a // what fails to be revoked, or to be staged, holds up no renewal
	}
	h := s.record.Hold
	if a.Mends() && FailsToOrder(s.record) {
		a.orderNotBefore(h.Until, h.Reason)
		return a // what certroll wrote is put back, for which no CA is asked
	}
	why := ledger.ReasonBackoff
	switch h.Class {
	case ledger.ClassRateLimited:
		why = ledger.ReasonRateLimited
	case ledger.ClassPaused:
		why = ledger.ReasonPaused
	}
	a.hold(why, h.Until, h.Reason)
	return a
}

// RetireDigest stands for the spec in the hold of a certificate that has none
// any more.
const RetireDigest = "removed"

// retire is the action for a certificate that the spec no longer has.
func retire(r *ledger.Record, obs *Observed, claimed map[ledger.Location]string, next *spec.Certificate, now time.Time) Action {
	a := Action{Kind: ledger.KindRetire, Certificate: r.Certificate, Reason: ledger.ReasonRemoved, Record: r}
	if next != nil {
		a.Reason = ledger.ReasonRenamed
	}
	if why := obs.Unreadable[r.Certificate]; why != "" {
		a.hold(ledger.ReasonUnreadable, now.Add(throttle.LeastWait), why)
		a.HeldBy = ledger.UnreadableSubject
		return a
	}
	if h := r.Hold; h != nil && h.SpecDigest == RetireDigest && h.Until.After(now) && !fromTheFuture(r, now) {
		a.hold(ledger.ReasonBackoff, h.Until, h.Reason)
		return a
	}
	if n, ok := obs.Staged[r.Certificate]; ok {
		a.Next = &n
	}
	if r.Live == nil {
		a.Detail = "its block is gone and nothing was ever issued; the record is closed"
		if next != nil {
			a.Detail = "moved to " + next.Name + "; nothing was ever issued, and the record is closed"
		}
		return a
	}
	a.At = ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}
	a.Secret = obs.Secrets[a.At]
	a.Heir = claimed[a.At] != "" || next != nil
	switch heir := claimed[a.At]; {
	case next != nil:
		a.Detail = "moved to " + next.Name + ", which goes on with its secret, record and history"
	case heir != "":
		a.Detail = "its block is gone; the secret stays, certificate " + heir + " now claims its path"
	case r.OnRemove == spec.Revoke:
		a.Detail = "its block is gone and on_remove is \"revoke\": the certificate is revoked and the secret deleted"
	case r.OnRemove == spec.Delete:
		a.Detail = "its block is gone and on_remove is \"delete\": the secret is deleted (vault kv undelete brings it back)"
	default:
		a.Detail = "its block is gone and on_remove is \"keep\": the secret stays and is no longer renewed"
	}
	if a.Next != nil {
		a.Detail += "; the staged key is destroyed, TLSA records and pins of " + a.Next.KeyDigest + " can go"
	}
	return a
}
