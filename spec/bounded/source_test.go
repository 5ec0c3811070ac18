package bounded

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unbounded are calls that read until the source ends.
var unbounded = []string{"os.ReadFile", "io.ReadAll", "ioutil.ReadAll", "ioutil.ReadFile", "json.NewDecoder", ".ReadString", ".ReadBytes"}

// bounds are calls that limit the argument or already have it in memory.
var bounds = []string{"io.LimitReader", "http.MaxBytesReader", "bounded.Reader", "bytes.NewReader", "strings.NewReader"}

// short are the unbounded calls that are allowed, with the reason.
var short = map[string]string{
	"gitsync/journal/journal.go .ReadBytes":          "certroll's own file, of which a line is an event",
	"gitsync/push.go io.ReadAll":                     "a commit that was just made in memory",
	"gitsync/signature/verify.go io.ReadAll":         "armor in a commit, which is bounded",
	"reconcile/acme/ca/ca.go io.ReadAll":             "a body that readWhole bounded",
	"reconcile/acme/ca/transport.go json.NewDecoder": "a request of our own, in memory",
	"cmd/certroll/apply.go .ReadString":              "approved bounds what it reads from",
}

// TestNobodyReadsWithoutABound: product code reads whole files and bodies through this package, or from a reader with a
// limit.
func TestNobodyReadsWithoutABound(t *testing.T) {
	root, files := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && (rel == "examples" || strings.HasSuffix(rel, "test") || strings.HasPrefix(e.Name(), ".") && rel != "."):
			return fs.SkipDir
		case e.IsDir() || !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go"):
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil || strings.HasPrefix(string(src), "//go:build ignore") {
			return err
		}
		files++
		for _, call := range readers(t, path, src) {
			if short[filepath.ToSlash(rel)+" "+call] == "" {
				t.Errorf("%s calls %s: what is read there has no bound; use package bounded", rel, call)
			}
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Errorf("%d files were looked at, %v", files, err)
	}
}

// readers returns the calls in a file that read without a limit.
func readers(t *testing.T, path string, src []byte) (list []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := called(call)
		if i := slices.IndexFunc(unbounded, func(u string) bool { return strings.HasSuffix(name, u) }); i >= 0 && !bound(call) {
			list = append(list, unbounded[i])
		}
		return true
	})
	return list
}

func called(e ast.Expr) string {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return ""
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := sel.X.(*ast.Ident); ok {
		return x.Name + "." + sel.Sel.Name
	}
	return "." + sel.Sel.Name
}

func bound(call *ast.CallExpr) bool {
	return len(call.Args) > 0 && slices.Contains(bounds, called(call.Args[0]))
}

// TestReadersAreFound: readers finds such a call, so the test above can fail.
func TestReadersAreFound(t *testing.T) {
	got := readers(t, "x.go", []byte(`package x
func f() {
	os.ReadFile("x")
	io.ReadAll(resp.Body)
	io.ReadAll(io.LimitReader(resp.Body, 5))
	json.NewDecoder(resp.Body).Decode(&x)
	json.NewDecoder(bytes.NewReader(b)).Decode(&x)
	bufio.NewReader(in).ReadString('\n')
}`))
	if want := []string{"os.ReadFile", "io.ReadAll", "json.NewDecoder", ".ReadString"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}
