package plan

import (
	"fmt"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// nextLead is how long certroll publishes a next key before a renewal that can wait uses
// it: longer than the TTL of a TLSA record should be (RFC 7671 section 8.1). For a
// certificate that lives for days it is a tenth of the lifetime.
const nextLead = times.Day

// ruleNext: key.next is on, and the next key is not staged, not published, or missing from
// the record; or key.next is off and a key is staged.
func ruleNext(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto || s.secret.IsStale() || s.toBeUsedFirst(l) {
		return Action{}, false
	}
	reason, detail := s.nextWanted(l)
	return Action{Kind: ledger.KindStage, Reason: reason, Detail: detail}, reason != ""
}

// nextWanted returns why a next key has to be staged or withdrawn; "" if it does not.
func (s *Situation) nextWanted(l *ledger.Live) (ledger.Reason, string) {
	usable := s.usableNext(l)
	switch {
	case !s.Spec.Key.Next:
		if s.next == nil && l.NextKeyDigest == "" && s.nextIsRecorded(l) {
			return "", ""
		}
		return ledger.ReasonNextKeyOff, "key.next is off: the staged key is destroyed and its digest " + s.publishedNext(l) + " withdrawn; TLSA records and pins of it can go"
	case usable != nil && usable.KeyDigest == l.NextKeyDigest && s.nextIsRecorded(l):
		return "", ""
	case usable != nil:
		return ledger.ReasonNextKey, "its next key is staged; the digest " + usable.KeyDigest + " is published, nothing is ordered"
	// TLSA records and pins may name the lost key. A person has to change them before the
	// next renewal.
	case l.NextKeyDigest != "" && s.next == nil && l.NextKeyDigest != l.KeyDigest:
		return ledger.ReasonNextKeyLost, "the next key, whose digest " + l.NextKeyDigest + " was published, is gone from Vault: another one is staged; TLSA records and pins of the one that is gone are to be changed"
	case s.next != nil && s.next.KeyDigest != l.KeyDigest:
		return ledger.ReasonNextKey, fmt.Sprintf("its key becomes %s: the staged key (%s, SPKI SHA-256 %s) is replaced; TLSA records and pins of it are to be changed",
			keypair.ShapeOf(s.Spec.Key, l.KeyShape), s.next.KeyShape, s.next.KeyDigest)
	default:
		return ledger.ReasonNextKey, "key.next is on: the key of its next renewal is made now and its digest published, nothing is ordered"
	}
}

// usableNext returns the staged key if the next renewal can use it; else nil. A staged key
// equal to the live one was used by an attempt that did not replace it yet.
func (s *Situation) usableNext(l *ledger.Live) *Staged {
	if n := s.next; n != nil && n.KeyShape == keypair.ShapeOf(s.Spec.Key, l.KeyShape) && n.KeyDigest != l.KeyDigest {
		return n
	}
	return nil
}

// nextIsRecorded reports whether the record has the same next key as Vault. A record of another
// serial is the business of ruleStaleRecord.
func (s *Situation) nextIsRecorded(l *ledger.Live) bool {
	r := s.record
	return r == nil || r.Live == nil || r.Live.Serial != l.Serial || r.Live.NextKeyDigest == l.NextKeyDigest
}

// publishedNext returns the digest that certroll published last.
func (s *Situation) publishedNext(l *ledger.Live) string {
	if s.record != nil && s.record.Live != nil && l.NextKeyDigest == "" {
		return s.record.Live.NextKeyDigest
	}
	return l.NextKeyDigest
}

// toBeUsedFirst reports whether an order must not wait for staging: either the order is
// urgent and no staged key is usable, or staging itself keeps failing.
func (s *Situation) toBeUsedFirst(l *ledger.Live) bool {
	urgent, due := s.orderDue()
	return due && FailsToStage(s.record) || urgent && s.usableNext(l) == nil
}

// orderDue reports whether a rule calls for an order, and whether that order is urgent.
func (s *Situation) orderDue() (urgent, due bool) {
	for _, decide := range []func(*Situation) (Action, bool){ruleRevoked, ruleRotate, ruleChanged, ruleDue, ruleKeyAge} {
		if a, ok := decide(s); ok { // the first one gives the reason, any of them the urgency
			urgent, due = urgent || cannotWait(a.Reason), true
		}
	}
	return urgent, due
}

// cannotWait reports whether an order of this reason goes ahead although its key was
// published only recently. A person asked for the order, or the live certificate is
// unusable or will be soon.
func cannotWait(r ledger.Reason) bool {
	switch r {
	case ledger.ReasonRotate, ledger.ReasonExpired, ledger.ReasonRevoking, ledger.ReasonRevoked, ledger.ReasonMissing, ledger.ReasonDeleted:
		return true
	default:
		return false
	}
}

// FailsToStage reports whether the last failure was staging the next key, while the live
// certificate is in order.
func FailsToStage(r *ledger.Record) bool {
	return r != nil && r.LastFailure != nil && r.LastFailure.Operation == ledger.KindStage
}

// awaitNext holds an order until its key has been published for nextLead, if the order can
// wait. Otherwise it warns.
func awaitNext(s *Situation, a *Action) {
	l := s.live()
	if l == nil || !s.Spec.Key.Next || !a.Kind.Orders() || l.NextKeySince == nil {
		return
	}
	n := s.usableNext(l)
	if n == nil || n.KeyDigest != l.NextKeyDigest {
		return
	}
	lead := min(nextLead, l.Lifetime()/10)
	until := l.NextKeySince.Add(lead)
	if !until.After(s.Now) || until.After(s.Now.Add(lead)) {
		return // published long enough, or by a clock that ran ahead
	}
	since := l.NextKeySince.UTC().Format(time.RFC3339)
	// Waiting would leave less than a tenth of the lifetime for retries.
	if cannotWait(a.Reason) || l.RenewalEnd().Sub(until) < l.Lifetime()/10 {
		a.Warnings = append(a.Warnings, "its key is published only since "+since+": TLSA records of it may not be seen everywhere yet")
		return
	}
	a.hold(ledger.ReasonNextKeyNew, until, "its next key is published since "+since+", and used when TLSA records of it can be seen everywhere ("+a.Detail+")")
}

func sawNext(s *Situation) string {
	staged := "none is staged"
	if s.next != nil {
		staged = "staged " + s.next.KeyShape + " " + s.next.KeyDigest
	}
	published := "none published"
	if l := s.live(); l != nil && l.NextKeyDigest != "" {
		published = "published " + l.NextKeyDigest
	}
	return "key.next " + OnOff(s.Spec.Key.Next) + ", " + staged + ", " + published
}
