package edits

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/gitsync/atomicfile"
	"certroll/spec"
	"certroll/spec/edit"
	"certroll/spec/text"
)

// Commands are the commands that change the config repo.
type Commands struct {
	*console.Console
	ConfigDir    *string // the directory used in place of the config repo; "": none
	LoadSettings func() (*settings.Settings, error)
}

// editFlags are the flags of these commands.
type editFlags struct {
	reason string
	branch string
	author string
	print  bool
}

// ofForEach explains in the help how to name a certificate of a for_each.
const ofForEach = `

Name a certificate of a for_each with its key, as in shop.porto: certroll writes a
condition on the key into the block, and its other certificates stay as they are.`

// howEdited ends the help of these commands.
const howEdited = `

certroll edits the block in place and keeps comments and layout. It commits the
change in your name and pushes it to repo.ref, which must be a branch; with
--branch to a new branch, for a pull request. With --print it prints a patch
instead, with --config-dir it edits the files there. Changes nothing in Vault or
at the CA.`

func (a *Commands) editFlags(c *cobra.Command) *editFlags {
	f := &editFlags{}
	c.Flags().StringVar(&f.reason, "reason", "", "reason for the change, one line, for the commit message (required)")
	c.Flags().StringVar(&f.branch, "branch", "", "push to this new branch instead of repo.ref")
	c.Flags().StringVar(&f.author, "author", "", `the commit's author, "Name <mail>" (default $GIT_AUTHOR_NAME and $GIT_AUTHOR_EMAIL, or git's global user.name and user.email)`)
	c.Flags().BoolVar(&f.print, "print", false, "print a patch for git apply, change nothing")
	c.Flags().StringVar(a.ConfigDir, "config-dir", a.Getenv("CERTROLL_CONFIG_DIR"),
		"edit the files of this directory instead of pushing to repo.url (env CERTROLL_CONFIG_DIR)")
	return f
}

func (a *Commands) checkEdit(f *editFlags) error {
	f.reason = strings.TrimSpace(f.reason)
	switch {
	case f.reason == "":
		return errors.New("--reason is missing: give the reason in one line, for the commit message")
	case strings.ContainsFunc(f.reason, unicode.IsControl):
		return errors.New("--reason is one line of text: it holds a line break or another control character")
	case f.print && f.branch != "":
		return errors.New("--print changes nothing and --branch pushes: leave one of them out")
	case *a.ConfigDir != "" && f.branch != "":
		return errors.New("--config-dir edits files and --branch pushes: leave one of them out")
	}
	return nil
}

// change is one command's change to the config repo.
type change struct {
	verb  string // "rotate"
	names []string
	edit  func(*edit.Editor) error
}

// revise makes a change in the form that the flags select.
func (a *Commands) revise(ctx context.Context, s *settings.Settings, f *editFlags, c change) error {
	switch {
	case f.print:
		return a.printPatch(ctx, s, c)
	case *a.ConfigDir != "":
		return a.editDirectory(ctx, s, c)
	}
	if s.Verify != nil && f.branch == "" {
		return errors.New("certroll.hcl requires signed commits, and certroll does not sign its edits: it would hold this commit back. Give --branch and have the pull request merged with a signed commit, or give --print and commit the patch yourself")
	}
	name, email, err := Author(a.Getenv, f.author)
	if err != nil {
		return err
	}
	if s.Repo.URL == "" {
		return s.Lacks("config repo", "set repo.url in certroll.hcl, or edit a directory with --config-dir")
	}
	auth, err := s.Repo.Auth.Auth()
	if err != nil {
		return err
	}
	subject := c.subject(f.reason)
	done, err := gitsync.Revise(ctx, gitsync.ReviseOptions{
		URL: s.Repo.URL, Ref: s.Repo.Ref, NewBranch: f.branch, Directory: s.Repo.Directory, Auth: auth, AuthorName: name, AuthorEmail: email,
	}, subject+"\n\n"+c.trailers(f.reason), func(files []gitsync.File) (map[string][]byte, error) {
		changed, err := a.edited(ctx, s, files, c)
		byPath := make(map[string][]byte, len(changed))
		for _, file := range changed {
			byPath[file.Path] = file.Bytes
		}
		return byPath, err
	})
	if err != nil {
		return err
	}
	view.WriteEdit(a.Out, a.Palette(), view.Edit{Subject: subject, Commit: done.Commit, Branch: done.Branch, From: done.From})
	return nil
}

