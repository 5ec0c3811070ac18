package edit

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"certroll/spec"
	"certroll/spec/spectest"
)

// strict is the trust setting of the tests.
var strict = spectest.Strict()

const world = spectest.World

// block returns a valid certificate block that contains inner.
func block(inner string) string {
	return "# above\ncertificate \"api\" {\n  domains = [\"api.example.com\"] # the API\n  issuer  = issuer.le\n  dns     = dns.main\n" + inner + "}\n# below\n"
}

func rotating(reason string) func(*Editor) error {
	return func(e *Editor) error { return e.Rotate("api", Rotating{Reason: reason}) }
}

func revoking(reason, code string) func(*Editor) error {
	return func(e *Editor) error { return e.Rotate("api", Rotating{Reason: reason, Revoke: true, Code: code}) }
}

func disabling(reason, until string) func(*Editor) error {
	return func(e *Editor) error { return e.Disable("api", reason, until) }
}

func enabling(e *Editor) error { return e.Enable("api") }

func TestEdit(t *testing.T) {
	tests := map[string]struct {
		edit         func(*Editor) error
		before, want string
	}{
		"rotate: new": {rotating("leaked"), block(""), block("  rotate  = \"leaked\"\n")},
		"rotate: another text": {rotating("leaked"),
			block("  rotate  = \"2026-01-01 old\" # by Ann\n"), block("  rotate  = \"leaked\" # by Ann\n")},
		"rotate: escapes": {rotating(`a "b" ${c} %{d} \e`), block(""), block("  rotate  = \"a \\\"b\\\" $${c} %%{d} \\\\e\"\n")},
		"rotate: heredoc replaced, the one beside it kept": {rotating("leaked"),
			block("  rotate  = trimspace(<<-EOT\n    old } reason\n  EOT\n  ) # why\n  labels = {\n    a = trimspace(<<EOT\nrotate = \"no\"\nEOT\n    )\n  }\n"),
			block("  rotate  = \"leaked\" # why\n  labels = {\n    a = trimspace(<<EOT\nrotate = \"no\"\nEOT\n    )\n  }\n")},
		"rotate: plain heredoc": {rotating("leaked"), block("  rotate = chomp(\"x\")\n  labels = { t = chomp(<<EOT\nx\nEOT\n  ) }\n"),
			block("  rotate = \"leaked\"\n  labels = { t = chomp(<<EOT\nx\nEOT\n  ) }\n")},
		"rotate: parentheses":                {rotating("leaked"), block("  rotate  = (\n  \"a\"\n)\n"), block("  rotate  = \"leaked\"\n")},
		"rotate: comment in the value's way": {rotating("leaked"), block("  rotate  = /* x */ \"a\" /* y */\n"), block("  rotate  = /* x */ \"leaked\" /* y */\n")},
		"rotate: null":                       {rotating("leaked"), block("  rotate  = null\n"), block("  rotate  = \"leaked\"\n")},
		"rotate: block to setting": {rotating("leaked"),
			block("\n  rotate {\n    reason = \"old\"\n    revoke = true\n  } # in a hurry\n\n  on_remove = \"keep\"\n"),
			block("\n  rotate = \"leaked\" # in a hurry\n\n  on_remove = \"keep\"\n")},
		"rotate: setting to block": {revoking("leaked", "keyCompromise"), block("  rotate  = \"old\" # why\n"),
			block("  rotate {\n    reason = \"leaked\"\n    revoke = true\n    code   = \"keyCompromise\"\n  } # why\n")},
		"rotate: block to block": {revoking("leaked", ""), block("  rotate { reason = \"old\" }\n"), block("  rotate {\n    reason = \"leaked\"\n    revoke = true\n  }\n")},
		"rotate: new block":      {revoking("leaked", ""), block(""), block("  rotate {\n    reason = \"leaked\"\n    revoke = true\n  }\n")},
		"rotate: after a comment": {rotating("leaked"), block("\n  # rotate = \"x\"\n"),
			block("\n  # rotate = \"x\"\n  rotate = \"leaked\"\n")},
		"rotate: a comment before the brace": {rotating("leaked"), block("/* end */ "), block("/* end */ \n  rotate = \"leaked\"\n")},
		"rotate: layout of another house": {rotating("leaked"),
			"certificate \"api\"  {\n      domains=[\"api.example.com\"]\n      issuer=issuer.le\n  dns   =   dns.main\n   }\n",
			"certificate \"api\"  {\n      domains=[\"api.example.com\"]\n      issuer=issuer.le\n  dns   =   dns.main\n      rotate = \"leaked\"\n   }\n"},
		"rotate: tabs": {revoking("leaked", ""),
			"certificate \"api\" {\n\tdomains = [\"api.example.com\"]\n\tissuer = issuer.le\n\tdns = dns.main\n}\n",
			"certificate \"api\" {\n\tdomains = [\"api.example.com\"]\n\tissuer = issuer.le\n\tdns = dns.main\n\trotate {\n\t\treason = \"leaked\"\n\t\trevoke = true\n\t}\n}\n"},
		"rotate: no new line at the end": {rotating("leaked"), strings.TrimSuffix(block(""), "\n# below\n"), strings.TrimSuffix(block("  rotate  = \"leaked\"\n"), "\n# below\n")},
		"rotate: byte order mark":        {rotating("leaked"), "\ufeff" + block(""), "\ufeff" + block("  rotate = \"leaked\"\n")},
		"rotate: a short name above keeps its column": {rotating("leaked"),
			"certificate \"api\" {\n  domains = [\"api.example.com\"]\n  issuer  = issuer.le\n\n  # the account\n  dns = dns.main\n}\n",
			"certificate \"api\" {\n  domains = [\"api.example.com\"]\n  issuer  = issuer.le\n\n  # the account\n  dns = dns.main\n\n  rotate = \"leaked\"\n}\n"},

		"disable: new": {disabling("moves", "2026-12-31"), block(""), block("  renewal {\n    auto   = false\n    reason = \"moves\"\n    until  = \"2026-12-31\"\n  }\n")},
		"disable: no end": {disabling("moves", ""), block("  on_remove = \"keep\"\n"),
			block("  on_remove = \"keep\"\n  renewal {\n    auto   = false\n    reason = \"moves\"\n  }\n")},
		"disable: merged": {disabling("moves", "2026-12-31"), block("  renewal {\n    threshold_days = 14 # two weeks\n    # patience\n    fallback_after = \"2d\"\n  }\n"),
			block("  renewal {\n    threshold_days = 14 # two weeks\n    # patience\n    fallback_after = \"2d\"\n    auto           = false\n    reason         = \"moves\"\n    until          = \"2026-12-31\"\n  }\n")},
		"disable: one line": {disabling("moves", ""), block("  renewal { auto = true } # yes\n"),
			block("  renewal {\n    auto   = false\n    reason = \"moves\"\n  } # yes\n")},
		"disable: one line of another": {disabling("moves", ""), block("  renewal { threshold_days = 7 }\n"),
			block("  renewal {\n    threshold_days = 7\n    auto           = false\n    reason         = \"moves\"\n  }\n")},
		"disable: empty block": {disabling("moves", ""), block("  renewal {}\n"), block("  renewal {\n    auto   = false\n    reason = \"moves\"\n  }\n")},
		"disable: another pause": {disabling("moves", ""), block("  renewal {\n    auto   = false # for Bob\n    until  = \"2026-12-01\" # his birthday\n    reason = \"old\"\n  }\n"),
			block("  renewal {\n    auto   = false # for Bob\n    reason = \"moves\"\n  }\n")},
		"disable: auto alone": {disabling("moves", "2026-12-31T18:00:00Z"), block("  renewal {\n    auto = false\n  }\n"),
			block("  renewal {\n    auto   = false\n    reason = \"moves\"\n    until  = \"2026-12-31T18:00:00Z\"\n  }\n")},

		"enable: the block goes":  {enabling, block("\n  renewal {\n    auto   = false\n    reason = \"moves\"\n  }\n"), block("")},
		"enable: from the middle": {enabling, block("\n  renewal { auto = false }\n\n  on_remove = \"keep\"\n"), block("\n  on_remove = \"keep\"\n")},
		"enable: the rest stays": {enabling, block("  renewal {\n    auto   = false # for now\n    # two weeks\n    threshold_days = 14\n    reason = \"moves\"\n    until  = \"2026-12-31\"\n  }\n"),
			block("  renewal {\n    # two weeks\n    threshold_days = 14\n  }\n")},
		"enable: a comment stays":           {enabling, block("  renewal {\n    # ask Ann\n    auto = false /* a\n    b */ # c\n  }\n"), block("  renewal {\n    # ask Ann\n  }\n")},
		"enable: a comment before it stays": {enabling, block("  renewal {\n    /* ask Ann */ auto = false\n  }\n"), block("  renewal {\n    /* ask Ann */ \n  }\n")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for ending, change := range map[string]func(string) string{
				"unix": func(s string) string { return s }, "dos": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
			} {
				before, want := change(tc.before), change(tc.want)
				// Heredocs and comments of several lines keep their line endings.
				checkEdit(t, ending, tc.edit, before, want)
			}
		})
	}
}

