package reconcile

import "testing"

func TestCommitSubject(t *testing.T) {
	told := func(operation Kind, status Status, certificates ...string) (entries []entry) {
		for _, name := range certificates {
			entries = append(entries, entry{Event: Event{Operation: operation, Status: status, Certificate: name}})
		}
		return entries
	}
	for want, entries := range map[string][]entry{
		"issue api: success":                           told(KindIssue, Success, "api"),
		"pass: failure":                                told(KindPass, Failed, ""),
		"issue api, shop, www: success":                told(KindIssue, Success, "www", "api", "shop"),
		"issue a, b, c and 2 more: success":            told(KindIssue, Success, "e", "d", "c", "b", "a"),
		"renew www: failure; issue api: success":       append(told(KindIssue, Success, "api"), told(KindRenew, Failed, "www")...),
		"renew www: failure; renew api: held":          append(told(KindRenew, Held, "api"), told(KindRenew, Failed, "www")...),
		"issue api: success; renew shop, www: success": append(told(KindRenew, Success, "www", "shop"), told(KindIssue, Success, "api")...),
		"note www: success":                            told(KindNote, Success, "www", "www"),
	} {
		if got := commitSubject(entries); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
