package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/spf13/cobra"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/spec"
	"certroll/spec/bounded"
	"certroll/spec/text"
)

// validateOptions are the flags of validate.
type validateOptions struct {
	json, github bool
	filename     string
}

func (a *app) validateCommand() *cobra.Command {
	var o validateOptions
	c := &cobra.Command{
		Use:   "validate [DIR | -]",
		Short: "Check the HCL files of a directory, offline",
		Long: `Check all HCL files of a directory (default: the current one) and show every
mistake at once. Needs neither Vault nor a CA nor the network. If there is a
certroll.hcl, validate also checks references against its trust and policies. Exits
1 if there is a mistake.

With - it checks one file from standard input, for editors. The policies of
certroll.hcl depend on the file's path: set it with --filename.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.filename != "" && dirArg(args) != "-" {
				return fmt.Errorf("--filename names what standard input holds: write validate - with it")
			}
			return a.validate(cmd.Context(), dirArg(args), o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.json, "json", false, "print the mistakes as JSON (schema in docs/pull-requests.md)")
	f.BoolVar(&o.github, "github", false, "also print the mistakes as annotations of GitHub Actions")
	f.StringVar(&o.filename, "filename", "", "with -: the path of the file in the config repo (default stdin.hcl)")
	c.MarkFlagsMutuallyExclusive("json", "github")
	return c
}

// validated is the result for a directory's files, or for certroll.hcl.
type validated struct {
	dir      string
	rev      *gitsync.Revision
	files    []spec.File
	diags    hcl.Diagnostics
	own      string // the path of certroll.hcl; "" if there is none
	declared int    // number of certificates
}

func (a *app) validate(ctx context.Context, dir string, o validateOptions) error {
	v, err := a.validated(ctx, dir, o.filename)
	if err != nil {
		return err
	}
	switch {
	case o.json:
		err = view.JSON(a.Data(), view.NewValidation(dir, v.rev.Directory, v.own, len(v.rev.Files), v.declared, v.diags))
	default:
		view.Diagnostics(a.Err, a.Palette(), v.files, v.diags)
		if o.github {
			view.AnnotateDiagnostics(a.Annotations(), v.rev.Directory, v.own, v.diags)
		}
	}
	if err == nil && v.diags.HasErrors() {
		err = console.ExitCode(console.ExitError)
	}
	if err == nil && !o.json {
		fmt.Fprintf(a.Out, "Valid: %s in %s.\n", text.Counted(v.declared, "certificate"), text.Counted(len(v.rev.Files), "file"))
	}
	return err
}

// validated decodes the named files. If certroll.hcl has errors, it reports only these,
// since the limits of the other files are then unknown.
func (a *app) validated(ctx context.Context, dir, filename string) (*validated, error) {
	s, files, diags, err := settings.Load(a.configFile)
	if err != nil {
		return nil, err
	}
	v := &validated{dir: dir, rev: &gitsync.Revision{}, files: files, diags: diags}
	if len(files) > 0 {
		v.own = files[0].Path
	}
	if diags.HasErrors() {
		return v, nil
	}
	if v.rev, err = a.filesToValidate(dir, filename); err != nil {
		return nil, err
	}
	found := v.rev.Files
	v.rev.Files = settings.WithoutOwn(found, s)
	var empty hcl.Diagnostics
	if len(v.rev.Files) == 0 {
		empty = hcl.Diagnostics{{Severity: hcl.DiagWarning, Summary: "No files", Detail: fmt.Sprintf("There is no .hcl file in %s or below it%s.", dir, besides(s, found))}}
	}
	desired, all, diags := configrepo.Decode(ctx, s, v.rev.Files)
	// Decoding repeats certroll.hcl's warnings, except the one about a misplaced file.
	elsewhere := slices.DeleteFunc(v.diags, func(d *hcl.Diagnostic) bool { return d.Summary != settings.FoundElsewhere })
	v.files, v.diags = all, slices.Concat(elsewhere, empty, diags, configrepo.UnreadWarnings(v.rev))
	v.diags = append(v.diags, v.rootWarning()...)
	if desired != nil {
		v.declared = len(desired.Certificates)
	}
	return v, nil
}

func (a *app) filesToValidate(dir, filename string) (*gitsync.Revision, error) {
	if dir != "-" {
		return gitsync.ReadDir(dir)
	}
	b, err := bounded.All(a.In, spec.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	if filename == "" {
		filename = "stdin.hcl"
	}
	return &gitsync.Revision{Files: []gitsync.File{{Path: path.Clean(filepath.ToSlash(filename)), Bytes: b}}}, nil
}

// outerMistakes are the errors of a directory that lacks its parent's defaults, issuers
// or policies.
var outerMistakes = []string{"Missing setting", "Unknown reference", "File under no policy"}

// rootWarning suggests a parent directory, if the errors are of the kind that files
// there may cure.
func (v *validated) rootWarning() hcl.Diagnostics {
	if v.dir == "-" || !slices.ContainsFunc(v.diags, func(d *hcl.Diagnostic) bool {
		return d.Severity == hcl.DiagError && slices.Contains(outerMistakes, d.Summary)
	}) {
		return nil
	}
	file := sharedAbove(v.dir)
	if file == "" {
		return nil
	}
	root := filepath.Dir(file)
	return hcl.Diagnostics{{Severity: hcl.DiagWarning, Summary: "Files above this directory", Detail: fmt.Sprintf(
		"%s holds settings that certificates share, and was not read, since it is above %s. Is %s the root of the config repo? Then run: certroll validate %[3]s", file, v.dir, root)}}
}

// mostAbove bounds the parent directories that sharedAbove reads.
const mostAbove = 5

// sharedAbove returns a file in a parent directory, within the Git work tree, with
// shared declarations: the topmost one; "" if there is none.
func sharedAbove(dir string) (file string) {
	for range mostAbove {
		if abs, err := filepath.Abs(dir); err != nil || isThere(filepath.Join(dir, ".git")) || filepath.Dir(abs) == abs {
			break
		}
		dir = filepath.Join(dir, "..")
		names, _ := filepath.Glob(filepath.Join(dir, "*.hcl"))
		if i := slices.IndexFunc(names, shares); i >= 0 {
			file = names[i]
		}
	}
	return file
}

// shares reports whether a file has shared declarations; certroll.hcl has none.
func shares(file string) bool {
	src, err := bounded.File(file, bounded.Named)
	if err != nil {
		return false
	}
	body, _ := spec.Parse(spec.File{Path: file, Bytes: src})
	return body != nil && slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "defaults" || b.Type == "locals" })
}

// besides names certroll.hcl as the file that is not counted, if it is present.
func besides(s *settings.Settings, found []gitsync.File) string {
	if len(found) == 0 {
		return ""
	}
	return " but " + filepath.Base(s.File.Path) + ", which is certroll's own"
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func dirArg(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}
