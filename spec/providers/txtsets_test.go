package providers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryProviderHasATXTEffect: each provider, also one that a new lego adds, is in exactly one list, and no list has
// an unknown provider.
func TestEveryProviderHasATXTEffect(t *testing.T) {
	for _, code := range Codes() {
		if _, ok := txtEffects[code]; !ok {
			t.Errorf("%s is not classified: see its Present and CleanUp in lego's source, and add it to a list of txtsets.go", code)
		}
	}
	for code := range txtEffects {
		if !slices.Contains(Codes(), code) {
			t.Errorf("%s is classified, and no provider", code)
		}
	}
	words := 0
	for _, list := range txtLists {
		words += len(strings.Fields(list))
	}
	if words != len(txtEffects) {
		t.Errorf("%d codes are listed, %d of them different", words, len(txtEffects))
	}
	if e := TXTEffectOf("of-tomorrow"); e != ReplacesTXT {
		t.Errorf("a provider that is not known has the effect %d, want that it replaces", e)
	}
}

// speaksOtherwise are providers whose source suggests another effect than the real one, with the reason.
var speaksOtherwise = map[string]string{
	"acme-dns":    "CleanUp does nothing, and the name is its own",
	"hurricane":   "CleanUp overwrites the record that is its own",
	"cloudru":     "CleanUp keeps its record by token, and deletes all of that name",
	"dnsexit":     "CleanUp sends the value, and the API may pass over it",
	"gandi":       "CleanUp keeps the earlier version of the zone by name",
	"gandiv5":     "CleanUp keeps the name, and deletes all of that name",
	"huaweicloud": "CleanUp keeps the id of the whole set by token",
	"mijnhost":    "CleanUp removes its value alone, and Present all others",
	"rfc2136":     "replaced by package dnschild",
}

// TestTXTEffectsAreLegos compares the lists with lego's source. A CleanUp that removes only its own record identifies
// it by the challenge's value or by an ID that Present stored under the token. A CleanUp that removes the whole set
// knows only the name.
func TestTXTEffectsAreLegos(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-acme/lego/v4").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "providers", "dns")
	dirs := packagesOf(t, filepath.Join(root, "zz_gen_dns_providers.go"))
	checked := 0
	for _, code := range Codes() {
		dir := dirs[code]
		if dir == "" {
			t.Errorf("%s: lego has no package of it", code)
			continue
		}
		own, found := cleansOwn(t, root, dir)
		if !found {
			t.Errorf("%s: no CleanUp was found in %s", code, dir)
			continue
		}
		checked++
		spares := txtEffects[code].Spares()
		reason, excused := speaksOtherwise[code]
		switch {
		case own != spares && !excused:
			t.Errorf("%s: CleanUp knows its own record: %v, and the list says that it spares others: %v. Look at the source, and move it or say why in speaksOtherwise", code, own, spares)
		case own == spares && excused && code != "rfc2136":
			t.Errorf("%s needs no excuse (%s)", code, reason)
		}
	}
	if checked != len(Codes()) {
		t.Errorf("%d of %d providers were compared", checked, len(Codes()))
	}
}

// packagesOf returns the packages of lego's providers, by code.
func packagesOf(t *testing.T, name string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		clause, ok := n.(*ast.CaseClause)
		if !ok || len(clause.List) == 0 {
			return true
		}
		ast.Inspect(clause, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if ident, isIdent := identOf(call, ok); isIdent && call.Sel.Name == "NewDNSProvider" {
				for _, e := range clause.List {
					code, _ := strconv.Unquote(e.(*ast.BasicLit).Value)
					dirs[code] = ident
				}
			}
			return true
		})
		return true
	})
	return dirs
}

func identOf(s *ast.SelectorExpr, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	ident, ok := s.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	return ident.Name, true
}

// cleansOwn reports whether each CleanUp of a provider identifies its own record. A provider that delegates to another
// lego package counts as that package does.
func cleansOwn(t *testing.T, root, dir string) (own, found bool) {
	t.Helper()
	own = true
	for _, sub := range append([]string{dir}, handedTo(t, root, dir)...) {
		files, err := filepath.Glob(filepath.Join(root, sub, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Name.Name != "CleanUp" || handsOn(fn) {
					continue
				}
				found = true
				own = own && knowsItsRecord(fn)
			}
		}
	}
	return own, found
}

// handedTo returns the lego packages with a CleanUp that a provider imports.
func handedTo(t *testing.T, root, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if _, sub, ok := strings.Cut(path, "/providers/dns/"); ok && !slices.Contains(out, sub) {
				out = append(out, sub)
			}
		}
	}
	return out
}

// handsOn reports whether a function only calls another CleanUp.
func handsOn(fn *ast.FuncDecl) bool {
	on := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "CleanUp" {
			on = true
		}
		return true
	})
	return on
}

// knowsItsRecord reports whether a function uses the challenge's value, uses the token as a key, or passes on the raw
// key authorization.
func knowsItsRecord(fn *ast.FuncDecl) bool {
	knows := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr: // info.Value, pr.keyValue
			if x, ok := n.X.(*ast.Ident); ok && (x.Name == "info" && n.Sel.Name == "Value" || n.Sel.Name == "keyValue") {
				knows = true
			}
		case *ast.IndexExpr: // d.recordIDs[token], d.activeRecords[info.EffectiveFQDN]
			s, ok := n.X.(*ast.SelectorExpr)
			if ok && (strings.Contains(strings.ToLower(s.Sel.Name), "record") || strings.Contains(strings.ToLower(s.Sel.Name), "inprogress")) {
				knows = true
			}
		case *ast.CallExpr: // d.findRecordID(ctx, zone, info)
			for _, arg := range n.Args {
				if x, ok := arg.(*ast.Ident); ok && x.Name == "info" {
					knows = true
				}
			}
		}
		return true
	})
	return knows
}
