package main

import (
	"fmt"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
	"certroll/gitsync"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [DIR]",
		Short: "Check the HCL files of a directory, offline",
		Long: `Check all HCL files of a directory (default: the current one) and show every
mistake at once. Needs neither Vault nor a CA nor the network. References are
checked against what certroll.hcl allows, where there is one. Exits 1 where there is
a mistake.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			rev, err := gitsync.ReadDir(dirArg(args))
			if err != nil {
				return err
			}
			found := rev.Files
			rev.Files = withoutSettings(rev.Files, s)
			files := rev.Files
			if len(files) == 0 {
				fmt.Fprintf(a.err, "Warning: there is no .hcl file in %s or below it%s.\n", dirArg(args), besides(s, found))
			}
			desired, all, diags := decodeFiles(cmd.Context(), s, files)
			view.Diagnostics(a.err, a.palette(), all, append(diags, unreadWarnings(rev)...))
			if diags.HasErrors() {
				return exitCode(exitError)
			}
			fmt.Fprintf(a.out, "Valid: %s in %s.\n", count(len(desired.Certificates), "certificate"), count(len(files), "file"))
			return nil
		},
	}
}

// withoutSettings leaves certroll.hcl out where it lies among the files: it is
// the reconciler's own.
func withoutSettings(files []gitsync.File, s *settings) []gitsync.File {
	if s.file == nil {
		return files
	}
	kept := files[:0:0]
	for _, f := range files {
		if path.Base(f.Path) != filepath.Base(s.file.Path) || string(f.Bytes) != string(s.file.Bytes) {
			kept = append(kept, f)
		}
	}
	return kept
}

// besides says which file is not counted, where it is there.
func besides(s *settings, found []gitsync.File) string {
	if len(found) == 0 {
		return ""
	}
	return " but " + filepath.Base(s.file.Path) + ", which is certroll's own"
}

func dirArg(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
