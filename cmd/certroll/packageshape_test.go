package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	goimporter "go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shape is the size of a package and the entanglement of its files.
type shape struct {
	circle   int // files in its largest circle, in which each depends on each other
	files    int // test files not counted
	exported int // names, except constants of the package's own types
	lines    int // of declarations
}

// limits apply to every package without exception. Split a package that grows beyond one; do not raise the limit.
var limits = shape{circle: 6, files: 35, exported: 120, lines: 3000}

// TestPackageShape: no package grows too large for a reader to understand.
func TestPackageShape(t *testing.T) {
	t.Parallel()
	module, exportOf := listModule(t)
	dependencies := goimporter.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exportOf[path])
	})
	if len(module) < 30 {
		t.Fatalf("the module has only %d packages; go list does not list what is expected", len(module))
	}
	for _, p := range module {
		s, circle := p.measure(t, dependencies)
		within := func(what string, figure, limit int, remedy string) {
			if figure > limit {
				t.Errorf("%s: %s: %d, and may be %d. %s.", p.ImportPath, what, figure, limit, remedy)
			}
		}
		within("files that depend on each other in a circle", s.circle, limits.circle, "Move a declaration to the file or the package where it belongs, "+
			"or pass as a parameter what is used of a file above. These are in the circle: "+strings.Join(circle, " "))
		within("files", s.files, limits.files, "Move what stands for itself to a package below")
		within("exported names", s.exported, limits.exported, "Unexport what only this package uses, or split it")
		within("lines of declarations", s.lines, limits.lines, "Move what stands for itself to a package below")
	}
}

// modulePackage is a package as described by go list.
type modulePackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Module                  *struct{ Main bool }
}

// listModule lists the module's packages, and the compiler's export data of every package that they import. It uses the
// flags of this test, so that the packages are already compiled.
func listModule(t *testing.T) (module []modulePackage, exportOf map[string]string) {
	t.Helper()
	args := []string{"list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,Module", "-tags=labproviders"}
	cmd := exec.CommandContext(t.Context(), "go")
	cmd.Env = os.Environ()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "-race", "-trimpath":
				args = append(args, s.Key+"="+s.Value)
			case "CGO_ENABLED":
				cmd.Env = append(cmd.Env, s.Key+"="+s.Value)
			}
		}
	}
	cmd.Args = append(append(cmd.Args, args...), "./...")
	cmd.Dir = filepath.Join("..", "..")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	exportOf = map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p modulePackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return module, exportOf
		}
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		exportOf[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Main {
			module = append(module, p)
		}
	}
}

// measure returns the shape and the files of the largest circle.
func (p modulePackage) measure(t *testing.T, dependencies types.Importer) (s shape, circle []string) {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	uses := map[*ast.Ident]types.Object{}
	pkg, err := (&types.Config{Importer: dependencies}).Check(p.ImportPath, fset, files, &types.Info{Uses: uses})
	if err != nil {
		t.Fatal(err)
	}
	circle = largestCircle(arrows(fset, pkg, uses))
	return shape{circle: len(circle), files: len(files), exported: exportedNames(pkg), lines: declarationLines(fset, files)}, circle
}

// arrows maps each file to the files that declare what it uses.
func arrows(fset *token.FileSet, pkg *types.Package, uses map[*ast.Ident]types.Object) map[string]map[string]bool {
	file := func(at token.Pos) string { return filepath.Base(fset.Position(at).Filename) }
	to := map[string]map[string]bool{}
	for id, o := range uses {
		if o.Pkg() != pkg || o.Parent() != pkg.Scope() && !isMethod(o) {
			continue
		}
		from := file(id.Pos())
		if to[from] == nil {
			to[from] = map[string]bool{}
		}
		to[from][file(o.Pos())] = true
	}
	return to
}

// isMethod reports whether o is a method of a named type.
func isMethod(o types.Object) bool {
	f, ok := o.(*types.Func)
	if !ok || f.Signature().Recv() == nil {
		return false
	}
	t := f.Signature().Recv().Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	_, named := t.(*types.Named)
	return named
}

// largestCircle returns the largest set of files in which each one reaches each other.
func largestCircle(to map[string]map[string]bool) []string {
	reached := map[string]map[string]bool{}
	var visit func(from string, seen map[string]bool)
	visit = func(from string, seen map[string]bool) {
		for next := range to[from] {
			if !seen[next] {
				seen[next] = true
				visit(next, seen)
			}
		}
	}
	for from := range to {
		reached[from] = map[string]bool{}
		visit(from, reached[from])
	}
	var largest []string
	for _, from := range slices.Sorted(maps.Keys(to)) {
		circle := slices.DeleteFunc(slices.Sorted(maps.Keys(reached[from])), func(other string) bool { return !reached[other][from] })
		if len(circle) > 1 && len(circle) > len(largest) {
			largest = circle
		}
	}
	return largest
}

func exportedNames(pkg *types.Package) (n int) {
	for _, name := range pkg.Scope().Names() {
		c, isConst := pkg.Scope().Lookup(name).(*types.Const)
		if isConst {
			if t, ok := c.Type().(*types.Named); ok && t.Obj().Pkg() == pkg {
				continue
			}
		}
		if ast.IsExported(name) {
			n++
		}
	}
	return n
}

// declarationLines counts the lines of declarations, without blank lines and comments between declarations.
func declarationLines(fset *token.FileSet, files []*ast.File) (n int) {
	count := func(d ast.Node) { n += fset.Position(d.End()).Line - fset.Position(d.Pos()).Line + 1 }
	for _, f := range files {
		for _, d := range f.Decls {
			if group, ok := d.(*ast.GenDecl); ok {
				for _, s := range group.Specs {
					count(s)
				}
				continue
			}
			count(d)
		}
	}
	return n
}

// TestShape checks the counting of uses, exported names and lines.
func TestShape(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := modulePackage{ImportPath: "example.com/house", Dir: dir}
	for name, text := range map[string]string{
		"a.go": "package house\n\n// A uses b.go by a field's type.\ntype A struct {\n\tb *B\n}\n",
		"b.go": "package house\n\ntype B int\n\nconst (\n\tOne B = 1\n\tTwo B = 2\n)\n\nconst Three = 3\n\nfunc (B) m(c interface{ use() }) { c.use() }\n",
		"c.go": "package house\n\n// by a method\nfunc f(a *A) { a.b.m(nil) }\n\nfunc (a *A) field() B { return *a.b }\n",
		"d.go": "package house\n\n// is used by nobody\nvar D = f\n",
		"e.go": "package house\n\n// uses a.go, which uses it by a local name alone\nfunc e() (b A) { return b }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.GoFiles = append(p.GoFiles, name)
	}
	if s, circle := p.measure(t, nil); s != (shape{files: 5, exported: 4, lines: 12}) || circle != nil {
		t.Errorf("without a circle: %+v %v", s, circle)
	}
	text := "package house\n\nfunc (b B) back() { _ = D }\n"
	if err := os.WriteFile(filepath.Join(dir, "b2.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("package house\n\ntype A struct{ b *B }\n\nfunc (a *A) back() { a.b.back() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.GoFiles = append(p.GoFiles, "b2.go")
	_, circle := p.measure(t, nil)
	if diff := cmp.Diff([]string{"a.go", "b2.go", "c.go", "d.go"}, circle); diff != "" {
		t.Errorf("the circle: (-want +got)\n%s", diff)
	}
}
