package reconcile

import (
	"slices"
	"strings"
	"time"

	"certroll/spec"
)

// Change is one field of which the spec asks for something else than is live.
type Change struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// Action is one difference between what is desired and what is there.
type Action struct {
	Kind        Kind
	Certificate string
	Reason      Reason
	Detail      string   // one sentence for a person
	Changes     []Change // for KindReissue
	// NotBefore is when a hold ends, or when a certificate with nothing to do
	// becomes due; zero where that is never.
	NotBefore time.Time
	Wants     Kind     // for KindHold: what waits
	HeldBy    subject  // for KindHold: what holds many at once; "" where it is the certificate's own
	Warnings  []string // what a reviewer should know, whatever the kind

	Issuer   *spec.Issuer // that is asked; nil for KindRetire
	Replaces string       // the ARI identifier that the order carries, or ""
	Exempt   Exemption    // what the order is free of
	Avoid    []string     // DNS accounts known not to work, which come last
	Probes   []subject    // held as a whole, and tried again by this action
	// Unscheduled tells that it is such a probe before its time: a person asked
	// for it, or has changed what the last one failed with.
	Unscheduled bool
	// OrderFrom is, for KindRepair, from when on something may be ordered where it
	// turns out that it has to be, and orderHeld why not before.
	OrderFrom time.Time
	orderHeld string

	AtWork *Work // it is under way; nil: it is not

	Spec   *spec.Certificate // nil for KindRetire
	Record *Record           // nil where the ledger knows nothing; of a leftover as it begins
	At     Location          // where the live secret is
	Secret Secret            // what was seen there
	Next   *Staged           // the next key, as far as one is staged

	former  string     // of one that was renamed: the name that it goes on from
	tried   *Record    // of one whose move failed: what that left; nil: it did not fail
	heir    bool       // of a retirement: another certificate claims the secret, or goes on with it
	mass    *HeldSet   // what the brake holds it with; nil: it does not
	pending *Pending   // the pending secret, as far as there is one
	ways    [][]string // of its names to be proven, see waysOf
	target  *Secret    // where it moved: what was seen at the spec's target
	goes    Location   // that target, where the brake keeps it from moving; else zero
}

// mends tells that it brings back what is live, or ends what was begun, and asks
// the CA for nothing unless there is no other way.
func (a *Action) mends() bool { return a.Kind == KindRepair && !a.Reason.records() }

// orderNotBefore keeps an action that mends from ordering before a moment; the
// latest one stands.
func (a *Action) orderNotBefore(from time.Time, why string) {
	if from.After(a.OrderFrom) {
		a.OrderFrom, a.orderHeld = from, why
	}
}

