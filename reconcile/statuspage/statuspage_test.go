package statuspage

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"certroll/reconcile/ledger"
)

// hostile lists texts that a CA, a DNS provider or anybody with push access could put
// into the ledger.
var hostile = []string{
	"[click](https://evil.example)", "[x]", "_x_", "__x__", "~~x~~", "**x**", "`x`", "``` x", "\\`x", "x\\", "a|b \\| c \\\\| d", "https://evil.example/", "www.evil.example",
	"mail@evil.example", "@org/team", "closes #1, org/repo#2, GH-3, !4, $5, %6, &7", "<b>x</b>", "<https://evil.example>", "&lt;b&gt;", "&#91;x&#93;(y)",
	":tada:", "$x$", "$`x`$", "![x](https://evil.example/x.png)", "[^1]", "[x]: https://evil.example", "# x", "- [ ] x", "| x |\n|---|\n| y |", "</details>", "<!-- x", "deadbeefdeadbeef",
	"\x1b[31mred", "\u202etxet", "\u200b@admin", "\xff\xfe", "x](https://evil.example) [y",
}

var codeSpan = regexp.MustCompile("`[^`\n]+`")

// TestHostileStatusPage checks that every text from a record or problem stays within a
// code span, except plain words: outside the spans, the page is the same for any text.
func TestHostileStatusPage(t *testing.T) {
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	page := func(s string) string {
		live := &ledger.Live{Issuer: s, Mount: s, Path: s, Version: 1, NotAfter: at}
		failure := &ledger.Failure{Class: ledger.Class(s), Message: s, At: at}
		long := &ledger.Failure{Class: ledger.Class(s), Message: strings.Repeat(s+" ", 100), At: at}
		records := map[string]*ledger.Record{
			"a": {Certificate: "a", State: ledger.StateFailing, Names: []string{s}, Live: live, LastFailure: failure, Failures: 1},
			"b": {Certificate: "b", State: ledger.StateFailing, Names: []string{s, s, s, s}, LastFailure: long, Failures: 1},
			"c": {Certificate: "c", State: ledger.State(s), Hold: &ledger.Hold{Class: ledger.Class(s), Reason: s, Until: at}},
		}
		records["d"] = &ledger.Record{Certificate: s + "/", State: ledger.StateLive} // a name that no certificate can have
		problems := &ledger.Problems{Problems: []ledger.Problem{{Operation: ledger.KindProbe, Since: at, Finding: ledger.Finding{Certificates: []string{s}, Class: ledger.Class(s), Message: s}}}}
		return string(StatusPage(records, problems))
	}
	plain := regexp.MustCompile(`^[\sA-Za-z0-9'#*|\[\]().,;:/-]*$`)
	rows := func(page string) int { return strings.Count(page, "\n|") }
	for _, s := range hostile {
		got := page(s)
		if !utf8.ValidString(got) {
			t.Errorf("%q: no UTF-8", s)
		}
		if rest := codeSpan.ReplaceAllString(got, ""); !plain.MatchString(rest) {
			t.Errorf("%q stands outside of code:\n%s", s, got)
		}
		if rows(got) != 6 {
			t.Errorf("%q makes %d rows:\n%s", s, rows(got), got)
		}
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 9 {
				t.Errorf("%q makes another number of cells: %s", s, line)
			}
		}
		// Outside the code spans, brackets occur only in the links of three records.
		rest := codeSpan.ReplaceAllString(got, "")
		for _, link := range []string{"[a](certificates/a.json)", "[b](certificates/b.json)", "[c](certificates/c.json)"} {
			rest = strings.Replace(rest, link, "", 1)
		}
		if strings.ContainsAny(rest, "[]") {
			t.Errorf("%q makes or breaks a link:\n%s", s, got)
		}
	}
}
