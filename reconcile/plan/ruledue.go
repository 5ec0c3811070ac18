package plan

import (
	"fmt"
	"strings"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// ruleRotate: the spec has a rotation request that no rotation satisfied.
func ruleRotate(s *Situation) (Action, bool) {
	if s.live() == nil || !s.asksRotation() {
		return Action{}, false
	}
	return Action{Kind: ledger.KindRotate, Reason: ledger.ReasonRotate, Detail: s.Spec.Rotate}, true
}

// ruleChanged: the spec differs from the live certificate in a field that needs a new one.
// ruleRotate precedes this rule and reissues with the changed fields too.
func ruleChanged(s *Situation) (Action, bool) {
	changes := changesOf(s)
	if len(changes) == 0 || !s.auto {
		return Action{}, false
	}
	said := make([]string, len(changes))
	for i, c := range changes {
		said[i] = fmt.Sprintf("%s from %q to %q", c.Field, c.Old, c.New)
	}
	return Action{Kind: ledger.KindReissue, Reason: ledger.ReasonChanged, Changes: changes,
		Detail: "the spec changed " + strings.Join(said, ", ")}, true
}

// ruleDue: the certificate has expired, or its renewal time has come.
func ruleDue(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto {
		return Action{}, false
	}
	a := Action{Kind: ledger.KindRenew}
	// Expiry first: its reason is not patient, so that waves do not delay the renewal.
	switch d := s.due(); {
	case !l.RenewalEnd().After(s.Now):
		a.Reason, a.Detail = ledger.ReasonExpired, "it expired "+l.RenewalEnd().UTC().Format(time.RFC3339)
		if l.RenewalEnd().Before(l.NotAfter) {
			a.Detail = "its chain ended " + l.RenewalEnd().UTC().Format(time.RFC3339) + ", before the certificate itself"
		}
	case s.dueByChain():
		a.Reason = ledger.ReasonThreshold
		a.Detail = fmt.Sprintf("its chain ends %s, before the certificate, and the CA gives newer certificates one that lasts longer", l.End().UTC().Format(time.DateOnly))
	case !d.at.After(s.Now):
		a.Reason = d.reason
		a.Detail = fmt.Sprintf("it expires %s, %s left: %s", l.RenewalEnd().UTC().Format(time.DateOnly), times.Days(l.RenewalEnd().Sub(s.Now)), d.detail)
	default:
		return Action{}, false
	}
	if !s.Spec.Renewal.Auto {
		a.Detail += "; its pause" + PauseText(s.Spec) + " is over"
	}
	if i := fallenBack(s.desired, s.Spec, l); i != nil {
		a.Detail += fmt.Sprintf("; what is live is from issuer.%s, this one is asked from issuer.%s", i.Name, s.issuer.Name)
	}
	return a, true
}

// ruleKeyAge: the key has reached key.max_age, although renewals may keep it.
func ruleKeyAge(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto || s.Spec.Key.MaxAge == 0 || s.Now.Before(l.KeySince.Add(s.Spec.Key.MaxAge)) {
		return Action{}, false
	}
	return Action{Kind: ledger.KindRotate, Reason: ledger.ReasonKeyAge,
		Detail: fmt.Sprintf("its key is from %s and key.max_age is %s", l.KeySince.UTC().Format(time.DateOnly), times.Days(s.Spec.Key.MaxAge))}, true
}

// ruleRevocation: the certificate before the last rotation has to be revoked, and the first
// try failed.
func ruleRevocation(s *Situation) (Action, bool) {
	if s.live() == nil || s.record == nil || len(s.record.Revocations) == 0 {
		return Action{}, false
	}
	return Action{Kind: ledger.KindRevoke, Reason: ledger.ReasonRevocation,
		Detail: "serial " + s.record.Revocations[0].Serial + " was replaced and is to be revoked"}, true
}

// changesOf lists the changed fields that need a new certificate. DNS account, Vault path,
// fields, labels and threshold are not among them: they take effect with the next renewal.
func changesOf(s *Situation) []Change {
	l := s.live()
	if l == nil {
		return nil
	}
	var cs []Change
	if d := keypair.NamesDigest(s.Spec.Names()); d != l.NamesDigest {
		cs = append(cs, Change{"domains", oldNames(s, l), strings.Join(s.Spec.Names(), " ")})
	}
	// Shape and not key settings: a spec that leaves the algorithm open keeps the recorded
	// shape.
	if shape := keypair.ShapeOf(s.Spec.Key, l.KeyShape); shape != l.KeyShape {
		cs = append(cs, Change{"key", l.KeyShape, shape})
	}
	if fallenBack(s.desired, s.Spec, l) != nil {
		return cs // the next renewal goes back to the preferred issuer
	}
	wanted := s.desired.Issuers[s.Spec.Issuer]
	// The directory identifies the CA. A renamed issuer block is no change.
	if wanted.Directory != l.Directory {
		cs = append(cs, Change{"issuer", l.Issuer + " (" + l.Directory + ")", wanted.Name + " (" + wanted.Directory + ")"})
	}
	if wanted.Profile != l.Profile {
		cs = append(cs, Change{"profile", l.Profile, wanted.Profile})
	}
	return cs
}

// oldNames renders the live names.
func oldNames(s *Situation, l *ledger.Live) string {
	if names := recordedNames(s, l); len(names) > 0 {
		return strings.Join(names, " ")
	}
	return "(other names, digest " + l.NamesDigest[:min(12, len(l.NamesDigest))] + ")"
}

// recordedNames returns the live names by the record, or nil if it has none: metadata has
// only their digest.
func recordedNames(s *Situation, l *ledger.Live) []string {
	if s.record != nil && s.record.Live != nil && s.record.Live.Serial == l.Serial {
		return s.record.Live.Names
	}
	return nil
}
