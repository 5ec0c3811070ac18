package view

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile/plan"
	"certroll/reconcile/review"
	"certroll/spec"
	"certroll/spec/text"
)

var update = flag.Bool("update", false, "write the goldens anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it anew):\n%s", name, got)
	}
}

var someTime = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// samplePlan returns a plan with a change of each kind.
func samplePlan() Plan {
	expires := someTime.Add(40 * 24 * time.Hour)
	later := someTime.Add(3 * time.Hour)
	action := func(name, kind, reason, detail string) Action {
		return Action{Certificate: name, Action: kind, Reason: reason, Detail: detail, Names: []string{name + ".example.com"}, Changes: []plan.Change{},
			Issuer: "letsencrypt", Warnings: []string{}, VaultPath: "secret/tls/" + name, Version: 2, Serial: "0a1b2c3d4e5f60718293", NotAfter: &expires}
	}
	issue := action("pay", "issue", "missing", "there is no secret at secret/tls/pay yet")
	issue.Version, issue.Serial, issue.NotAfter = 0, "", nil
	reissue := action("api", "reissue", "changed", `the spec changed domains from "api.example.com" to "api.example.com new.example.com"`)
	reissue.Names = []string{"api.example.com", "new.example.com"}
	retire := action("old", "retire", "removed_from_spec", `its block is gone and on_remove is "revoke": the certificate is revoked and the secret deleted`)
	hold := action("shop", "hold", "limit", "issuer.letsencrypt takes no more than 5 certificates for the same set of names per 7 days")
	hold.Waiting, hold.NotBefore = "issue", &later
	quiet := action("www", "none", "up_to_date", "it is due 2027-01-01, 30 days before it expires")
	quiet.Warnings = []string{`key.rotation is "never": renewals keep the private key`}
	due := action("due", "renew", "threshold", "it expires 2026-12-20, 25 days left")
	return Plan{
		Schema: 1, Revision: strings.Repeat("ab", 20), Time: someTime, Certificates: 6,
		Summary:  map[string]int{"issue": 1, "reissue": 1, "retire": 1, "hold": 1, "none": 1, "renew": 1},
		Actions:  []Action{reissue, due, retire, issue, hold, quiet},
		Warnings: []string{"Vault was not asked: what is live is what the ledger says at 0123456789ab of 2026-11-25T11:00:00Z"},
		Offline:  &Offline{Ledger: strings.Repeat("01", 20), Time: &someTime},
		Review: []Note{
			{Code: review.NoteBlock, Text: `dns.main changed credentials.ENDPOINT, for 4 certificates; it hands vault("secret/dns/main", "token") to whom it names`, File: "certs/dns.hcl", Line: 4, Column: 3},
			{Code: review.NoteOther, Certificate: "pay", Text: "pay.shop.example.com stands under shop.example.com, whose names are in the directory shop (certificate shop) and not in pay", File: "certs/pay/pay.hcl", Line: 2, Column: 3},
			{Code: review.NoteRemoved, Certificate: "old", Text: retire.Detail, File: "certs/old.hcl", Line: 1, Column: 1, InBase: true},
		},
		Change: &Change{
			Base: Base{Ref: "origin/main", Revision: strings.Repeat("cd", 20)}, Summary: map[string]int{"issue": 1, "reissue": 1, "retire": 1, "hold": 1, "none": 1},
			Blocks: []BlockChange{{Block: "dns.main", Change: "changed", Certificates: 4, File: "certs/dns.hcl", Line: 1,
				Settings:    []Setting{{Field: "credentials.ENDPOINT", Old: "https://api.example.com", New: "https://api.example.net"}},
				Credentials: []string{`vault("secret/dns/main", "token")`}}},
			Certificates: []CertificateChange{
				{Certificate: "api", Change: "changed", Before: "none", Action: &reissue, File: "certs/api.hcl", Line: 1, Settings: []Setting{{"domains", "api.example.com", "api.example.com new.example.com", "action"}}},
				{Certificate: "never", Change: "removed", Before: "issue", File: "certs/never.hcl", Line: 9, Settings: []Setting{}},
				{Certificate: "old", Change: "removed", Before: "none", Action: &retire, File: "certs/old.hcl", Line: 1, Settings: []Setting{}},
				{Certificate: "pay", Change: "added", Action: &issue, File: "certs/pay/pay.hcl", Line: 1, Settings: []Setting{}},
				{Certificate: "shop", Change: "added", Action: &hold, File: "certs/shop.hcl", Line: 1, Settings: []Setting{}},
				{Certificate: "www", Change: "changed", Before: "none", Action: &quiet, File: "certs/www.hcl", Line: 1, Settings: []Setting{{"vault.path", "secret/tls/www", "secret/tls/web", "next_renewal"}, {"labels.team", "", "edge", "at_once"}}},
			},
			Anyway: []string{"due"},
		},
	}
}

