package reconcile

import (
	"slices"
	"strings"
	"time"

	"certroll/spec"
)

// Kind is what an action does.
type Kind string

// The kinds of action.
const (
	KindNone    Kind = "none"
	KindIssue   Kind = "issue"   // the first certificate, or one that went missing
	KindRenew   Kind = "renew"   // it is due
	KindRotate  Kind = "rotate"  // a person asked for a new key
	KindReissue Kind = "reissue" // the spec asks for something else than what is live
	KindAdopt   Kind = "adopt"   // a secret not made by certroll is already there
	KindRepair  Kind = "repair"  // what Vault says of the live pair is behind or was overwritten
	KindRetire  Kind = "retire"  // gone from the spec
	KindRevoke  Kind = "revoke"  // an earlier certificate still has to be revoked
	KindStage   Kind = "stage"   // its next key is made ahead and published, or withdrawn
	KindNote    Kind = "note"    // the ledger is told something, nothing is done
	KindHold    Kind = "hold"    // due, but must wait
)

// Orders tells whether an action of this kind asks the CA for a certificate.
func (k Kind) Orders() bool {
	return k == KindIssue || k == KindRenew || k == KindRotate || k == KindReissue
}

// Reason is why an action is there. It explains; only Kind decides.
type Reason string

// The reasons of an action.
const (
	ReasonUpToDate    Reason = "up_to_date"
	ReasonUnmanaged   Reason = "unmanaged" // renewal.auto is off
	ReasonMissing     Reason = "missing"
	ReasonDeleted     Reason = "deleted" // the secret's current version was deleted
	ReasonExpired     Reason = "expired"
	ReasonThreshold   Reason = "threshold"
	ReasonRotate      Reason = "rotation_requested"
	ReasonChanged     Reason = "changed"
	ReasonForeign     Reason = "foreign" // there is a secret that certroll did not write
	ReasonUnfinished  Reason = "unfinished"
	ReasonDrifted     Reason = "drifted"       // somebody else wrote a version after certroll's
	ReasonBehind      Reason = "record_behind" // the ledger does not say how it is
	ReasonRemoved     Reason = "removed_from_spec"
	ReasonBackoff     Reason = "backoff"
	ReasonRateLimited Reason = "rate_limited"
	ReasonPaused      Reason = "paused"      // the CA waits for a person
	ReasonLimit       Reason = "limit"       // a limit of the CA would be passed
	ReasonBreaker     Reason = "breaker"     // its issuer or DNS account fails for many
	ReasonSpread      Reason = "spread"      // many fall due at once
	ReasonWindow      Reason = "ari"         // the CA's suggested window (RFC 9773)
	ReasonRevoking    Reason = "ari_now"     // the CA wants it replaced now
	ReasonKeyAge      Reason = "key_age"     // key.max_age is reached
	ReasonRevocation  Reason = "revoke"      // the one before the last rotation is to be revoked
	ReasonSuggested   Reason = "ari_changed" // the CA's suggested window is another one
	ReasonRetry       Reason = "retry"       // a person ended a hold
	ReasonPauseBegan  Reason = "renewal_off"
	ReasonPauseEnded  Reason = "renewal_on"
	ReasonUnreadable  Reason = "unreadable"        // what is its in Vault cannot be looked at
	ReasonUnreachable Reason = "unreachable"       // of a whole pass: Git or Vault
	ReasonOverdue     Reason = "unmanaged_overdue" // it would be due, and renewal.auto is off
	ReasonNextKey     Reason = "next_key"          // key.next is on, and no key that fits is staged and published
	ReasonNextKeyLost Reason = "next_key_lost"     // the key whose digest was published is gone
	ReasonNextKeyOff  Reason = "next_key_off"      // key.next is off, and a key is staged
	ReasonNextKeyNew  Reason = "next_key_new"      // the next key is not published for long enough
)

// records tells that an action of this reason writes a record and an event
// and touches nothing else.
func (r Reason) records() bool {
	return r == ReasonBehind || r == ReasonPauseBegan || r == ReasonPauseEnded || r == ReasonOverdue
}

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
	// OrderFrom is, for KindRepair, from when on something may be ordered where it
	// turns out that it has to be, and orderHeld why not before.
	OrderFrom time.Time
	orderHeld string

	Spec   *spec.Certificate // nil for KindRetire
	Record *Record           // nil where the ledger knows nothing; of a leftover as it begins
	At     Location          // where the live secret is
	Secret Secret            // what was seen there
	Next   *Staged           // the next key, as far as one is staged

	pending *Pending // the pending secret, as far as there is one
	target  *Secret  // where it moved: what was seen at the spec's target
}