func checkEdit(t *testing.T, what string, edit func(*Editor) error, before, want string) {
	t.Helper()
	e, diags := New(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(before)}, {Path: "b.hcl", Bytes: []byte(world)}}, strict)
	if e == nil {
		t.Fatalf("%s: %s", what, spectest.Text(diags))
	}
	if err := edit(e); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	changed := e.Changed()
	if len(changed) != 1 || changed[0].Path != "a.hcl" {
		t.Fatalf("%s: it changed %v", what, changed)
	}
	if diff := cmp.Diff(want, string(changed[0].Bytes)); diff != "" {
		t.Errorf("%s: (-want +got):\n%s\n%s", what, diff, changed[0].Bytes)
	}
}

// TestEditOneLine: an edit turns a one-line block into one of several lines.
func TestEditOneLine(t *testing.T) {
	const rest = "defaults {\n  issuer = issuer.le\n  dns    = dns.main\n}\n"
	checkEdit(t, "rotate", rotating("leaked"), rest+`certificate "api" { domains = ["api.example.com"] } # one`+"\n",
		rest+"certificate \"api\" {\n  domains = [\"api.example.com\"]\n  rotate  = \"leaked\"\n} # one\n")
	checkEdit(t, "a list over lines", rotating("leaked"), rest+"certificate \"api\" { domains = [\n  \"api.example.com\"\n] }\n",
		rest+"certificate \"api\" {\n  domains = [\n    \"api.example.com\"\n  ]\n  rotate = \"leaked\"\n}\n")
	checkEdit(t, "disable", disabling("moves", ""), rest+"certificate \"api\" { /* a */ domains = [\"api.example.com\"] /* b */ }\n",
		rest+"certificate \"api\" {\n  /* a */ domains = [\"api.example.com\"] /* b */\n  renewal {\n    auto   = false\n    reason = \"moves\"\n  }\n}\n")
}