// edited returns the changed files with their new contents.
func (a *Commands) edited(ctx context.Context, s *settings.Settings, files []gitsync.File, c change) ([]spec.File, error) {
	in, trust := configrepo.SpecFiles(files), s.SpecTrust()
	ctx, cancel := context.WithTimeout(ctx, s.DecodeTimeout)
	defer cancel()
	e, diags := edit.New(ctx, in, trust)
	if e == nil {
		view.Diagnostics(a.Err, a.Palette(), slices.Concat(in, trust.Files), diags)
		return nil, errors.New("the config repo has mistakes, so nothing was changed: correct them first")
	}
	if err := c.edit(e); err != nil {
		return nil, err
	}
	return e.Changed(), nil
}

// printPatch prints a change as a patch. Paths are relative to the config repo, or with
// --config-dir to the working directory.
func (a *Commands) printPatch(ctx context.Context, s *settings.Settings, c change) error {
	rev, err := configrepo.Read(ctx, s, *a.ConfigDir)
	if err != nil {
		return err
	}
	below := s.Repo.Directory
	if *a.ConfigDir != "" {
		below = fromHere(*a.ConfigDir)
		rev.Files = settings.WithoutOwn(rev.Files, s)
	}
	changed, err := a.edited(ctx, s, rev.Files, c)
	if err != nil {
		return err
	}
	for _, f := range changed {
		i := slices.IndexFunc(rev.Files, func(old gitsync.File) bool { return old.Path == f.Path })
		name := strings.TrimPrefix(path.Join("/", below, f.Path), "/")
		if err := a.Content(patchOf(name, rev.Files[i].Bytes, f.Bytes)); err != nil {
			return err
		}
	}
	return nil
}

// patchOf returns a patch for git apply and patch. It omits diff.Diff's first line,
// which git would read as its own header.
func patchOf(name string, before, after []byte) []byte {
	_, patch, _ := bytes.Cut(diff.Diff("a/"+name, before, "b/"+name, after), []byte("\n"))
	return patch
}

// fromHere returns a directory relative to the working directory; "" if it is not below.
// Then paths are relative to the directory itself.
func fromHere(dir string) string {
	here, err := os.Getwd()
	if err != nil {
		return ""
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	rel, err := filepath.Rel(here, abs)
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// editDirectory makes a change in the files of --config-dir.
func (a *Commands) editDirectory(ctx context.Context, s *settings.Settings, c change) error {
	rev, err := gitsync.ReadDir(*a.ConfigDir)
	if err != nil {
		return err
	}
	changed, err := a.edited(ctx, s, settings.WithoutOwn(rev.Files, s), c)
	if err != nil {
		return err
	}
	var done view.Edit
	for _, f := range changed {
		file := filepath.Join(*a.ConfigDir, filepath.FromSlash(f.Path))
		if err := ReplaceFile(file, f.Bytes); err != nil {
			return err
		}
		done.Files = append(done.Files, file)
	}
	view.WriteEdit(a.Out, a.Palette(), done)
	return nil
}

const (
	maxSubject  = 100 // bytes of the reason in the commit's subject
	maxTrailers = 50  // certificates in the trailers, as in the ledger's commits
)

func (c change) subject(reason string) string {
	what := strings.Join(c.names, ", ")
	if len(c.names) > 3 {
		what = text.Counted(len(c.names), "certificate")
	}
	return text.UpperFirst(c.verb) + " " + what + ": " + text.Line(text.Cut(reason, maxSubject))
}

// trailers returns the trailers of the ledger's commits, as far as they are known.
func (c change) trailers(reason string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Operation: %s\n", c.verb)
	for _, name := range c.names[:min(len(c.names), maxTrailers)] {
		fmt.Fprintf(&b, "Certificate: %s\n", name)
	}
	fmt.Fprintf(&b, "Reason: %s\n", text.Line(reason))
	return b.String()
}

var authorText = regexp.MustCompile(`^\s*([^<>\s][^<>]*?)\s*<\s*([^<>\s]+)\s*>\s*$`)

// Author returns the author of the commit, whom the audit log will name: the --author
// flag, else Git's usual settings.
func Author(getenv func(string) string, flag string) (name, email string, err error) {
	if flag != "" {
		m := authorText.FindStringSubmatch(flag)
		if m == nil {
			return "", "", fmt.Errorf("--author %q: write it as \"Name <mail@example.com>\"", flag)
		}
		return m[1], m[2], nil
	}
	if name, email = getenv("GIT_AUTHOR_NAME"), getenv("GIT_AUTHOR_EMAIL"); name != "" && email != "" {
		return name, email, nil
	}
	global, mail, err := gitsync.GlobalAuthor()
	if err != nil {
		return "", "", err
	}
	name, email = cmp.Or(name, global), cmp.Or(email, mail)
	if name == "" || email == "" {
		return "", "", errors.New(`commit author unknown: set --author "Name <mail>", GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL, or git's user.name and user.email; the audit log names the author of a change`)
	}
	return name, email, nil
}

// ReplaceFile replaces a file atomically and keeps its mode.
func ReplaceFile(path string, content []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, content, info.Mode().Perm()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
