package reconciletest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Constants returns the values of all string constants of some types in the product code
// of the packages below root, the folder reconcile.
func Constants(t *testing.T, root string, types ...string) map[string][]string {
	t.Helper()
	var files []string
	for _, pkg := range []string{"ledger", "archive", "monitor", "outbox"} {
		found, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
		if err != nil || len(found) == 0 {
			t.Fatalf("reconcile/%s: %d files, %v", pkg, len(found), err)
		}
		files = append(files, found...)
	}
	values := map[string][]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || v.Type == nil {
				return true
			}
			typ, ok := v.Type.(*ast.Ident)
			if !ok || !slices.Contains(types, typ.Name) {
				return true
			}
			for _, e := range v.Values {
				if lit, ok := e.(*ast.BasicLit); ok {
					s, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					values[typ.Name] = append(values[typ.Name], s)
				}
			}
			return true
		})
	}
	return values
}
