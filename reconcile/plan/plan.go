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

// ByName indexes actions by the name of their certificate. The pointers point into actions.
func ByName(actions []Action) map[string]*Action {
	m := make(map[string]*Action, len(actions))
	for i := range actions {
		m[actions[i].Certificate] = &actions[i]
	}
	return m
}

// Plan is the difference between the spec and the observed state at one time.
type Plan struct {
	Actions  []Action  // one for each certificate, sorted by name
	Observed *Observed // the state that the actions follow from
	At       time.Time
}

// New compares the spec with the observed state and returns one action for each
// certificate. New is total (it accepts any input) and a pure function of its arguments.
func New(desired *spec.Spec, observed *Observed, now time.Time) Plan {
	// Credible comes first: a time in the future, from a clock that was ahead, would keep
	// breakers open and limits used up until it comes.
	history := archive.Credible(observed.History, now)
	found := Known(desired, observed, history)
	chains := newestChains(observed.Records)
	actions := make([]Action, 0, len(desired.Certificates))
	wanted := make(map[string]bool, len(desired.Certificates))
	claimed := make(map[ledger.Location]string, len(desired.Certificates))
	for _, c := range desired.Certificates {
		wanted[c.Name] = true
		claimed[TargetOf(c)] = c.Name
		// The attempt under way was planned on an older state. A second plan for the same
		// certificate would order twice.
		if _, busy := observed.AtWork[c.Name]; busy {
			continue
		}
		actions = append(actions, decide(newCase(desired, c, observed, found, chains, now)))
	}
	// Nothing changes these actions before awaitHeir reads them, so that the pointers are
	// good even if append copies the slice below.
	heirs := ByName(actions)
	renamed := successors(desired)
	// An attempt under way keeps its place in the plan even if the spec has dropped its
	// certificate: retiring the certificate has to wait until the attempt has ended.
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
	// The order of the next steps matters. The brake goes first: what it holds must not use
	// up the CA's limits, which Admit counts.
	brake(actions, observed, history, now, func(c *spec.Certificate) Action { return decide(newCase(desired, c, observed, found, chains, now)) })
	// A retirement that the brake holds keeps that hold.
	holdNotRead(actions, desired, consents(observed.HeldSets, now), now)
	Admit(actions, throttle.AccountsOf(desired), history, found, now)
	// Leftovers have no record of a live secret, no order and no limit, so that neither the
	// brake nor Admit concerns them.
	actions = append(actions, leftovers(wanted, formersOf(actions), observed, now)...)
	slices.SortFunc(actions, func(a, b Action) int { return strings.Compare(a.Certificate, b.Certificate) })
	return Plan{Actions: actions, Observed: observed, At: now}
}

// newCase collects everything that the rules read about one certificate. chains are the
// newestChains.
func newCase(desired *spec.Spec, c *spec.Certificate, obs *Observed, found map[ledger.Subject]*throttle.Circuit, chains map[string]*ledger.Live, now time.Time) *Situation {
	s := &Situation{desired: desired, Spec: c, record: obs.Records[c.Name], auto: RenewsAt(c, now), Now: now}
	s.at = TargetOf(c)
	s.secret = obs.Secrets[s.at]
	s.unreadable = obs.Unreadable[c.Name]
	// goesOnFrom replaces the record for a renamed certificate, so everything below that
	// reads s.record has to come after it.
	s.goesOnFrom(obs)
	if p, ok := obs.Pending[c.Name]; ok && !obs.isDone(c.Name, p) {
		s.pending = &p
	}
	if r := s.record; r.HasSecret() {
		was := ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}
		// The target moved, and certroll has not written there yet: the live secret is
		// still at the old path and stays there until the next renewal.
		if old := obs.Secrets[was]; was != s.at && s.secret.Live == nil && (old.Owner == c.Name || s.former != "" && old.Owner == s.former) && !s.begun() {
			s.at, s.secret = was, old
			s.moved = true
		}
	}
	s.seeLeft(obs)
	if n, ok := obs.Staged[c.Name]; ok {
		s.next = &n
	}
	if l := s.secret.Live; l != nil && s.record != nil && (s.live() != nil || s.renames()) {
		// A record of the same serial knows more of the chain than the metadata does, which
		// is limited to 64 keys of 512 bytes (Vault KV v2).
		s.secret.Live = l.WithFacts(s.record.Live)
	}
	s.longerChain = s.live() != nil && longerChain(chains, s.live())
	// The issuer depends on the failures in the record and on the live end, which WithFacts
	// may have corrected just before.
	s.issuer, s.failing = issuerFor(desired, c, s.record, s.live(), found, now)
	s.accountDead = found[ledger.IssuerSubject(s.issuer.Name)].OfAccount()
	s.credentials = obs.Credentials
	if s.record != nil {
		s.said = s.record.RenewalInfo
	}
	return s
}

