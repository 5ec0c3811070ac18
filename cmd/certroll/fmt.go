package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/edits"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/spec"
)

func (a *app) fmtCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "fmt [DIR]",
		Short: "Format the HCL files of a directory in place",
		Long: `Format all HCL files of a directory (default: the current one) in place and list
the changed ones. With --check, write nothing and exit 1 if a file would change.
Files that do not parse stay as they are.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.format(dirArg(args), check) },
	}
	c.Flags().BoolVar(&check, "check", false, "change nothing; exit 1 if a file would change")
	return c
}

func (a *app) format(dir string, check bool) error {
	rev, err := gitsync.ReadDir(dir)
	if err != nil {
		return err
	}
	changed, bad := 0, false
	for _, f := range rev.Files {
		formatted, diags := spec.Format(f.Bytes, f.Path)
		if diags.HasErrors() {
			view.Diagnostics(a.Err, a.Palette(), []spec.File{{Path: f.Path, Bytes: f.Bytes}}, diags)
			bad = true
			continue
		}
		if bytes.Equal(formatted, f.Bytes) {
			continue
		}
		changed++
		fmt.Fprintln(a.Out, f.Path)
		if !check {
			if err := edits.ReplaceFile(filepath.Join(dir, filepath.FromSlash(f.Path)), formatted); err != nil {
				return err
			}
		}
	}
	if bad || (check && changed > 0) {
		return console.ExitCode(console.ExitError)
	}
	return nil
}
