package plan

import (
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// holdNotRead holds the retirement of certificates whose file is there and is not
// read: it became a link, a submodule, HCL's JSON, or a file that Git does not
// have. Whoever moved a file wants no certificate revoked. The hold ends with what
// lies there: once the file is read, or nothing is left of it. A person who accepted
// the retirement of many has said of these too that it is meant.
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
		a.hold(ledger.ReasonNotRead, now.Add(throttle.LeastWait), fmt.Sprintf("%s %s; it is neither retired nor renewed until that is mended, or nothing is left there", stood, u.Why))
		a.HeldBy = ledger.Subject("file " + u.Path)
	}
}

// NotReadEvents tell of them, one event for each file and day: a person is to be
// woken, since nobody renews what is held so.
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

// NotRead are the actions that are held since the file of a live certificate is
// there and is not read.
func NotRead(actions []Action) []Action {
	var list []Action
	for _, a := range actions {
		if a.Kind == ledger.KindHold && a.Reason == ledger.ReasonNotRead {
			list = append(list, a)
		}
	}
	return list
}
