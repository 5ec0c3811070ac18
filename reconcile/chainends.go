package reconcile

import (
	"fmt"
	"strings"
	"time"

	"certroll/spec"
)

// chainOf is what makes chains of one CA the same: its directory and the key's
// algorithm, since CAs sign RSA and ECDSA keys by different intermediates.
func chainOf(l *Live) string {
	algorithm, _, _ := strings.Cut(l.KeyShape, "-")
	return l.Directory + " " + algorithm
}

// newestChains are the certificates that were issued last, by CA and algorithm: what
// a CA offers now is what it gave to the newest one.
func newestChains(records map[string]*Record) map[string]*Live {
	newest := map[string]*Live{}
	for _, r := range records {
		if !r.holds() {
			continue
		}
		l := r.Live
		was := newest[chainOf(l)]
		if was == nil || l.IssuedAt.After(was.IssuedAt) || l.IssuedAt.Equal(was.IssuedAt) && l.End().After(was.End()) {
			newest[chainOf(l)] = l
		}
	}
	return newest
}

// longerChain tells that the CA has given a later certificate a chain that lasts
// longer than that of l.
func longerChain(newest map[string]*Live, l *Live) bool {
	n := newest[chainOf(l)]
	return n != nil && n.IssuedAt.After(l.IssuedAt) && n.End().After(l.End())
}

// dueByChain tells that a certificate whose chain ends before it is to be renewed,
// as the CA offers another one by now.
func (s *situation) dueByChain() bool {
	l := s.live()
	if l == nil || !l.ChainKept || !s.longerChain {
		return false
	}
	asIfNew := *l
	asIfNew.ChainKept = false
	at, _ := renewAt(s.spec, &asIfNew)
	return !at.After(s.now)
}

// ruleChainEnds: what is served ends before the certificate does, and a renewal has
// shown that the CA offers nothing that lasts longer. More orders would change
// nothing: it waits for another chain, or for the certificate's own threshold, and
// a person has to know.
func ruleChainEnds(s *situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto || !l.ChainKept || !l.chainEndsFirst() {
		return Action{}, false
	}
	ends := "ends"
	if !l.End().After(s.now) {
		ends = "ended"
	}
	return Action{Kind: KindHold, Wants: KindRenew, Reason: ReasonChainEnds, NotBefore: s.due().at, Detail: fmt.Sprintf(
		"its chain %s %s, before the certificate (%s), and a renewal brought none that lasts longer: the CA offers no other chain; set preferred_chain or another issuer and rotate it, or ask the CA. It is renewed as soon as another certificate of that CA has a longer chain, at the latest %s",
		ends, l.End().UTC().Format(time.RFC3339), l.NotAfter.UTC().Format(time.DateOnly), s.due().at.Format(time.DateOnly))}, true
}

// chainEvents tell of what waits for another chain, once for each certificate.
func chainEvents(actions []Action, rev Revision, now time.Time) []Event {
	var events []Event
	for i := range actions {
		a := &actions[i]
		if a.Reason != ReasonChainEnds {
			continue
		}
		l := a.Secret.Live
		events = append(events, Event{
			Schema: EventSchema, ID: eventID("chain", a.Certificate, l.Serial), Time: now.UTC().Truncate(time.Millisecond),
			Operation: KindHold, Certificate: a.Certificate, Status: Held, Severity: SeverityPage, Reason: ReasonChainEnds, Actor: "schedule", Cause: "schedule",
			Revision: rev.Commit, OldSerial: l.Serial, Issuer: l.Issuer, Directory: l.Directory, VaultPath: a.At.String(), VaultVer: l.Version,
			Class: ClassCARejected, Detail: a.Detail, HoldUntil: optional(a.NotBefore),
		})
	}
	return events
}

// chainWarning is what a reviewer should know of a chain that ends first; "" for none.
func chainWarning(c *spec.Certificate, l *Live) string {
	if l == nil || !l.chainEndsFirst() || l.ChainKept {
		return ""
	}
	at, _ := renewAt(c, l)
	return fmt.Sprintf("its chain ends %s, before the certificate (%s): it is renewed %s", l.End().UTC().Format(time.DateOnly),
		l.NotAfter.UTC().Format(time.DateOnly), at.Format(time.DateOnly))
}
