package view

import (
	"strings"
	"testing"

	"certroll/reconcile/ledger"
)

// TestMessageOfSeveralNames checks that each failed name has its own line, and that the
// advice they share comes once. Other messages stay as they are.
func TestMessageOfSeveralNames(t *testing.T) {
	const advice = "; add a CAA record that names the CA"
	for said, want := range map[string]string{
		"finishing the order https://ca/o/1: 3 names failed: validating a: CAA; forbids" + advice + " | validating b: CAA; forbids" + advice + " | validating c: no CAA" + advice + " | and 2 more": `
finishing the order https://ca/o/1: 3 names failed:
- validating a: CAA; forbids
- validating b: CAA; forbids
- validating c: no CAA
- and 2 more
for each: add a CAA record that names the CA`,
		"finishing: 2 names failed: validating a: no answer | validating b: CAA forbids it" + advice: `
finishing: 2 names failed:
- validating a: no answer
- validating b: CAA forbids it; add a CAA record that names the CA`,
		"publishing the answer for a through one of 2 DNS accounts: writing through x: 403 | writing through y: timeout": `
publishing the answer for a through one of 2 DNS accounts:
- writing through x: 403
- writing through y: timeout`,
		"finishing: 9 names failed: no zone; name another account": "\nfinishing: 9 names failed: no zone; name another account",
		"the CA said a | b; look it up":                            "\nthe CA said a | b; look it up",
		"2 names failed:  | ":                                      "\n2 names failed:\n-\n-",
	} {
		if got := "\n" + strings.ReplaceAll(message(said, 90), "- \n", "-\n"); strings.TrimRight(got, " ") != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

// TestStoryPrintsAMessageOnce checks that the list of failures refers to a message that is
// printed above.
func TestStoryPrintsAMessageOnce(t *testing.T) {
	joined := "finishing: 2 names failed: validating a: CAA forbids it; mend it | validating b: CAA forbids it; mend it"
	failing := record("www", 20, func(r *ledger.Record) {
		r.State, r.Failures, r.LastFailure = ledger.StateFailing, 2, &ledger.Failure{At: *in(-1), Class: ledger.ClassCAA, Message: joined}
	})
	other := ledger.Event{Time: *in(-3), Operation: ledger.KindRenew, Status: ledger.Failed, Class: ledger.ClassCAA, Message: "another message"}
	again, newest := other, other
	again.Time = *in(-2)
	newest.Time, newest.Message = *in(-1), joined
	got := shown(func(w *strings.Builder) {
		WriteStory(w, Palette{}, failing, NewStory(failing, []ledger.Event{other, again, newest}, now))
	})
	for part, want := range map[string]int{"validating a": 1, "mend it": 1, "another message": 1, "    the message above\n": 1, "    as 2026-11-23T12:00:00Z\n": 1} {
		if n := strings.Count(got, part); n != want {
			t.Errorf("%q is printed %d times, want %d:\n%s", part, n, want, got)
		}
	}
}
