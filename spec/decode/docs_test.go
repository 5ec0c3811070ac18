package decode

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/eval"
	"certroll/spec/providers"
	"certroll/spec/spectest"
)

// TestDocs: the examples of the reference decode together.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	var hcl strings.Builder
	for _, m := range regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		hcl.WriteString(m[1])
	}
	s, diags := Files(t.Context(), []spec.File{{Path: "docs.hcl", Bytes: []byte(hcl.String())}}, strict)
	if len(diags) != 0 {
		t.Fatal(spectest.Text(diags))
	}
	if len(s.Certificates) != 4 || len(s.DNS) != 3 {
		t.Errorf("%d certificates, %d accounts", len(s.Certificates), len(s.DNS))
	}
}

// TestDocsComplete: the reference names every function, preset, attribute of cert, and directory.
func TestDocsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	names := append(slices.Collect(maps.Keys(eval.Meter{}.Functions())), slices.Collect(maps.Keys(spec.Directories()))...)
	for _, preset := range spec.PresetNames() {
		names = append(names, `"`+preset+`"`)
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("%s is not spoken of", name)
		}
	}
	for name := range spec.SampleValue().Type().AttributeTypes() {
		if !regexp.MustCompile("(`cert|`)\\." + name + "`").Match(text) {
			t.Errorf("cert.%s is not spoken of", name)
		}
	}
}

// TestDocsTXTRecords: the reference lists exactly the providers that delete other TXT records of the same name.
func TestDocsTXTRecords(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### TXT records of others")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, code := range providers.Codes() {
		effect := providers.TXTEffectOf(code)
		named := regexp.MustCompile("(?m)^\\|.*`" + code + "`").MatchString(section)
		if want := !effect.Spares() || code == "rfc2136"; named != want {
			t.Errorf("%s: named %v, want %v", code, named, want)
		}
	}
}
