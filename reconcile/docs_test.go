package reconcile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"certroll/reconcile/ledger"
)

// section is the part of a document below a heading.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(b), "\n## "+heading)
	if !found {
		t.Fatalf("docs/%s has no section %q", file, heading)
	}
	before, _, _ := strings.Cut(after, "\n## ")
	return before
}

// jsonNames are the fields of a struct as JSON has them.
func jsonNames(of any) []string {
	var names []string
	for f := range reflect.TypeOf(of).Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// TestDocsFields: every field of the ledger is described.
func TestDocsFields(t *testing.T) {
	for heading, structs := range map[string][]any{
		"Record": {ledger.Record{}, ledger.Live{}, ledger.Hold{}, ledger.Failure{}, ledger.Unmanaged{}, ledger.RenewalInfo{}, ledger.Revocation{}},
		"Event":  {ledger.Event{}, ledger.PassedOver{}},
	} {
		text := section(t, "ledger.md", heading)
		for _, s := range structs {
			for _, name := range jsonNames(s) {
				if !strings.Contains(text, "`"+name+"`") {
					t.Errorf("docs/ledger.md, section %s: %T.%s is not described", heading, s, name)
				}
			}
		}
	}
}

// constants are the values of all string constants of some types, but for tests, in the
// packages below root, which is the folder reconcile.
func constants(t *testing.T, root string, types ...string) map[string][]string {
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

// TestDocsWords: every word that a field may hold is in the documentation.
func TestDocsWords(t *testing.T) {
	values := constants(t, ".", "Kind", "Reason", "Class", "Status", "State", "Exemption", "Standing", "Serving")
	for typ, least := range map[string]int{"Kind": 13, "Reason": 29, "Class": 13, "Status": 4, "State": 3, "Exemption": 2, "Standing": 7, "Serving": 9} {
		if len(values[typ]) < least {
			t.Errorf("only %d constants of type %s were found: %v", len(values[typ]), typ, values[typ])
		}
	}
	said := func(file, heading string, words []string, but ...string) {
		t.Helper()
		text := section(t, file, heading)
		for _, w := range words {
			if !slices.Contains(but, w) && !strings.Contains(text, "`"+w+"`") {
				t.Errorf("docs/%s, section %s: %q is not described", file, heading, w)
			}
		}
	}
	said("ledger.md", "Record", values["State"])
	said("ledger.md", "Event", slices.Concat(values["Kind"], values["Status"], values["Exemption"]), "none", string(ledger.StatusError))
	said("ledger.md", "Classes of failure", values["Class"])
	said("ledger.md", "Reasons", values["Reason"])
	said("asking.md", "expiring", values["Standing"])
	said("probe.md", "What it comes to", values["Serving"])
	said("notifications.md", "Kinds", constants(t, ".", "NoticeKind")["NoticeKind"])
	said("plan.md", "Actions", values["Kind"], string(ledger.KindConfig), string(ledger.KindRetry), string(ledger.KindPass), string(ledger.KindDoctor), string(ledger.KindProbe))
}
