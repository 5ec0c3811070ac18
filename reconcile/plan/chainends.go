package plan

import (
	"fmt"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
)

// ChainOf identifies the chain that a CA serves: its directory and the key algorithm, since
// CAs sign RSA and ECDSA keys with different intermediates.
func ChainOf(l *ledger.Live) string {
	algorithm, _, _ := strings.Cut(l.KeyShape, "-")
	return l.Directory + " " + algorithm
}

// newestChains returns the certificate that each CA issued last, by ChainOf. Its chain is
// the one that the CA offers now.
func newestChains(records map[string]*ledger.Record) map[string]*ledger.Live {
	newest := map[string]*ledger.Live{}
	for _, r := range records {
		if !r.HasSecret() {
			continue
		}
		l := r.Live
		was := newest[ChainOf(l)]
		if was == nil || l.IssuedAt.After(was.IssuedAt) || l.IssuedAt.Equal(was.IssuedAt) && l.End().After(was.End()) {
			newest[ChainOf(l)] = l
		}
	}
	return newest
}

// longerChain reports whether the CA gave a later certificate a chain that lasts longer
// than that of l.
func longerChain(newest map[string]*ledger.Live, l *ledger.Live) bool {
	n := newest[ChainOf(l)]
	return n != nil && n.IssuedAt.After(l.IssuedAt) && n.End().After(l.End())
}

// dueByChain reports whether a certificate is due because its chain ends early and the CA
// now offers a longer one.
func (s *Situation) dueByChain() bool {
	l := s.live()
	if l == nil || !l.ChainKept || !s.longerChain {
		return false
	}
	asIfNew := *l
	asIfNew.ChainKept = false
	at, _ := RenewAt(s.Spec, &asIfNew)
	return !at.After(s.Now)
}

// ruleChainEnds: the chain ends before the certificate does, and a renewal has shown that
// the CA offers no longer one. Another order would bring the same chain. The certificate
// waits for another chain or for its own threshold, and an event pages a person.
func ruleChainEnds(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto || !l.ChainKept || !l.ChainEndsFirst() {
		return Action{}, false
	}
	ends := "ends"
	if !l.End().After(s.Now) {
		ends = "ended"
	}
	return Action{Kind: ledger.KindHold, Wants: ledger.KindRenew, Reason: ledger.ReasonChainEnds, NotBefore: s.due().at, Detail: fmt.Sprintf(
		"its chain %s %s, before the certificate (%s), and a renewal brought none that lasts longer: the CA offers no other chain; set preferred_chain or another issuer and rotate it, or ask the CA. It is renewed as soon as another certificate of that CA has a longer chain, at the latest %s",
		ends, l.End().UTC().Format(time.RFC3339), l.NotAfter.UTC().Format(time.DateOnly), s.due().at.Format(time.DateOnly))}, true
}

// chainEvents returns one event for each certificate that waits for another chain. The id
// derives from name and serial, so the ledger keeps each event once.
func chainEvents(actions []Action, rev ledger.Revision, now time.Time) []ledger.Event {
	var events []ledger.Event
	for i := range actions {
		a := &actions[i]
		if a.Reason != ledger.ReasonChainEnds {
			continue
		}
		l := a.Secret.Live
		events = append(events, ledger.Event{
			Schema: ledger.EventSchema, ID: ledger.EventID("chain", a.Certificate, l.Serial), Time: now.UTC().Truncate(time.Millisecond),
			Operation: ledger.KindHold, Certificate: a.Certificate, Status: ledger.Held, Severity: ledger.SeverityPage, Reason: ledger.ReasonChainEnds, Actor: "schedule", Cause: "schedule",
			Revision: rev.Commit, OldSerial: l.Serial, Issuer: l.Issuer, Directory: l.Directory, VaultPath: a.At.String(), VaultVer: l.Version,
			Class: ledger.ClassCARejected, Detail: a.Detail, HoldUntil: times.Optional(a.NotBefore),
		})
	}
	return events
}

// chainWarning warns a reviewer of a chain that ends before the certificate; "" for none.
func chainWarning(c *spec.Certificate, l *ledger.Live) string {
	if l == nil || !l.ChainEndsFirst() || l.ChainKept {
		return ""
	}
	at, _ := RenewAt(c, l)
	return fmt.Sprintf("its chain ends %s, before the certificate (%s): it is renewed %s", l.End().UTC().Format(time.DateOnly),
		l.NotAfter.UTC().Format(time.DateOnly), at.Format(time.DateOnly))
}
