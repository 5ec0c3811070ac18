package view

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// long is a message like those of CAs.
var long = strings.TrimSpace(strings.Repeat("the CA answered 400 urn:ietf:params:acme:error:rejectedIdentifier; ", 5))

// TestTextFitsTerminal: long messages from upstreams are wrapped at 100 columns.
func TestTextFitsTerminal(t *testing.T) {
	hold := plan.Action{Certificate: "www", Kind: ledger.KindHold, Wants: ledger.KindIssue, Reason: "backoff", NotBefore: *in(1), Detail: long, Warnings: []string{long}}
	failing := record("www", 20, func(r *ledger.Record) {
		r.State, r.LastFailure = ledger.StateFailing, &ledger.Failure{Class: "ca_rejected", Message: long}
		r.Hold = &ledger.Hold{Until: *in(1), Reason: "failure 1 in a row (ca_rejected): " + long}
	})
	story := shown(func(w *strings.Builder) { WriteStory(w, Palette{}, failing, NewStory(failing, nil, now)) })
	for name, text := range map[string]string{
		"plan": shown(func(w *strings.Builder) { WritePlan(w, Palette{}, NewPlan("", now, []plan.Action{hold}, nil)) }),
		"explain": shown(func(w *strings.Builder) {
			WriteExplanation(w, Palette{}, NewExplanation("", now, []plan.Verdict{{Rule: "due", Saw: "it is due"}}, hold), false)
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

// TestStatusTable: a row fits the terminal and shows the cause, which is the last clause of the upstream's message.
// Equal causes appear once.
func TestStatusTable(t *testing.T) {
	refused := &ledger.Failure{Class: "dns_unauthorized", DNSAccount: "bind", Message: "writing the TXT record _acme-challenge.pay.example.com. through the DNS account bind: " +
		"dnsupdate: DNS update failed: the name server answers NOTAUTH, BADSIG; check that the account's credentials are current and may change this zone"}
	failing := func(name string, minutes, failures int) *ledger.Record {
		return record(name, 60, func(r *ledger.Record) {
			end := now.Add(time.Duration(minutes) * time.Minute)
			r.State, r.Failures, r.LastFailure, r.Live.NotAfter = ledger.StateFailing, failures, refused, end
			r.Hold = &ledger.Hold{Until: now.Add(9 * time.Minute), Class: "dns_unauthorized", Reason: "failure 1 in a row"}
			if failures > 2 {
				r.Severity = ledger.SeverityPage
			}
		})
	}
	show := func(width int, records ...*ledger.Record) string {
		byName := map[string]*ledger.Record{}
		for _, r := range records {
			byName[r.Certificate] = r
		}
		return shown(func(w *strings.Builder) { WriteStatus(w, Palette{}, NewStatus(byName, now), width) })
	}
	if got := show(80); !strings.Contains(got, "The ledger has no certificate yet") {
		t.Errorf("got\n%s", got)
	}
	fleet := []*ledger.Record{failing("pay-m1", 31, 3), failing("pay-m2", 31, 3), failing("a-long-name-of-a-shop.berlin", 60*26, 1), record("www", 60, nil)}
	same(t, show(0, fleet...), `
CERTIFICATE                   STATE               EXPIRES     CAUSE
pay-m1                        failing (3x, page)  in 31 min   dns.bind: the name server answers NOTAUTH, BADSIG; next try in 9 min
pay-m2                        failing (3x, page)  in 31 min   as pay-m1; next try in 9 min
a-long-name-of-a-shop.berlin  failing             in 26 h     as pay-m1; next try in 9 min
www                           live                2027-01-24

1 live, 3 failing (2 paging) (3 still live).
certroll status NAME shows the whole story of one.
`)
	expired, never := failing("old", -5, 1), failing("new", 0, 1)
	never.Live = nil
	if got := show(0, expired, never, fleet[2]); !strings.Contains(got, "\n0 live, 3 failing (1 still live).\n") {
		t.Errorf("got\n%s", got)
	}
	for line := range strings.SplitSeq(show(80, fleet[0], fleet[1], fleet[3]), "\n") {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
}

// TestStatusOfService: the first lines show the state of certroll run, its work and its waits. Without the ledger they
// also cover the certificates.
func TestStatusOfService(t *testing.T) {
	ended, until := now.Add(-19*time.Second), now.Add(5*time.Minute)
	s := NewStatus(nil, now)
	s.LedgerError = "fetching the ledger: remote unreachable"
	s.Service = &Service{Address: "127.0.0.1:9464", LastPass: &ended, PassError: "Vault is sealed", Faults: []string{"passes cannot do their work with vault"},
		Settings:     []string{"certroll.hcl has changed since it was read"},
		AtWork:       []ServiceWork{{Certificate: "api", Operation: "issue", Since: now.Add(-12 * time.Second), At: "waiting for DNS"}},
		Missing:      []string{"new"},
		Certificates: []ServiceCertificate{{Certificate: "api", State: "held", Class: "caa", Message: "ordering: CAA forbids it, says the CA; add a record", Cause: "caa: CAA forbids it, says the CA", Until: &until}},
	}
	if !s.Service.Ill() || s.Well() {
		t.Error("it is ill, and all is said to be well")
	}
	same(t, shown(func(w *strings.Builder) { WriteStatus(w, Palette{}, s, 0) }), `
certroll run at 127.0.0.1:9464: the last pass failed 19 s ago: Vault is sealed
  passes cannot do their work with vault
  certroll.hcl has changed since it was read
  at work: api, issue since 12 s: waiting for DNS
  not issued yet: new

The ledger cannot be read; certroll run says:
  fetching the ledger: remote unreachable

CERTIFICATE  STATE  EXPIRES  CAUSE
api          held   -        caa: CAA forbids it, says the CA; next try in 5 min
`)
	if (&Service{Settings: []string{"certroll.hcl has changed since it was read"}}).Ill() {
		t.Error("an edited file makes a service ill")
	}
	var none *Service
	if none.Ill() || (&Service{Error: "connection refused", Faults: []string{"x"}}).Ill() {
		t.Error("a service that does not answer is ill")
	}
}

// TestBriefly: warnings of the same kind take one line. A mistake is shown with its place in the file, and all other
// diagnostics with it.
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
Warning: Pause without an end: a.hcl:1, a.hcl:2, a.hcl:3 and 2 more (see certroll validate)`)
	diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid domain", Detail: "It has blanks.", Subject: at(9)})
	if got := show(); !strings.Contains(got, "on a.hcl:9:1") || strings.Count(got, "It is long.") != 5 {
		t.Errorf("got\n%s", got)
	}
}

// TestExcerpt: for a long source line, the excerpt is the part above the caret.
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