// mends tells that it brings back what is live, or ends what was begun, and asks
// the CA for nothing unless there is no other way.
func (a *Action) mends() bool { return a.Kind == KindRepair && !a.Reason.records() }

// Plan is the difference between the spec and what is there, by name of the
// certificate. It is total, and a pure function of its arguments.
func Plan(desired *spec.Spec, observed *Observed, now time.Time) []Action {
	history := credible(observed.History, now)
	found := known(observed, history)
	actions := make([]Action, 0, len(desired.Certificates))
	wanted := make(map[string]bool, len(desired.Certificates))
	claimed := make(map[Location]string, len(desired.Certificates))
	for _, c := range desired.Certificates {
		wanted[c.Name] = true
		claimed[targetOf(c)] = c.Name
		actions = append(actions, decide(newCase(desired, c, observed, found, now)))
	}
	admit(actions, accountsOf(desired), history, found, now)
	for name, r := range observed.Records {
		if !wanted[name] && r.State != StateRetired {
			actions = append(actions, retire(r, observed, claimed, now))
		}
	}
	actions = append(actions, leftovers(wanted, observed, now)...)
	slices.SortFunc(actions, func(a, b Action) int { return strings.Compare(a.Certificate, b.Certificate) })
	return actions
}

// newCase gathers all that the rules look at for one certificate.
func newCase(desired *spec.Spec, c *spec.Certificate, obs *Observed, found map[subject]*trouble, now time.Time) *situation {
	s := &situation{desired: desired, spec: c, record: obs.Records[c.Name], auto: renewsAt(c, now), now: now}
	s.at = targetOf(c)
	s.secret = obs.Secrets[s.at]
	if p, ok := obs.Pending[c.Name]; ok && !obs.isDone(c.Name, p) {
		s.pending = &p
	}
	if r := s.record; r.holds() {
		was := Location{r.Live.Mount, r.Live.Path}
		// The target moved and nothing was written there yet: what is live is
		// still at the old place, and stays so until the next renewal.
		if old := obs.Secrets[was]; was != s.at && s.secret.Live == nil && old.Owner == c.Name && !s.begun() {
			s.target, s.at, s.secret = s.secret, was, old
			s.moved = true
		}
	}
	if n, ok := obs.Staged[c.Name]; ok {
		s.next = &n
	}
	s.issuer, s.failing = issuerFor(desired, c, s.record, s.live(), found, now)
	s.credentials, s.unreadable = obs.Credentials, obs.Unreadable[c.Name]
	if s.record != nil {
		s.said = s.record.RenewalInfo
	}
	return s
}

// begun tells that an earlier run has written what it was about to, and may
// have ended before it could say so.
func (s *situation) begun() bool {
	return s.pending != nil && s.secret.Readable && s.secret.Version == s.pending.Follows+1
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
	a.Next, a.pending = s.next, s.pending
	if s.moved {
		target := s.target
		a.target = &target
	}
	a.Warnings = warnings(s)
	awaitNext(s, &a)
	a.Replaces, a.Exempt = coordinated(s, a.Kind)
	return holdBack(s, a)
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
	if i := s.said.of(l); i != nil && l.ARI != "" && l.Issuer == s.issuer.Name {
		replaces = l.ARI
		// One that came a moment ago is no renewal in the CA's own time: the
		// limits on the same set of names hold, so that nothing loops.
		if i.inside(s.now) && !s.now.Before(l.IssuedAt.Add(l.Lifetime()/10)) {
			free = ExemptARI
		}
	}
	return replaces, free
}

// holdBack turns an action that must wait into a hold.
func holdBack(s *situation, a Action) Action {
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
		a.OrderFrom, a.orderHeld = h.Until, h.Reason
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
	return holdApplies(h, s.issuer, s.now) && !fromTheFuture(s.record, s.now) && h.SpecDigest == specDigest(s.desired, s.spec) && !s.newCredentials(h)
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
func retire(r *Record, obs *Observed, claimed map[Location]string, now time.Time) Action {
	a := Action{Kind: KindRetire, Certificate: r.Certificate, Reason: ReasonRemoved, Record: r}
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
		return a
	}
	a.At = Location{r.Live.Mount, r.Live.Path}
	a.Secret = obs.Secrets[a.At]
	switch heir := claimed[a.At]; {
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
