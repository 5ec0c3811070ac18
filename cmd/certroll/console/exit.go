package console

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// The exit codes. 2 is "there are changes" for plan --detailed-exitcode, as
// Terraform has it, and "a person is to be woken" for status. 3 is "could not
// look", of the commands for which 1 is an answer.
const (
	ExitOK      = 0
	ExitError   = 1
	ExitChanges = 2
	ExitPage    = 2
	ExitUnseen  = 3
)

// ExitCode ends the program with a code after all has been said.
type ExitCode int

// Error names the code; nobody sees it.
func (c ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// ErrShown says that certroll.hcl or the config repo has mistakes, which were shown.
var ErrShown = errors.New("the files have mistakes")

// UnseenError says that a command could not look at what it was asked about.
type UnseenError struct{ error }

// Unwrap is what kept the command from looking.
func (e *UnseenError) Unwrap() error { return e.error }

// Looking is a command for which exit code 1 is an answer: what keeps it from
// looking has a code of its own.
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
