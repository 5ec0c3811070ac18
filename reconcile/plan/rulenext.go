package plan

import (
	"fmt"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// nextLead is how long a next key is published at least before a renewal that
// can wait uses it: longer than the TTL of a TLSA record should be (RFC 7671
// section 8.1). Of certificates that live for days it is a tenth of that.
const nextLead = times.Day

// ruleNext: key.next is on, and the key of the next renewal is not staged, not
// published or not told of; or it is off and one is.
func ruleNext(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto || s.secret.Behind() || s.toBeUsedFirst(l) {
		return Action{}, false
	}
	reason, detail := s.nextWanted(l)
	return Action{Kind: ledger.KindStage, Reason: reason, Detail: detail}, reason != ""
}

// nextWanted is why a next key is to be staged or withdrawn; "" where all is
// well.
func (s *Situation) nextWanted(l *ledger.Live) (ledger.Reason, string) {
	usable := s.usableNext(l)
	switch {
	case !s.Spec.Key.Next:
		if s.next == nil && l.NextKeyDigest == "" && s.nextTold(l) {
			return "", ""
		}
		return ledger.ReasonNextKeyOff, "key.next is off: the staged key is destroyed and its digest " + s.publishedNext(l) + " withdrawn; TLSA records and pins of it can go"
	case usable != nil && usable.KeyDigest == l.NextKeyDigest && s.nextTold(l):
		return "", ""
	case usable != nil:
		return ledger.ReasonNextKey, "its next key is staged; the digest " + usable.KeyDigest + " is published, nothing is ordered"
	case l.NextKeyDigest != "" && s.next == nil && l.NextKeyDigest != l.KeyDigest:
		return ledger.ReasonNextKeyLost, "the next key, whose digest " + l.NextKeyDigest + " was published, is gone from Vault: another one is staged; TLSA records and pins of the one that is gone are to be changed"
	case s.next != nil && s.next.KeyDigest != l.KeyDigest:
		return ledger.ReasonNextKey, fmt.Sprintf("its key becomes %s: the staged key (%s, SPKI SHA-256 %s) is replaced; TLSA records and pins of it are to be changed",
			keypair.ShapeOf(s.Spec.Key, l.KeyShape), s.next.KeyShape, s.next.KeyDigest)
	default:
		return ledger.ReasonNextKey, "key.next is on: the key of its next renewal is made now and its digest published, nothing is ordered"
	}
}

// usableNext is the staged key where the next renewal can use it.
func (s *Situation) usableNext(l *ledger.Live) *Staged {
	if n := s.next; n != nil && n.KeyShape == keypair.ShapeOf(s.Spec.Key, l.KeyShape) && n.KeyDigest != l.KeyDigest {
		return n
	}
	return nil
}

// nextTold tells that the record says the same of the next key as Vault; one
// that speaks of another certificate is made anew by ruleBehind.
func (s *Situation) nextTold(l *ledger.Live) bool {
	r := s.record
	return r == nil || r.Live == nil || r.Live.Serial != l.Serial || r.Live.NextKeyDigest == l.NextKeyDigest
}

// publishedNext is the digest that was published last.
func (s *Situation) publishedNext(l *ledger.Live) string {
	if s.record != nil && s.record.Live != nil && l.NextKeyDigest == "" {
		return s.record.Live.NextKeyDigest
	}
	return l.NextKeyDigest
}

// toBeUsedFirst tells that an order does not wait until a key is staged:
// somebody asked for a rotation, or what is live is good for nothing, and there
// is no key that was staged; or it is staging that fails.
func (s *Situation) toBeUsedFirst(l *ledger.Live) bool {
	urgent, due := s.orderDue()
	return due && FailsToStage(s.record) || urgent && s.usableNext(l) == nil
}

// orderDue tells whether a rule calls for an order, and for one that cannot
// wait.
func (s *Situation) orderDue() (urgent, due bool) {
	for _, decide := range []func(*Situation) (Action, bool){ruleRotate, ruleChanged, ruleDue, ruleKeyAge} {
		if a, ok := decide(s); ok {
			return cannotWait(a.Reason), true
		}
	}
	return false, false
}

// cannotWait tells that an order of this reason is not held until its key was
// published for a while: a person asked for it now, or what is live is of no
// use, or not for long.
func cannotWait(r ledger.Reason) bool {
	switch r {
	case ledger.ReasonRotate, ledger.ReasonExpired, ledger.ReasonRevoking, ledger.ReasonRevoked, ledger.ReasonMissing, ledger.ReasonDeleted:
		return true
	default:
		return false
	}
}

// FailsToStage tells that all that fails is to stage the next key.
func FailsToStage(r *ledger.Record) bool {
	return r != nil && r.LastFailure != nil && r.LastFailure.Operation == ledger.KindStage
}

// awaitNext holds an order that can wait until its key was published for long
// enough, and warns where it cannot.
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
		return // long enough, or by a clock that ran ahead
	}
	since := l.NextKeySince.UTC().Format(time.RFC3339)
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
