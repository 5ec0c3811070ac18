package decode

import (
	"io/fs"
	"os"
	"slices"
	"testing"

	"certroll/spec"
	"certroll/spec/spectest"
)

// TestQuickstart: the example decodes and has the layout of `certroll fmt`.
func TestQuickstart(t *testing.T) {
	settings, err := os.ReadFile("../../examples/quickstart/certroll.hcl")
	if err != nil {
		t.Fatal(err)
	}
	trust := strict
	trust.Files = []spec.File{{Path: "certroll.hcl", Bytes: settings}}
	root := os.DirFS("../../examples/quickstart/certs")
	var files []spec.File
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, path)
		files = append(files, spec.File{Path: path, Bytes: b})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s, diags := Files(t.Context(), files, trust)
	if len(diags) != 0 {
		t.Fatal(spectest.Text(diags))
	}
	var names []string
	for _, c := range s.Certificates {
		names = append(names, c.Name)
	}
	if want := []string{"api", "legacy", "shop.berlin", "shop.lyon", "wildcard"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	for _, f := range append(files, trust.Files...) {
		if formatted, diags := spec.Format(f.Bytes, f.Path); diags.HasErrors() || string(formatted) != string(f.Bytes) {
			t.Errorf("%s is not formatted: %s\n%s", f.Path, spectest.Text(diags), formatted)
		}
	}
}