// Plan is the difference between the spec and what is there, by name of the
// certificate. It is total, and a pure function of its arguments.
func Plan(desired *spec.Spec, observed *Observed, now time.Time) []Action {
	history := credible(observed.History, now)
	found := known(desired, observed, history)
	chains := newestChains(observed.Records)
	actions := make([]Action, 0, len(desired.Certificates))
	wanted := make(map[string]bool, len(desired.Certificates))
	claimed := make(map[Location]string, len(desired.Certificates))
	for _, c := range desired.Certificates {
		wanted[c.Name] = true
		claimed[targetOf(c)] = c.Name
		if _, busy := observed.AtWork[c.Name]; busy {
			continue
		}
		s := newCase(desired, c, observed, found, now)
		s.longerChain = s.live() != nil && longerChain(chains, s.live())
		actions = append(actions, decide(s))
	}
	heirs := byName(actions)
	renamed := successors(desired)
	for name, w := range observed.AtWork {
		a := w.action
		a.AtWork = &w
		actions, wanted[name] = append(actions, a), true
	}
	for name, r := range observed.Records {
		if !wanted[name] && r.State != StateRetired {
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
	admit(actions, accountsOf(desired), history, found, now)
	actions = append(actions, leftovers(wanted, observed, now)...)
	slices.SortFunc(actions, func(a, b Action) int { return strings.Compare(a.Certificate, b.Certificate) })
	return actions
}

// newCase gathers all that the rules look at for one certificate.
func newCase(desired *spec.Spec, c *spec.Certificate, obs *Observed, found map[subject]*trouble, now time.Time) *situation {
	s := &situation{desired: desired, spec: c, record: obs.Records[c.Name], auto: renewsAt(c, now), now: now}
	s.at = targetOf(c)
	s.secret = obs.Secrets[s.at]
	s.unreadable = obs.Unreadable[c.Name]
	s.goesOnFrom(obs)
	if p, ok := obs.Pending[c.Name]; ok && !obs.isDone(c.Name, p) {
		s.pending = &p
	}
	if r := s.record; r.holds() {
		was := Location{r.Live.Mount, r.Live.Path}
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
		s.secret.Live = l.withFacts(s.record.Live)
	}
	s.issuer, s.failing = issuerFor(desired, c, s.record, s.live(), found, now)
	s.accountDead = found[issuerSubject(s.issuer.Name)].ofAccount()
	s.credentials = obs.Credentials
	if s.record != nil {
		s.said = s.record.RenewalInfo
	}
	return s
}

// begun tells that an earlier run has written what it was about to, and may
// have ended before it could say so.
func (s *situation) begun() bool {
	return s.pending != nil && !s.pending.Stray && s.secret.Readable && s.secret.Version == s.pending.Follows+1
}

// decide runs the rules; the first that hits wins.
func decide(s *situation) Action {
	a := Action{Kind: KindNone}
	for _, r := range rules {
		if hit, ok := r.decide(s); ok {
			a = hit
			break
		}
	}
	a.Certificate, a.Spec, a.Record, a.At, a.Secret, a.Issuer = s.spec.Name, s.spec, s.record, s.at, s.secret, s.issuer
	a.former, a.tried = s.former, s.tried
	a.Next, a.pending, a.ways = s.next, s.pending, waysOf(s.desired, s.spec)
	if s.moved {
		target := s.target
		a.target = &target
	}
	a.Warnings = warnings(s)
	awaitNext(s, &a)
	a.Replaces, a.Exempt = coordinated(s, a.Kind)
	return holdBack(s, holdByRule(s, holdUndone(s, a)))
}

// coordinated says which certificate the order takes the place of, and what
// that frees it of. Only the account that a certificate was made with may
// replace it.
func coordinated(s *situation, kind Kind) (replaces string, free Exemption) {
	l := s.live()
	if l == nil || !kind.Orders() || l.Directory != s.issuer.Directory {
		return "", ""
	}
	if namesDigest(s.spec.Names()) == l.NamesDigest {
		free = ExemptRenewal
	}
	if i := s.said.of(l); i != nil && l.ARI != "" && madeBy(s, l) {
		replaces = l.ARI
		// One that came a moment ago is no renewal in the CA's own time: the
		// limits on the same set of names hold, so that nothing loops.
		if i.inside(s.now) && !s.now.Before(l.IssuedAt.Add(l.Lifetime()/10)) {
			free = ExemptARI
		}
	}
	return replaces, free
}

// madeBy tells whether what is live was made with the account of the issuer that
// is asked now. A block that has another name since says so by its directory.
func madeBy(s *situation, l *Live) bool {
	i := issuerOf(s.desired, s.spec, l)
	return i != nil && (i == s.issuer || i.SameAccount(s.issuer))
}

// holdBack turns an action that must wait into a hold.
func holdBack(s *situation, a Action) Action {
	if a.Reason == ReasonRenamed {
		return s.holdMove(a)
	}
	if s.record == nil || a.Kind == KindNone || a.Kind == KindHold || !s.heldBy(s.record.Hold) {
		return a
	}
	if f := s.record.LastFailure; a.Reason.records() && (f == nil || f.Operation != a.Kind) {
		return a // what is held is something else
	}
	if a.Kind.Orders() && (failsToRevoke(s.record) || failsToStage(s.record)) {
		return a // what fails to be revoked, or to be staged, holds up no renewal
	}
	h := s.record.Hold
	if a.mends() && failsToOrder(s.record) {
		a.orderNotBefore(h.Until, h.Reason)
		return a // what certroll wrote is put back, for which no CA is asked
	}
	why := ReasonBackoff
	switch h.Class {
	case ClassRateLimited:
		why = ReasonRateLimited
	case ClassPaused:
		why = ReasonPaused
	}
	a.hold(why, h.Until, h.Reason)
	return a
}

// heldBy tells whether a hold still stands: it ends by its time, and earlier
// where what may have caused it has changed.
func (s *situation) heldBy(h *Hold) bool {
	if h != nil && h.Stands {
		return h.Until.After(s.now) && !fromTheFuture(s.record, s.now)
	}
	return holdApplies(h, s.issuer, s.now) && !fromTheFuture(s.record, s.now) && h.SpecDigest == specDigest(s.desired, s.spec) && !s.newCredentials(h) &&
		(h.Owner != OwnerAccount || s.accountDead)
}

// newCredentials tells that the DNS accounts have other credentials than those
// the attempt failed with.
func (s *situation) newCredentials(h *Hold) bool {
	switch h.Class {
	case ClassDNSUnauthorized, ClassDNSUnavailable, ClassDNSPropagation, ClassValidation, ClassConfig:
		return slices.ContainsFunc(s.spec.DNS, func(name string) bool { return otherCredentials(h.Credentials[name], s.credentials[name]) })
	default:
		return false
	}
}

// retireDigest stands for the spec in the hold of a certificate that has none
// any more.
const retireDigest = "removed"

// retire is the action for a certificate that the spec no longer has.
func retire(r *Record, obs *Observed, claimed map[Location]string, next *spec.Certificate, now time.Time) Action {
	a := Action{Kind: KindRetire, Certificate: r.Certificate, Reason: ReasonRemoved, Record: r}
	if next != nil {
		a.Reason = ReasonRenamed
	}
	if why := obs.Unreadable[r.Certificate]; why != "" {
		a.hold(ReasonUnreadable, now.Add(leastWait), why)
		a.HeldBy = unreadableSubject
		return a
	}
	if h := r.Hold; h != nil && h.SpecDigest == retireDigest && h.Until.After(now) && !fromTheFuture(r, now) {
		a.hold(ReasonBackoff, h.Until, h.Reason)
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
	a.At = Location{r.Live.Mount, r.Live.Path}
	a.Secret = obs.Secrets[a.At]
	a.heir = claimed[a.At] != "" || next != nil
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
