package spec

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocs: the examples of the reference decode together.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	var hcl strings.Builder
	for _, m := range regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		hcl.WriteString(m[1])
	}
	s, diags := Decode([]File{{"docs.hcl", []byte(hcl.String())}}, strict)
	if len(diags) != 0 {
		t.Fatal(told(diags))
	}
	if len(s.Certificates) != 4 || len(s.DNS) != 3 {
		t.Errorf("%d certificates, %d accounts", len(s.Certificates), len(s.DNS))
	}
}
