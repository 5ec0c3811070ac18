package ledger_test

import (
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/statuspage"
)

func TestCommitSubject(t *testing.T) {
	entriesOf := func(operation ledger.Kind, status ledger.Status, certificates ...string) (entries []ledger.Entry) {
		for _, name := range certificates {
			entries = append(entries, ledger.Entry{Event: ledger.Event{Operation: operation, Status: status, Certificate: name}})
		}
		return entries
	}
	note := func(status ledger.Status, why ledger.Reason) ledger.Entry {
		return ledger.Entry{Event: ledger.Event{Operation: ledger.KindNote, Status: status, Reason: why}}
	}
	for want, entries := range map[string][]ledger.Entry{
		"issue api: success":                           entriesOf(ledger.KindIssue, ledger.Success, "api"),
		"pass: failure":                                entriesOf(ledger.KindPass, ledger.Failed, ""),
		"issue api, shop, www: success":                entriesOf(ledger.KindIssue, ledger.Success, "www", "api", "shop"),
		"issue a, b, c and 2 more: success":            entriesOf(ledger.KindIssue, ledger.Success, "e", "d", "c", "b", "a"),
		"renew www: failure; issue api: success":       append(entriesOf(ledger.KindIssue, ledger.Success, "api"), entriesOf(ledger.KindRenew, ledger.Failed, "www")...),
		"renew www: failure; renew api: held":          append(entriesOf(ledger.KindRenew, ledger.Held, "api"), entriesOf(ledger.KindRenew, ledger.Failed, "www")...),
		"issue api: success; renew shop, www: success": append(entriesOf(ledger.KindRenew, ledger.Success, "www", "shop"), entriesOf(ledger.KindIssue, ledger.Success, "api")...),
		"note www: success":                            entriesOf(ledger.KindNote, ledger.Success, "www", "www"),
		"note: this machine can write the ledger":      {note(ledger.Success, ledger.ReasonAttempt)},
		"note: the loss of commits is accepted":        {note(ledger.Success, ledger.ReasonAccepted)},
		"note: a part of the ledger cannot be read; note: the ledger was rewritten": {
			note(ledger.Failed, ledger.ReasonRewound), note(ledger.Failed, ledger.ReasonDamaged), note(ledger.Failed, ledger.ReasonDamaged)},
		"note api: success; note: this machine can write the ledger": append(entriesOf(ledger.KindNote, ledger.Success, "api"), note(ledger.Success, ledger.ReasonAttempt)),
	} {
		if got := statuspage.CommitSubject(entries); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
