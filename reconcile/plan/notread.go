package plan

import (
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// holdNotRead holds the retirement of certificates whose file exists but cannot be read as
// configuration: it became a link, a submodule, HCL JSON, or a file that Git does not have.
// Moving a file does not mean that its certificates should be revoked. The hold ends once
// certroll can read the file or nothing is left at its path. A person's consent to retire
// many certificates covers these too.
func holdNotRead(actions []Action, desired *spec.Spec, consent consentTo, now time.Time) {
	for i := range actions {
		a := &actions[i]
		if a.Kind != ledger.KindRetire || a.Heir || !a.Record.HasSecret() {
			continue
		}
		u := desired.UnreadAt(a.Record.File)
		if u == nil {
			continue
		}
		if what, cause := massOf(a); consent.covers(a.Certificate, what, cause) {
			continue
		}
		stood := "its block is gone, and " + u.Path + ", where it stood,"
		if u.Path != a.Record.File {
			stood = "its block is gone with " + a.Record.File + ", and " + u.Path
		}
		a.hold(ledger.ReasonNotRead, now.Add(throttle.LeastWait), fmt.Sprintf("%s %s; certroll neither retires nor renews the certificate until it can read the file again, or the file is gone", stood, u.Why))
		a.HeldBy = ledger.Subject("file " + u.Path)
	}
}

// NotReadEvents returns one event per unreadable file and day. It pages a person, because
// certroll does not renew the certificates of the file.
func NotReadEvents(actions []Action, now time.Time) []ledger.Event {
	names := map[ledger.Subject][]string{}
	details := map[ledger.Subject]string{}
	for _, a := range NotRead(actions) {
		names[a.HeldBy], details[a.HeldBy] = append(names[a.HeldBy], a.Certificate), a.Detail
	}
	var events []ledger.Event
	for _, a := range NotRead(actions) {
		if a.Certificate != names[a.HeldBy][0] {
			continue
		}
		e := ledger.HeldEvent(now, a.HeldBy, ledger.ReasonNotRead, details[a.HeldBy], ledger.ClassConfig, "")
		e.Severity = ledger.SeverityPage
		e.Concerns(slices.Sorted(slices.Values(names[a.HeldBy])))
		events = append(events, e)
	}
	return events
}

// NotRead returns the actions that are held because the file of a live certificate exists
// but is not read.
func NotRead(actions []Action) []Action {
	var list []Action
	for _, a := range actions {
		if a.Kind == ledger.KindHold && a.Reason == ledger.ReasonNotRead {
			list = append(list, a)
		}
	}
	return list
}
