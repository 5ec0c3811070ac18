package console

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// The exit codes. 2 means "there are changes" for plan --detailed-exitcode, as in
// Terraform, and "wake a person" for status. 3 means "could not check", for commands
// whose code 1 is a result.
const (
	ExitOK      = 0
	ExitError   = 1
	ExitChanges = 2
	ExitPage    = 2
	ExitUnseen  = 3
)

// ExitCode is an error that ends the program with a code, after all output.
type ExitCode int

// Error names the code; no user sees it.
func (c ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// ErrShown reports that certroll.hcl or the config repo has errors, which were
// displayed.
var ErrShown = errors.New("the files have mistakes")

// UnseenError reports that a command could not check what it was asked to.
type UnseenError struct{ error }

// Unwrap returns the cause.
func (e *UnseenError) Unwrap() error { return e.error }

// Looking wraps a command whose exit code 1 is a result, so that its failures get code
// 3.
func Looking(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := run(c, args)
		var code ExitCode
		switch {
		case errors.Is(err, ErrShown):
			return ExitCode(ExitUnseen)
		case err == nil || errors.As(err, &code):
			return err
		default:
			return &UnseenError{err}
		}
	}
}
