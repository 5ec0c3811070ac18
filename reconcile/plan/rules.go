package plan

import (
	"fmt"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec/text"
)

// rule reads one situation and returns an action, or false if it does not apply.
type rule struct {
	Name   string
	decide func(*Situation) (Action, bool)
	saw    func(*Situation) string // the values it read, for explain
}

// Rules in the order in which decide runs them. Each rule is correct on its own, whatever
// rules precede it. The order selects the action if several rules match.
//
// It follows the secret from the outside in: whether certroll can read it, owns it and
// wrote its version; then the key, the certificate and the record. "next key" precedes the
// rules that order, because an order uses the staged key. "record" follows them, because an
// order writes the record anyway. The last rule matches every live certificate.
var Rules = []rule{
	{"unreadable", ruleUnreadable, sawSecret},
	{"renamed", ruleRenamed, sawFormer},
	{"left alone", ruleLeftAlone, sawVersion},
	{"missing", ruleMissing, sawSecret},
	{"unfinished", ruleUnfinished, sawPending},
	{"foreign", ruleForeign, sawOwner},
	{"drifted", ruleDrifted, sawVersion},
	{"next key", ruleNext, sawNext},
	{"rotate", ruleRotate, sawRotate},
	{"changed", ruleChanged, sawShape},
	{"revoked", ruleRevoked, sawRevoked},
	{"due", ruleDue, sawDue},
	{"key age", ruleKeyAge, sawKeyAge},
	{"record", ruleStaleRecord, sawRecord},
	{"revocation", ruleRevocation, sawRevocation},
	{"unmanaged", ruleUnmanaged, sawAuto},
	{"chain", ruleChainEnds, sawDue},
	{"up to date", ruleUpToDate, sawDue},
}

// ruleUnreadable: a failed read does not prove that the secret is missing, so certroll must
// not order.
func ruleUnreadable(s *Situation) (Action, bool) {
	if s.unreadable == "" {
		return Action{}, false
	}
	return Action{Kind: ledger.KindHold, Wants: ledger.KindNone, Reason: ledger.ReasonUnreadable, NotBefore: s.Now.Add(throttle.LeastWait).UTC(),
		Detail: s.unreadable, HeldBy: ledger.UnreadableSubject}, true
}

// ruleMissing: no readable secret is at the certificate's path.
func ruleMissing(s *Situation) (Action, bool) {
	if s.unreadable != "" || s.leftAlone() {
		return Action{}, false
	}
	// The record shows that certroll wrote a secret here: another program deleted it with
	// all versions and its metadata. The reason counts for the brake and for holdUndone.
	if r := s.record; s.secret.Version == 0 && r.HasSecret() && s.at == (ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}) {
		return Action{Kind: ledger.KindIssue, Reason: ledger.ReasonDeleted,
			Detail: fmt.Sprintf("%s is gone with all its versions; certroll wrote version %d of it for the certificate of %s", s.at, r.Live.Version, text.Stamp(r.Live.IssuedAt))}, true
	}
	if s.secret.Version == 0 {
		return Action{Kind: ledger.KindIssue, Reason: ledger.ReasonMissing,
			Detail: "there is no secret at " + s.at.String() + " yet"}, true
	}
	if !s.secret.Readable {
		return Action{Kind: ledger.KindIssue, Reason: ledger.ReasonDeleted,
			Detail: fmt.Sprintf("version %d of %s was deleted", s.secret.Version, s.at)}, true
	}
	return Action{}, false
}

// ruleUnfinished: an earlier run wrote the pair and ended before it recorded the result.
// See begun for the version that can be that run's own.
func ruleUnfinished(s *Situation) (Action, bool) {
	if !s.begun() {
		return Action{}, false
	}
	// The pair and the metadata are complete; only the record is missing.
	if l := s.live(); l != nil && l.KeyDigest == s.pending.KeyDigest && !s.secret.IsStale() {
		return Action{Kind: ledger.KindRepair, Reason: ledger.ReasonUnfinished,
			Detail: "an earlier run ended after it had written " + s.at.String() + "; its record is completed"}, true
	}
	// The pair is in Vault, but its metadata is missing or describes an older version.
	if s.live() == nil || s.secret.IsStale() {
		return Action{Kind: ledger.KindRepair, Reason: ledger.ReasonUnfinished,
			Detail: "an earlier run ended while it wrote " + s.at.String() + "; it is finished, with no new order"}, true
	}
	return Action{}, false
}

// ruleForeign: certroll did not write the readable secret for this certificate.
func ruleForeign(s *Situation) (Action, bool) {
	if s.secret.Version == 0 || s.live() != nil || s.leftAlone() || s.renames() {
		return Action{}, false
	}
	whose := "certroll did not write it"
	if s.secret.Owner != "" {
		whose = fmt.Sprintf("it belonged to certificate %q", s.secret.Owner)
	}
	return Action{Kind: ledger.KindAdopt, Reason: ledger.ReasonForeign,
		Detail: fmt.Sprintf("a secret is already at %s (%s); it is adopted if its pair fits the spec, and never overwritten if not", s.at, whose)}, true
}

// ruleDrifted: another program wrote a version after certroll's.
func ruleDrifted(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto || !s.secret.IsStale() {
		return Action{}, false
	}
	return Action{Kind: ledger.KindRepair, Reason: ledger.ReasonDrifted,
		Detail: fmt.Sprintf("version %d of %s was not written by certroll, which wrote version %d; a sound pair of its issuer is taken over, anything else is replaced by certroll's version",
			s.secret.Version, s.at, l.Version)}, true
}

// ruleUnmanaged: renewal.auto is off, so certroll renews nothing.
func ruleUnmanaged(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil && s.leftAlone() { // which without live metadata implies a record
		l = s.record.Live
	}
	if l == nil || s.auto {
		return Action{}, false
	}
	a := Action{Kind: ledger.KindNone, Reason: ledger.ReasonUnmanaged, Detail: "renewal.auto is off" + PauseText(s.Spec) + "; it expires " + l.End().UTC().Format(time.DateOnly)}
	if s.leftAlone() {
		a.Detail += "; " + s.leftText()
	}
	if until := s.Spec.Renewal.Until; !until.IsZero() {
		a.NotBefore = until
	}
	return a, true
}

// ruleUpToDate: nothing to do until the due time.
func ruleUpToDate(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil {
		return Action{}, false
	}
	d := s.due()
	a := Action{Kind: ledger.KindNone, Reason: ledger.ReasonUpToDate, NotBefore: d.at, Detail: "it is due " + d.at.Format(time.DateOnly) + ", " + d.detail}
	// The earliest of several due times is the one to report.
	if again := s.renewsRevoked(); !again.IsZero() && again.Before(a.NotBefore) {
		a.NotBefore = again
		a.Detail = s.record.Revoked.Text() + ", and the one before it was revoked too: it is renewed again " + again.Format(time.RFC3339)
	}
	if age := s.Spec.Key.MaxAge; age > 0 && l.KeySince.Add(age).Before(a.NotBefore) {
		a.NotBefore = l.KeySince.Add(age)
		a.Detail = "its key is rotated " + a.NotBefore.UTC().Format(time.DateOnly) + ", by key.max_age"
	}
	return a, true
}