// TestEnableUnderDefaults: if a defaults block disables renewal, removing the setting is not enough to enable it.
func TestEnableUnderDefaults(t *testing.T) {
	const rest = "defaults {\n  renewal {\n    auto   = false\n    reason = \"freeze\"\n  }\n}\n"
	checkEdit(t, "no block", enabling, rest+block(""), rest+block("  renewal {\n    auto = true\n  }\n"))
	checkEdit(t, "its own pause", enabling, rest+block("  renewal {\n    auto   = false\n    reason = \"x\"\n    until  = \"2026-12-31\"\n  }\n"),
		rest+block("  renewal {\n    auto = true\n  }\n"))
	checkEdit(t, "another setting", enabling, rest+block("  renewal {\n    threshold_days = 5\n  }\n"),
		rest+block("  renewal {\n    threshold_days = 5\n    auto           = true\n  }\n"))
}

// TestEditSeveral: edits accumulate, and only edited files count as changed.
func TestEditSeveral(t *testing.T) {
	other := strings.ReplaceAll(block(""), "api", "www")
	e, diags := New(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(block("") + other)}, {Path: "b.hcl", Bytes: []byte(world)}}, strict)
	if e == nil {
		t.Fatal(spectest.Text(diags))
	}
	for _, name := range []string{"www", "api"} {
		if err := e.Rotate(name, Rotating{Reason: "leaked"}); err != nil {
			t.Fatal(err)
		}
	}
	want := block("  rotate  = \"leaked\"\n")
	if diff := cmp.Diff(want+strings.ReplaceAll(want, "api", "www"), string(e.Changed()[0].Bytes)); diff != "" || len(e.Changed()) != 1 {
		t.Error(diff)
	}
	if c := e.Spec().Certificate("www"); c.Rotate != "leaked" || c.Range.Start.Line != 10 {
		t.Errorf("the spec has %+v", c)
	}
}

