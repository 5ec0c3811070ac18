package decode

import (
	"fmt"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/spectest"
)

// BenchmarkDecode10k decodes 10,000 certificates in 100 files, as 100 teams
// would write them.
func BenchmarkDecode10k(b *testing.B) {
	files := []spec.File{{Path: "world.hcl", Bytes: []byte(world + "defaults {\n  issuer = issuer.le\n  dns    = dns.main\n}\nlocals {\n  zone = \"example.com\"\n}\n")}}
	for team := range 100 {
		var text strings.Builder
		for i := range 100 {
			fmt.Fprintf(&text, "certificate \"t%d-c%d\" {\n  domains = [\"c%[2]d.t%[1]d.${local.zone}\", \"www.c%[2]d.t%[1]d.${local.zone}\"]\n  labels  = { team = \"t%[1]d\" }\n}\n", team, i)
		}
		files = append(files, spec.File{Path: fmt.Sprintf("teams/t%d.hcl", team), Bytes: []byte(text.String())})
	}
	b.ReportAllocs()
	for b.Loop() {
		s, diags := Files(b.Context(), files, strict)
		if len(diags) != 0 || len(s.Certificates) != 10_000 {
			b.Fatal(spectest.Text(diags))
		}
	}
}
