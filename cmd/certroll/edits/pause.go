package edits

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"certroll/spec/edit"
)

// DisableCommand turns renewal off.
func (a *Commands) DisableCommand() *cobra.Command {
	var until string
	c := &cobra.Command{
		Use:   "disable NAME --reason TEXT",
		Short: "Turn the renewal of a certificate off, in the config repo",
		Long: `Turn the renewal of a certificate off by writing renewal { auto = false, ... } into
its block. certroll then neither renews nor reissues it; its secret in Vault stays.
Set an end with --until: without one, every plan warns.` + ofForEach + howEdited,
		Args: cobra.ExactArgs(1),
	}
	f := a.editFlags(c)
	c.Flags().StringVar(&until, "until", "", "last day without renewal (2026-12-31), or the time when renewal starts again (RFC 3339)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return a.pause(cmd, f, change{"disable", args, func(e *edit.Editor) error {
			if err := e.Disable(args[0], f.reason, until); err != nil {
				return err
			}
			if end := e.Spec().Certificate(args[0]).Renewal.Until; !end.IsZero() && end.Before(time.Now()) {
				return fmt.Errorf("--until %s is in the past: the renewal would stay on", until)
			}
			return nil
		}})
	}
	return c
}

// EnableCommand turns renewal on again.
func (a *Commands) EnableCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "enable NAME --reason TEXT",
		Short: "Turn the renewal of a certificate on again, in the config repo",
		Long: `Turn the renewal of a certificate on again: certroll removes auto, reason and until
from its renewal block, or sets auto = true if a defaults block turns it off.` + ofForEach + howEdited,
		Args: cobra.ExactArgs(1),
	}
	f := a.editFlags(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return a.pause(cmd, f, change{"enable", args, func(e *edit.Editor) error { return e.Enable(args[0]) }})
	}
	return c
}

func (a *Commands) pause(cmd *cobra.Command, f *editFlags, c change) error {
	if err := a.checkEdit(f); err != nil {
		return err
	}
	s, err := a.LoadSettings()
	if err != nil {
		return err
	}
	return a.revise(cmd.Context(), s, f, c)
}
