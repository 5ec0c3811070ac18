package plan

import (
	"fmt"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
)

// warnings returns notes for a reviewer, whatever the action.
func warnings(s *Situation) []string {
	var ws []string
	if s.Spec.Key.Rotation == spec.RotateNever {
		w := "key.rotation is \"never\": renewals keep the private key"
		if s.Spec.Key.MaxAge > 0 {
			w += " until it is " + times.Days(s.Spec.Key.MaxAge) + " old"
		}
		ws = append(ws, w)
	}
	// People copy these prefixes from vault kv get and from API paths.
	at := TargetOf(s.Spec)
	for _, first := range []string{at.Mount + "/", "data/"} {
		if strings.HasPrefix(at.Path, first) {
			ws = append(ws, fmt.Sprintf("vault.path begins with %q, and stands below the mount %s: the secret is %s", first, at.Mount, at))
			break
		}
	}
	if s.notItsOwn != "" {
		ws = append(ws, fmt.Sprintf("not moved from %s: its file is under other policies than %s", s.notItsOwn, s.Spec.File))
	}
	if l := s.live(); l != nil {
		ws = append(ws, liveWarnings(s, l)...)
	}
	if s.record != nil {
		ws = append(ws, s.record.LeftText()...)
	}
	switch {
	case s.Spec.Renewal.Auto:
	case s.auto:
		ws = append(ws, "renewal.auto is off, but its pause"+PauseText(s.Spec)+" is over: it is renewed again")
	case s.Spec.Renewal.Until.IsZero():
		ws = append(ws, "renewal.auto is off"+PauseText(s.Spec)+" without an end: certroll does not renew it; set renewal.until")
	default:
		ws = append(ws, "renewal.auto is off"+PauseText(s.Spec)+": certroll does not renew it until then")
	}
	return ws
}

// liveWarnings returns the notes about a live certificate.
func liveWarnings(s *Situation, l *ledger.Live) []string {
	var ws []string
	// Only for a stated threshold: the default of a short-lived certificate is capped by
	// design.
	if _, capped := RenewAt(s.Spec, l); capped && s.auto && s.Spec.Renewal.ThresholdStated {
		ws = append(ws, fmt.Sprintf("the threshold of %s is more than a third of the certificate's %s; a third is used",
			times.Days(thresholdOf(s.Spec, l)), times.Days(l.Lifetime())))
	}
	if w := chainWarning(s.Spec, l); w != "" && s.auto {
		ws = append(ws, w)
	}
	if s.moved {
		ws = append(ws, "it is still at "+s.at.String()+" and moves to "+TargetOf(s.Spec).String()+" with its next renewal")
	}
	if i := fallenBack(s.desired, s.Spec, l); i != nil {
		ws = append(ws, fmt.Sprintf("what is live came from issuer.%s, because issuer.%s failed; its next renewal goes back", i.Name, s.Spec.Issuer))
	}
	if !s.auto && !s.due().at.After(s.Now) {
		ws = append(ws, "a renewal has been due since "+s.due().at.Format(time.DateOnly)+", but renewal.auto is off; it expires "+l.End().UTC().Format(time.DateOnly))
	}
	if s.issuer.Name != s.Spec.Issuer {
		ws = append(ws, fmt.Sprintf("issuer.%s has failed since %s: issuer.%s is asked instead",
			s.Spec.Issuer, s.failing.UTC().Format(time.RFC3339), s.issuer.Name))
	}
	return ws
}
