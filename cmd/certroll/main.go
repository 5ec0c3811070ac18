// Command certroll keeps TLS certificates as a Git repository says they
// should be.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"certroll/cmd/certroll/view"
)

// The exit codes. 2 is "there are changes" for plan -detailed-exitcode, as
// Terraform has it, and "a person is to be woken" for status.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2
	exitPage    = 2
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	return (&app{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}).main(args)
}

// oneSignal is within what time signals count as one: timeout(1) sends its own to
// the program, and then to the group that it is in.
const oneSignal = time.Second

// main is one run of the program; it returns the exit code.
func (a *app) main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(oneSignal, stop) }) // the second one ends the program as it is
	root := a.rootCommand()
	root.SetArgs(oneDash(args))
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintf(a.err, "Error: %s\n", view.Seen(err.Error()))
		return exitError
	}
}

// exitCode ends the program with a code after all has been said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// oneDash lets long flags be written with one dash, as Terraform and Vault
// have them: certroll has no short flags that could be meant.
func oneDash(args []string) []string {
	out := make([]string, 0, len(args))
	for i, a := range args {
		if a == "--" {
			return append(out, args[i:]...)
		}
		if len(a) > 2 && a[0] == '-' && a[1] != '-' && strings.Trim(a[1:2], "abcdefghijklmnopqrstuvwxyz") == "" {
			a = "-" + a
		}
		out = append(out, a)
	}
	return out
}