func TestEditRefusals(t *testing.T) {
	const repeated = "certificate \"shop\" {\n  for_each = toset([\"berlin\", \"a.b\"])\n  domains  = [\"${each.key}.example.com\"]\n  issuer   = issuer.le\n  dns      = dns.main\n}\n"
	tests := map[string]struct {
		edit func(*Editor) error
		says []string
	}{
		"unknown": {func(e *Editor) error { return e.Enable("apu") }, []string{`no certificate "apu"`, `Did you mean "api"?`}},
		"a block with for_each": {func(e *Editor) error { return e.Disable("shop", "x", "") },
			[]string{`"shop" is a block with for_each, a.hcl:9, and not one certificate`, `name one of its certificates, as "shop.a.b"`}},
		"an unknown key": {func(e *Editor) error { return e.Enable("shop.berlim") }, []string{`no certificate "shop.berlim"`, `Did you mean "shop.berlin"?`}},
		"no reason":      {rotating(" "), []string{"the reason is one line"}},
		"lines":          {rotating("a\nb"), []string{"the reason is one line"}},
		"too long":       {disabling(strings.Repeat("x", 1001), ""), []string{"at most 1000 bytes"}},
		"code":           {revoking("x", "keyCompromised"), []string{`"keyCompromised" is no reason to revoke for`, `Did you mean "keyCompromise"?`}},
		"date":           {disabling("x", "tomorrow"), []string{`until = "tomorrow": write a date`}},
		"enabled":        {enabling, []string{`the renewal of "api" is on already`}},
		"rotated":        {rotating("seen"), []string{`"api" says so already`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e, diags := New(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(block("  rotate  = \"seen\"\n") + repeated)}, {Path: "b.hcl", Bytes: []byte(world)}}, strict)
			if e == nil {
				t.Fatal(spectest.Text(diags))
			}
			err := tc.edit(e)
			if err == nil {
				t.Fatal("no error")
			}
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("it says %q, want in it: %s", err, text)
				}
			}
			if len(e.Changed()) != 0 {
				t.Error("something changed")
			}
		})
	}
}

// TestEditBadFiles: files that do not decode are not edited.
func TestEditBadFiles(t *testing.T) {
	if e, diags := New(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte("certificate \"a\" {}")}}, strict); e != nil || !diags.HasErrors() {
		t.Error("there is an editor")
	}
}

