package decode

import (
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/spectest"
)

// TestBefore: of two blocks that conflict, the error points to the one that the change adds, whatever the order of the
// files.
func TestBefore(t *testing.T) {
	block := func(name string) string {
		return "certificate \"" + name + "\" {\n  domains = [\"" + name + ".example.com\"]\n  issuer = issuer.le\n  dns = dns.main\n}\n"
	}
	own := spec.File{Path: "certroll.hcl", Bytes: []byte(`
issuer "le" {
  directory = "letsencrypt"
  terms_of_service_agreed = true
}
dns "main" { challenge = "http-01" }
policy "all" {
  files = ["**"]
  max_certificates = 2
}`)}
	old := []spec.File{{Path: "m.hcl", Bytes: []byte(block("one"))}, {Path: "z.hcl", Bytes: []byte(block("two"))}}
	for name, c := range map[string]struct {
		files  []spec.File
		before []spec.File
		want   string // the place and a part of the detail
	}{
		"a duplicate in an earlier file":  {append([]spec.File{{Path: "a.hcl", Bytes: []byte(block("two"))}}, old...), old, `a.hcl:1:1-18: Duplicate name|is there already, at z.hcl:1. Names are unique in the whole repo; rename this one.`},
		"a duplicate above, in its file":  {[]spec.File{{Path: "m.hcl", Bytes: []byte("certificate \"new\" {\n  domains = [\"n.example.com\"]\n  issuer = issuer.le\n  dns = dns.main\n  vault { path = \"tls/one\" }\n}\n" + block("one"))}}, old, `m.hcl:5:18-27: Vault path claimed twice|The certificate "one", at m.hcl:7`},
		"nothing is known":                {append([]spec.File{{Path: "a.hcl", Bytes: []byte(block("two"))}}, old...), nil, `z.hcl:1:1-18: Duplicate name|is declared at a.hcl:1 and at z.hcl:1. Names are unique in the whole repo; rename one of them.`},
		"one too many in an earlier file": {append([]spec.File{{Path: "a.hcl", Bytes: []byte(block("three"))}}, old...), old, `a.hcl:1:1-20: Forbidden by policy|allows 2 certificates, instances of for_each counted, and with "three" there are 3.`},
		"one too many, which is unknown":  {append([]spec.File{{Path: "a.hcl", Bytes: []byte(block("three"))}}, old...), nil, `z.hcl:1:1-18: Forbidden by policy|and there are 3, in a.hcl, m.hcl, z.hcl.`},
	} {
		trust := strict
		trust.Files, trust.Before = []spec.File{own}, c.before
		_, diags := Files(t.Context(), c.files, trust)
		place, detail, _ := strings.Cut(c.want, "|")
		if got := spectest.Text(diags); strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, place) || !strings.Contains(got, detail) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestMissingDefaults: several settings missing for the same cause give one error per setting, and none if the cause
// may be in a file that does not parse.
func TestMissingDefaults(t *testing.T) {
	certificate := func(name string) spec.File {
		return spec.File{Path: name + ".hcl", Bytes: []byte("certificate \"" + name + "\" {\n  domains = [\"" + name + ".example.com\"]\n}\n")}
	}
	files := []spec.File{certificate("a"), certificate("b"), certificate("c")}
	for name, c := range map[string]struct {
		files []spec.File
		want  []string
	}{
		"one":             {files[:1], []string{"a.hcl:1:1-16: Missing setting\n\tA certificate block needs issuer: issuer.NAME, here or in a defaults block.\n", "needs dns:"}},
		"three":           {files, []string{"needs issuer: issuer.NAME, here or in a defaults block; b in b.hcl needs it too, and 1 other certificate. No defaults block was read: is this directory the root of the config repo?\n", "needs dns:"}},
		"a broken file":   {append(files, spec.File{Path: "d.hcl", Bytes: []byte("defaults {\n  issuer = \n}")}), []string{"d.hcl:2:"}},
		"other defaults":  {append(files, spec.File{Path: "x/d.hcl", Bytes: []byte("defaults {}")}), []string{"and 1 other certificate.\n", "needs dns:"}},
		"an unclosed one": {append(files, spec.File{Path: "d.hcl", Bytes: []byte("certificate \"x {\n  domains = [\"a.example.com\"]\n}\n")}), []string{"d.hcl:1:13-14: Quote not closed\n"}},
	} {
		_, diags := Files(t.Context(), c.files, strict)
		got := spectest.Text(diags)
		if len(diags) != len(c.want) {
			t.Errorf("%s: %s", name, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is missing in %s", name, want, got)
			}
		}
	}
}

// TestUnquoted: for a text without quotes, the error names the whole text and suggests to quote it.
func TestUnquoted(t *testing.T) {
	for text, want := range map[string]string{
		"[x.shop.example.test]":         `x.hcl:2:14-33: Unknown variable|named "x". Did you mean "x.shop.example.test", in quotes?`,
		"[locals.example]":              `Or did you mean the text "locals.example", in quotes?`,
		"[api]":                         `Did you mean "api", in quotes?`,
		"[x[0].y]":                      `There is no variable named "x".`,
		"[try(x.y, \"a.example.com\")]": "",
	} {
		_, diags := Files(t.Context(), []spec.File{{Path: "x.hcl", Bytes: []byte("certificate \"x\" {\n  domains = " + text + "\n}")}}, strict)
		got := spectest.Text(diags)
		for part := range strings.SplitSeq(want, "|") {
			if !strings.Contains(got, part) || want == "" && strings.Contains(got, "variable") {
				t.Errorf("%s: %s", text, got)
			}
		}
	}
}