// decide runs the rules in order. The first rule that matches wins.
func decide(s *Situation) Action {
	a := Action{Kind: ledger.KindNone}
	for _, r := range Rules {
		if hit, ok := r.decide(s); ok {
			a = hit
			break
		}
	}
	// The rules set only what they decide. Everything else that a caller needs comes from
	// the situation, whatever rule matched.
	a.Certificate, a.Spec, a.Record, a.At, a.Secret, a.Issuer = s.Spec.Name, s.Spec, s.record, s.at, s.secret, s.issuer
	a.Former, a.Tried = s.former, s.tried
	a.Next, a.Pending, a.Ways, a.moves = s.next, s.pending, WaysOf(s.desired, s.Spec), s.moved
	a.Warnings = warnings(s)
	// Each step below may turn the action into a hold. Later steps leave a hold alone, so
	// the first reason to wait stands.
	awaitNext(s, &a)
	a.Replaces, a.Exempt = coordinated(s, a.Kind)
	return holdBack(s, HoldByRule(s, holdUndone(s, a)))
}

// coordinated returns the ARI identifier of the certificate that the order replaces, and
// the rate limits that the CA waives for it. Only the ACME account that ordered a
// certificate may replace it (RFC 9773 section 5): Let's Encrypt answers 403 to any other.
func coordinated(s *Situation, kind ledger.Kind) (replaces string, free ledger.Exemption) {
	l := s.live()
	// replaces works only at the CA that issued the certificate: another CA does not know
	// the identifier and answers 404.
	if l == nil || !kind.Orders() || l.Directory != s.issuer.Directory {
		return "", ""
	}
	if keypair.NamesDigest(s.Spec.Names()) == l.NamesDigest {
		free = ledger.ExemptRenewal
	}
	if i := s.said.Of(l); i != nil && l.ARI != "" && madeBy(s, l) {
		replaces = l.ARI
		// A renewal shortly after issuance is not one that the CA planned. certroll keeps
		// counting the exact-set limit for it, so that a wrong window cannot cause a loop
		// of orders. An order outside the window is not exempt either.
		if i.Inside(s.Now) && !s.Now.Before(l.IssuedAt.Add(l.Lifetime()/10)) {
			free = ledger.ExemptARI
		}
	}
	return replaces, free
}

// madeBy reports whether the account of the current issuer ordered the live certificate.
// The comparison uses directory and account, because people rename issuer blocks.
func madeBy(s *Situation, l *ledger.Live) bool {
	i := IssuerOf(s.desired, s.Spec, l)
	return i != nil && (i == s.issuer || i.SameAccount(s.issuer))
}

// holdBack turns an action into a hold while the hold of its record stands.
func holdBack(s *Situation, a Action) Action {
	if a.Reason == ledger.ReasonRenamed {
		return s.holdMove(a)
	}
	if s.record == nil || a.Kind == ledger.KindNone || a.Kind == ledger.KindHold || !s.heldBy(s.record.Hold) {
		return a
	}
	if f := s.record.LastFailure; a.Reason.Records() && (f == nil || f.Operation != a.Kind) {
		return a // the hold belongs to another operation
	}
	if a.Kind.Orders() && (FailsToRevoke(s.record) || FailsToStage(s.record)) {
		return a // a failing revocation or staging must not delay a renewal
	}
	h := s.record.Hold
	// Readers of the secret get a wrong or incomplete pair until the repair, so only the
	// order that the repair might need waits for the CA.
	if a.Mends() && FailsToOrder(s.record) {
		a.orderNotBefore(h.Until, h.Reason)
		return a // the repair writes certroll's version back without asking a CA; only its order waits
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

// RetireDigest takes the place of the spec digest in the hold of a retirement: a removed
// certificate has no spec.
const RetireDigest = "removed"

// retire returns the action for a certificate that left the spec.
func retire(r *ledger.Record, obs *Observed, claimed map[ledger.Location]string, next *spec.Certificate, now time.Time) Action {
	a := Action{Kind: ledger.KindRetire, Certificate: r.Certificate, Reason: ledger.ReasonRemoved, Record: r}
	if next != nil {
		a.Reason = ledger.ReasonRenamed
	}
	// A failed read says nothing about the secret, so that certroll can neither run
	// on_remove nor close the record.
	if why := obs.Unreadable[r.Certificate]; why != "" {
		a.hold(ledger.ReasonUnreadable, now.Add(throttle.LeastWait), why)
		a.HeldBy = ledger.UnreadableSubject
		return a
	}
	// The hold of a certificate that was failing before its block left the spec does not
	// count: retiring asks no CA for an order.
	if h := r.Hold; h != nil && h.SpecDigest == RetireDigest && h.Until.After(now) && !fromTheFuture(r, now) {
		a.hold(ledger.ReasonBackoff, h.Until, h.Reason)
		return a
	}
	// Without its certificate a staged key has no use, so retiring destroys it.
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
	// on_remove must not act on a secret that another certificate uses.
	a.Heir = claimed[a.At] != "" || next != nil
	switch heir := claimed[a.At]; {
	case next != nil:
		a.Detail = "moved to " + next.Name + ", which keeps its secret, record and history"
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