// edits are all edits, by name.
var edits = map[string]func(*Editor, string) error{
	"rotate":  func(e *Editor, name string) error { return e.Rotate(name, Rotating{Reason: "fuzz ${a} \"b\""}) },
	"revoke":  func(e *Editor, name string) error { return e.Rotate(name, Rotating{Reason: "fuzz", Revoke: true}) },
	"disable": func(e *Editor, name string) error { return e.Disable(name, "fuzz", "2031-01-01") },
	"endless": func(e *Editor, name string) error { return e.Disable(name, "fuzz", "") },
	"enable":  func(e *Editor, name string) error { return e.Enable(name) },
}

// tryEdits makes each edit of each certificate if the source decodes. The editor compares each result with the intended
// one; here it must never find a difference.
func tryEdits(t *testing.T, src []byte) (decoded bool) {
	t.Helper()
	files := []spec.File{{Path: "a.hcl", Bytes: src}, {Path: "b.hcl", Bytes: []byte(world)}}
	e, _ := New(t.Context(), files, strict)
	if e == nil || len(e.Spec().Certificates) > 5 || len(src) > spec.MaxFileSize-1000 {
		return false
	}
	for _, c := range e.Spec().Certificates {
		for what, edit := range edits {
			fresh := *e
			fresh.changed = map[string]bool{}
			var unmet *unmetError
			if err := edit(&fresh, c.Name); errors.As(err, &unmet) {
				t.Errorf("%s %q: %v\n%q", what, c.Name, err, src)
			}
			if len(fresh.Changed()) > 0 && !bytes.HasPrefix(fresh.Changed()[0].Bytes, src[:c.Range.Start.Byte]) {
				t.Errorf("%s %q changed what stands before it\n%q", what, c.Name, src)
			}
		}
	}
	return true
}

// TestEditCombinations combines every form of each setting with every form of the others.
func TestEditCombinations(t *testing.T) {
	rotates := []string{"", "rotate = \"a\"", "  rotate=trimspace(<<EOT\na\nEOT\n)", "\trotate { reason = \"a\" } // x", "rotate {\n\n  # why\n reason = trimspace(<<-A\n a\n A\n)\n revoke = 1 > 0\n\n}", "rotate = null /* x */"}
	renewals := []string{"", "renewal {}", "renewal { /* x */ }", "renewal { auto = false } # y", "renewal {\n\n auto = !true\n\n # c\n }", "  /* b */ renewal {\n    until  = \"2027-01-01\"\n  reason=\"x\" // y\n\n  auto   = false /* z\n */\n\n  threshold = \"20%\"\n/* d */ }", "renewal { fallback_after = \"3d\" }"}
	ends := []string{"", "\n", "# end\n", "/* end */ ", "  on_remove = \"keep\"\n\n"}
	for _, rotate := range rotates {
		for _, renewal := range renewals {
			for _, end := range ends {
				for _, order := range []string{rotate + "\n" + renewal + "\n", "\n" + renewal + "\n\n" + rotate + "\n"} {
					src := block(order + end)
					if !tryEdits(t, []byte(src)) || !tryEdits(t, []byte(strings.ReplaceAll(src, "\n", "\r\n"))) {
						t.Fatalf("it does not decode: %s", src)
					}
				}
			}
		}
	}
}

// FuzzEdit: every file that decodes can be edited, and the rest of the file does not change.
func FuzzEdit(f *testing.F) {
	spectest.Seeds(f)
	for _, inner := range []string{"", "  rotate = trimspace(<<EOT\nx\nEOT\n)\n", "renewal {\r\n auto = false\r\n}\r\n", "rotate { reason = \"a\" } // x\n", "/* a */ renewal { auto = false } /* b */ # c\n/* */"} {
		f.Add([]byte(inner))
	}
	f.Add([]byte("defaults {\n renewal { auto = false }\n issuer = issuer.le\n dns = dns.main\n}\ncertificate \"a\" { domains = [\"a.example.com\"] }"))
	f.Fuzz(func(t *testing.T, src []byte) {
		defer spectest.Soon(src)()
		tryEdits(t, src)
		tryEdits(t, []byte(block(string(src))))
	})
}
