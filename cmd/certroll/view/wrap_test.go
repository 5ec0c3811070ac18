package view

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile"
)

// long is a message as CAs write them.
var long = strings.TrimSpace(strings.Repeat("the CA answered 400 urn:ietf:params:acme:error:rejectedIdentifier; ", 5))

// TestTextFitsTerminal: what upstreams say is long, and is read at 100 columns.
func TestTextFitsTerminal(t *testing.T) {
	hold := reconcile.Action{Certificate: "www", Kind: reconcile.KindHold, Wants: reconcile.KindIssue, Reason: "backoff", NotBefore: *in(1), Detail: long, Warnings: []string{long}}
	failing := record("www", 20, func(r *reconcile.Record) {
		r.State, r.LastFailure = reconcile.StateFailing, &reconcile.Failure{Class: "ca_rejected", Message: long}
		r.Hold = &reconcile.Hold{Until: *in(1), Reason: "failure 1 in a row (ca_rejected): " + long}
	})
	story := shown(func(w *strings.Builder) { WriteStory(w, Palette{}, failing, NewStory(failing, nil, now)) })
	for name, text := range map[string]string{
		"plan": shown(func(w *strings.Builder) { WritePlan(w, Palette{}, NewPlan("", now, []reconcile.Action{hold}, nil)) }),
		"explain": shown(func(w *strings.Builder) {
			WriteExplanation(w, Palette{}, NewExplanation("", now, []reconcile.Verdict{{Rule: "due", Saw: long}}, hold))
		}),
		"status": story,
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), long) {
			t.Errorf("%s does not tell all of it:\n%s", name, text)
		}
		for line := range strings.SplitSeq(text, "\n") {
			if n := utf8.RuneCountInString(line); n > 110 {
				t.Errorf("%s has a line of %d columns: %s", name, n, line)
			}
		}
	}
	if n := strings.Count(strings.Join(strings.Fields(story), " "), long); n != 1 {
		t.Errorf("status tells the message %d times:\n%s", n, story)
	}
}

// TestStatusTable: a row holds the beginning of a message and says where the
// rest is; without certificates there is no table.
func TestStatusTable(t *testing.T) {
	show := func(records ...*reconcile.Record) string {
		byName := map[string]*reconcile.Record{}
		for _, r := range records {
			byName[r.Certificate] = r
		}
		return shown(func(w *strings.Builder) { WriteStatus(w, Palette{}, NewStatus(byName, now)) })
	}
	same(t, show(), "The ledger has no certificate yet: nothing was applied.")
	if got := show(record("www", 60, nil)); strings.Contains(got, "whole story") {
		t.Errorf("nothing was cut:\n%s", got)
	}
	got := show(record("www", 60, func(r *reconcile.Record) {
		r.State, r.LastFailure = reconcile.StateFailing, &reconcile.Failure{Message: long}
	}))
	if strings.Contains(got, long) || !strings.Contains(got, long[:100]) || !strings.Contains(got, "certroll status NAME tells the whole story") {
		t.Errorf("got\n%s", got)
	}
}

// TestBriefly: warnings that are there at every run take a line a kind; a
// mistake is shown with its place in the file, and all that stands beside it.
func TestBriefly(t *testing.T) {
	at := func(line int) *hcl.Range {
		return &hcl.Range{Filename: "a.hcl", Start: hcl.Pos{Line: line, Column: 1}, End: hcl.Pos{Line: line, Column: 2}}
	}
	var diags hcl.Diagnostics
	for line := 1; line <= 5; line++ {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Pause without an end", Detail: "It is long.", Subject: at(line)})
	}
	diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "References not checked", Detail: "There is no certroll.hcl."})
	show := func() string { return shown(func(w *strings.Builder) { Briefly(w, Palette{}, nil, diags) }) }
	same(t, show(), `
Warning: References not checked: There is no certroll.hcl.
Warning: Pause without an end: a.hcl:1, a.hcl:2, a.hcl:3 and 2 more (certroll validate tells more)`)
	diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid domain", Detail: "It has blanks.", Subject: at(9)})
	if got := show(); !strings.Contains(got, "on a.hcl:9:1") || strings.Count(got, "It is long.") != 5 {
		t.Errorf("got\n%s", got)
	}
}

// TestExcerpt: of a long line the part is shown that the caret is under.
func TestExcerpt(t *testing.T) {
	var line strings.Builder
	line.WriteString("\uFEFFdomains = [")
	for range 60 {
		line.WriteString(`"a.example.com", `)
	}
	line.WriteString(`"bad_name.example.com", "b.example.com"]`)
	for _, word := range []string{"domains", `"bad_name.example.com"`, `"b.example.com"]`} {
		column := strings.Index(line.String(), word) + 1 - len("\uFEFF")
		d := &hcl.Diagnostic{Subject: &hcl.Range{Filename: "a.hcl", Start: hcl.Pos{Line: 1, Column: column}, End: hcl.Pos{Line: 1, Column: column + len(word)}}}
		got := shown(func(w *strings.Builder) {
			snippet(printer{w}, Palette{}, map[string][]byte{"a.hcl": []byte(line.String())}, d)
		})
		rows := strings.Split(strings.TrimSpace(got), "\n")
		at := strings.Index(rows[1], word)
		if at < 0 || utf8.RuneCountInString(rows[1]) > 230 || strings.Index(rows[2], "^") != at || strings.Count(rows[2], "^") != len(word) {
			t.Errorf("the caret is not under %s:\n%s", word, got)
		}
	}
}
