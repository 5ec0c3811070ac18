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
	for want, entries := range map[string][]ledger.Entry{
		"issue api: success":                           entriesOf(ledger.KindIssue, ledger.Success, "api"),
		"pass: failure":                                entriesOf(ledger.KindPass, ledger.Failed, ""),
		"issue api, shop, www: success":                entriesOf(ledger.KindIssue, ledger.Success, "www", "api", "shop"),
		"issue a, b, c and 2 more: success":            entriesOf(ledger.KindIssue, ledger.Success, "e", "d", "c", "b", "a"),
		"renew www: failure; issue api: success":       append(entriesOf(ledger.KindIssue, ledger.Success, "api"), entriesOf(ledger.KindRenew, ledger.Failed, "www")...),
		"renew www: failure; renew api: held":          append(entriesOf(ledger.KindRenew, ledger.Held, "api"), entriesOf(ledger.KindRenew, ledger.Failed, "www")...),
		"issue api: success; renew shop, www: success": append(entriesOf(ledger.KindRenew, ledger.Success, "www", "shop"), entriesOf(ledger.KindIssue, ledger.Success, "api")...),
		"note www: success":                            entriesOf(ledger.KindNote, ledger.Success, "www", "www"),
	} {
		if got := statuspage.CommitSubject(entries); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