func TestChangeViews(t *testing.T) {
	plan := samplePlan()
	views := map[string]func(*bytes.Buffer){
		"change.txt":  func(b *bytes.Buffer) { WritePlan(b, Palette{}, plan) },
		"change.md":   func(b *bytes.Buffer) { WriteMarkdown(b, plan, MarkdownOptions{Link: "https://ci.example.com/jobs/1"}) },
		"change.cmds": func(b *bytes.Buffer) { WriteAnnotations(b, plan) },
		"change.json": func(b *bytes.Buffer) {
			if err := JSON(b, plan); err != nil {
				t.Fatal(err)
			}
		},
		"plan.md": func(b *bytes.Buffer) {
			whole := plan
			whole.Change = nil
			WriteMarkdown(b, whole, MarkdownOptions{})
		},
	}
	for name, write := range views {
		var b bytes.Buffer
		write(&b)
		golden(t, name, b.Bytes())
	}
}

func TestNothingToDo(t *testing.T) {
	plan := NewPlan("", someTime, nil, nil)
	plan.Change = NewChange(Base{Ref: "main"}, "", &review.ChangeSet{})
	for name, write := range map[string]func(*bytes.Buffer){
		"text": func(b *bytes.Buffer) { WritePlan(b, Palette{}, plan) }, "markdown": func(b *bytes.Buffer) { WriteMarkdown(b, plan, MarkdownOptions{}) },
		"annotations": func(b *bytes.Buffer) { WriteAnnotations(b, plan) },
	} {
		var b bytes.Buffer
		if write(&b); !strings.Contains(b.String(), "nothing to do") || plan.Changed() {
			t.Errorf("%s: %s", name, b.String())
		}
	}
}

// manyChanges returns a change of n certificates, each with warnings and settings.
func manyChanges(n int) Plan {
	p := samplePlan()
	one := p.Change.Certificates[0]
	long := strings.Repeat("a-rather-long-label.", 8)
	p.Change.Certificates, p.Review = nil, nil
	for i := range n {
		cc := one
		cc.Certificate = fmt.Sprintf("team-%d.certificate-of-a-service-%04d", i%100, i)
		a := *one.Action
		a.Certificate, a.Names = cc.Certificate, []string{long + "example.com", "www." + long + "example.com"}
		cc.Action, cc.File, cc.Line = &a, "certs/teams/"+long+".hcl", i+1
		cc.Settings = []Setting{{"domains", long, long + " " + long, "action"}, {"labels.team", "", long, "at_once"}}
		p.Change.Certificates = append(p.Change.Certificates, cc)
		p.Change.Summary["reissue"] = i + 1
		p.Review = append(p.Review, Note{Code: review.NoteWeaker, Certificate: cc.Certificate, Text: "its key becomes weaker: rsa-2048, from ecdsa-P-256", File: cc.File, Line: i + 1})
		p.Change.Blocks = append(p.Change.Blocks, BlockChange{Block: fmt.Sprintf("dns.b%d", i), Change: "changed", Settings: cc.Settings, Credentials: []string{long}, File: cc.File, Line: 1})
		p.Change.Anyway = append(p.Change.Anyway, cc.Certificate)
	}
	return p
}

