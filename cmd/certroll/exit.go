package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// The exit codes. 2 is "there are changes" for plan --detailed-exitcode, as
// Terraform has it, and "a person is to be woken" for status. 3 is "could not
// look", of the commands for which 1 is an answer.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2
	exitPage    = 2
	exitUnseen  = 3
)

// exitCode ends the program with a code after all has been said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// errShown says that certroll.hcl or the config repo has mistakes, which were shown.
var errShown = errors.New("the files have mistakes")

// unseenError says that a command could not look at what it was asked about.
type unseenError struct{ error }

func (e *unseenError) Unwrap() error { return e.error }

// looking is a command for which exit code 1 is an answer: what keeps it from
// looking has a code of its own.
func looking(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := run(c, args)
		var code exitCode
		switch {
		case errors.Is(err, errShown):
			return exitCode(exitUnseen)
		case err == nil || errors.As(err, &code):
			return err
		default:
			return &unseenError{err}
		}
	}
}
