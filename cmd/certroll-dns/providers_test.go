//go:build !labproviders

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	known "certroll/spec/providers"
)

// TestProvidersAreGenerated: the generated table matches the lego version in go.mod.
func TestProvidersAreGenerated(t *testing.T) {
	got, err := exec.CommandContext(t.Context(), "go", "run", "gen_providers.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("providers.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("providers.go is not what lego has: run go generate ./cmd/certroll-dns")
	}
}

// TestEveryProvider: certroll-dns has all of lego's providers, except those that package providers rejects. This test
// names each exception.
func TestEveryProvider(t *testing.T) {
	left := []string{
		"azure",         // replaced by azuredns; its library go-autorest is no longer maintained
		"cloudxns",      // the service has shut down
		"exec",          // runs a program
		"googledomains", // the service has shut down
		"hyperone",      // reads its credentials from a file
		"iwantmyname",   // the service has shut down
		"manual",        // waits for a person
		"transip",       // reads its key from a file
	}
	if refused := slices.Sorted(maps.Keys(known.Refused())); !slices.Equal(refused, left) {
		t.Errorf("package providers refuses %q, left out here are %q", refused, left)
	}
	want := slices.DeleteFunc(legos(t), func(code string) bool { return slices.Contains(left, code) })
	if got := slices.Sorted(maps.Keys(providers)); !slices.Equal(got, want) {
		t.Errorf("there are %d providers:\n%q\nwant %d:\n%q", len(got), got, len(want), want)
	}
	for _, code := range known.Codes() {
		if providers[code] == nil {
			t.Errorf("package providers takes the provider %s, which cannot be opened", code)
		}
	}
}

// legos returns the provider codes that lego accepts, sorted, including aliases.
func legos(t *testing.T) []string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-acme/lego/v4").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(strings.TrimSpace(string(dir)), "providers", "dns", "zz_gen_dns_providers.go")
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		if clause, ok := n.(*ast.CaseClause); ok {
			for _, e := range clause.List {
				code, err := strconv.Unquote(e.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				codes = append(codes, code)
			}
		}
		return true
	})
	slices.Sort(codes)
	return codes
}

// abandoned are modules that their authors have ended or archived. Only rejected providers need them.
var abandoned = []string{"github.com/Azure/go-autorest"}

// TestNoAbandonedModules: neither program links an abandoned module.
func TestNoAbandonedModules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".", "../certroll").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range strings.Fields(string(out)) {
		for _, a := range abandoned {
			if strings.HasPrefix(module, a) {
				t.Errorf("%s is linked, which nobody maintains", module)
			}
		}
	}
}