// TestMarkdownFits: the comment fits for any change, says what it left out, and leaves out no more than necessary.
func TestMarkdownFits(t *testing.T) {
	for _, tc := range []struct{ changes, limit int }{
		{1000, 0}, {1000, 65_536}, {1000, 1_000_000}, {10_000, 0}, {100, 0}, {30, 0}, {1000, 5_000},
	} {
		t.Run(fmt.Sprintf("%d in %d", tc.changes, tc.limit), func(t *testing.T) {
			var b bytes.Buffer
			WriteMarkdown(&b, manyChanges(tc.changes), MarkdownOptions{Limit: tc.limit, Link: "https://ci.example.com/jobs/1"})
			limit := tc.limit
			if limit == 0 {
				limit = MarkdownLimit
			}
			text := b.String()
			if len(text) > limit {
				t.Fatalf("%d bytes, want at most %d", len(text), limit)
			}
			rows := strings.Count(text, "\n| `~` |")
			if m := regexp.MustCompile(`(\d+) of (\d+) rows`).FindStringSubmatch(text); rows < tc.changes && (m == nil || m[1] != fmt.Sprint(tc.changes-rows)) {
				t.Errorf("%d rows of %d, and it says %v", rows, tc.changes, m)
			}
			if strings.Count(text, "<details>") != strings.Count(text, "</details>") {
				t.Error("a fold is left open")
			}
			if len(text) < limit-1_200 && // the size of a row, a warning and a block
				!strings.Contains(text, "[All of it]") {
				t.Errorf("%d bytes of %d are used, and something is left out", len(text), limit)
			}
		})
	}
}

// hostile are texts that an attacker could choose.
var hostile = []string{
	"`| | x |\n| @admin", "@org/team", "closes #1, fixes org/repo#2", "<img src=x onerror=alert(1)>", "</details></summary>",
	"[click](https://evil.example)", "https://evil.example", "www.evil.example", "a | b \\| c \\\\| d", "``` \n```", "\\`", "x\\",
	"\r\n::error file=a::b", "::set-output name=x::y", "%0A::warning::z", "##[command]x", "a,line=1::b", "\x1b[31mred\x1b[0m", "\u202etxet", "\u200b@admin", "&#64;admin", "**bold** _x_ ~~y~~ $x$",
	"\xff\xfe", " ", "| a", "-->", "<!-- x",
}

func hostilePlan(text string) Plan {
	p := samplePlan()
	p.Review = []Note{{Code: review.NoteOther, Certificate: text, Text: text, File: text, Line: 1, Column: 1}}
	p.Warnings = []string{text}
	p.Change.Anyway = []string{text}
	p.Change.Base.Ref = text
	a := *p.Change.Certificates[0].Action
	a.Certificate, a.Detail, a.Names, a.Warnings, a.VaultPath, a.Serial = text, text, []string{text}, []string{text}, text, text
	a.Changes = []plan.Change{{Field: text, Old: text, New: text}}
	settings := []Setting{{text, text, text, "action"}, {text, text, text, text}}
	p.Actions = []Action{a}
	p.Change.Blocks = []BlockChange{{Block: text, Change: "changed", Settings: settings, Credentials: []string{text}, File: text, Line: 1}}
	p.Change.Certificates = []CertificateChange{
		{Certificate: text, Change: "changed", Action: &a, File: text, Line: 1, Settings: settings},
		{Certificate: text, Change: "removed", File: text, Line: 1}, {Certificate: text, Change: "changed", Settings: settings},
	}
	return p
}

// TestMarkdownFitsWarnings: warnings about the whole change also stay within the limit.
func TestMarkdownFitsWarnings(t *testing.T) {
	p := manyChanges(1000)
	for i := range 300 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("mount %d %s", i, strings.Repeat("ü", 600)))
	}
	var b bytes.Buffer
	WriteMarkdown(&b, p, MarkdownOptions{})
	if text := b.String(); len(text) > MarkdownLimit || !strings.Contains(text, "and 281 more") || !strings.Contains(text, "mount 18 ") {
		t.Errorf("%d bytes:\n%.2000s", len(text), strings.ReplaceAll(text, "ü", ""))
	}
}

var codeSpan = regexp.MustCompile("`[^`\n]+`")

// harmless matches the text that may be outside code spans.
var harmless = regexp.MustCompile(`^(\(?[A-Za-z0-9'-]+\)?[.,;:]*( |$))*$`)

