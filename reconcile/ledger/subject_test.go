package ledger_test

import (
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/statuspage"
)

func TestCommitSubject(t *testing.T) {
	told := func(operation ledger.Kind, status ledger.Status, certificates ...string) (entries []ledger.Entry) {
		for _, name := range certificates {
			entries = append(entries, ledger.Entry{Event: ledger.Event{Operation: operation, Status: status, Certificate: name}})
		}
		return entries
	}
	for want, entries := range map[string][]ledger.Entry{
		"issue api: success":                           told(ledger.KindIssue, ledger.Success, "api"),
		"pass: failure":                                told(ledger.KindPass, ledger.Failed, ""),
		"issue api, shop, www: success":                told(ledger.KindIssue, ledger.Success, "www", "api", "shop"),
		"issue a, b, c and 2 more: success":            told(ledger.KindIssue, ledger.Success, "e", "d", "c", "b", "a"),
		"renew www: failure; issue api: success":       append(told(ledger.KindIssue, ledger.Success, "api"), told(ledger.KindRenew, ledger.Failed, "www")...),
		"renew www: failure; renew api: held":          append(told(ledger.KindRenew, ledger.Held, "api"), told(ledger.KindRenew, ledger.Failed, "www")...),
		"issue api: success; renew shop, www: success": append(told(ledger.KindRenew, ledger.Success, "www", "shop"), told(ledger.KindIssue, ledger.Success, "api")...),
		"note www: success":                            told(ledger.KindNote, ledger.Success, "www", "www"),
	} {
		if got := statuspage.CommitSubject(entries); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