// TestHostileMarkdown: text from the repository stays within code spans, except plain words of sentences. Without the
// code spans, the comment is the same for any such text.
func TestHostileMarkdown(t *testing.T) {
	skeleton := func(words string) string {
		var b bytes.Buffer
		WriteMarkdown(&b, hostilePlan(words), MarkdownOptions{})
		if !utf8.Valid(b.Bytes()) {
			t.Errorf("%q: no UTF-8", words)
		}
		// Placeholders for omitted and empty values are certroll's own words.
		sentence := codeSpan.ReplaceAllString(text.Prose(words, 400), "CODE")
		if !harmless.MatchString(sentence) {
			t.Errorf("%q: %q stands outside code spans", words, sentence)
		}
		got := codeSpan.ReplaceAllString(b.String(), "CODE")
		return strings.NewReplacer(": "+sentence, ": CODE", "> **Warning:** "+sentence, "> **Warning:** CODE", "left out", "CODE", "(empty)", "CODE").Replace(got)
	}
	want := skeleton("harmless")
	for _, words := range hostile {
		if got := skeleton(words); got != want {
			t.Errorf("%q breaks out:\n%s\nwant\n%s", words, got, want)
		}
		var b bytes.Buffer
		WriteMarkdown(&b, hostilePlan(words), MarkdownOptions{})
		for line := range strings.Lines(b.String()) {
			if strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "|---") && strings.Count(line, "|") != 6 {
				t.Errorf("%q makes another row: %s", words, line)
			}
		}
	}
}

// TestHostileAnnotations: one diagnostic gives one annotation command, at its own place.
func TestHostileAnnotations(t *testing.T) {
	shape := regexp.MustCompile(`^::(warning (file=[^,:]*,line=\d+,col=\d+,|file=[^,:]*,)?title=[^,:]*|warning title=certroll|notice title=certroll)::[^\r\n]*\n$`)
	for _, text := range hostile {
		var b bytes.Buffer
		WriteAnnotations(&b, hostilePlan(text))
		n := 0
		for line := range strings.Lines(b.String()) {
			if n++; !shape.MatchString(line) {
				t.Errorf("%q: %q", text, line)
			}
		}
		if n != 3 {
			t.Errorf("%q: %d commands, want 3", text, n)
		}
	}
	var b bytes.Buffer
	WriteAnnotations(&b, Plan{Review: []Note{{Code: "other_teams_domain", Certificate: "a", Text: "100% of\nx: y, z", File: "a,b:c.hcl", Line: 3, Column: 5}}})
	if want := "::warning file=a%2Cb%3Ac.hcl,line=3,col=5,title=certroll%3A another team's domain::a: 100%25 of%0Ax: y, z\n"; !strings.HasPrefix(b.String(), want) {
		t.Errorf("got %s", b.String())
	}
}

// TestHostileText: text from the repository cannot start a new line, which a CI runner could take for a command, and
// cannot reach the terminal's control characters.
func TestHostileText(t *testing.T) {
	for _, text := range hostile {
		var b bytes.Buffer
		p := hostilePlan(text)
		// Names of certificates and blocks consist of letters and digits, so they cannot be hostile.
		p.Change.Blocks[0].Block = "dns.main"
		for i := range p.Change.Certificates {
			p.Change.Certificates[i].Certificate = "api"
		}
		p.Change.Certificates[0].Action.Certificate = "api"
		WritePlan(&b, Palette{}, p)
		for line := range strings.Lines(b.String()) {
			if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "::") || strings.ContainsAny(line, "\x1b\r\u202e") {
				t.Errorf("%q: %q", text, line)
			}
		}
	}
}

// TestHostileDiagnostics: the same for the place, the source line and the text of a diagnostic.
func TestHostileDiagnostics(t *testing.T) {
	for _, text := range append([]string{"\u009b2J", "a\nb\u202e"}, hostile...) {
		at := hcl.Range{Filename: text + ".hcl", Start: hcl.Pos{Line: 1, Column: 1}, End: hcl.Pos{Line: 1, Column: 2}}
		diags := hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Invalid name", Detail: text, Subject: &at, Context: &at}}
		var b bytes.Buffer
		Diagnostics(&b, Palette{}, []spec.File{{Path: at.Filename, Bytes: []byte(text + " {")}}, diags)
		if out := b.String() + OneLine(diags); strings.ContainsAny(out, "\x1b\r\u009b\u202e") {
			t.Errorf("%q: %q", text, out)
		}
	}
}

// TestDocsRemarks: the page on pull requests lists every code.
func TestDocsRemarks(t *testing.T) {
	text, err := os.ReadFile("../../../docs/pull-requests.md")
	if err != nil {
		t.Fatal(err)
	}
	for code := range titles {
		if !strings.Contains(string(text), "`"+code+"`") {
			t.Errorf("%s is not spoken of", code)
		}
	}
}
