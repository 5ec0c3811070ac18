// Command certroll issues and renews the TLS certificates that a Git repository
// declares.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"certroll/cmd/certroll/console"
	"certroll/spec/memory"
	"certroll/spec/text"
)

func main() {
	if err := memory.NoCoreDumps(); err != nil {
		fmt.Fprintf(os.Stderr, "Warning: private keys may come into a core dump: %s\n", err)
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	return (&app{Console: console.Console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}}).main(args)
}

// oneSignal is the time within which several signals count as one: timeout(1) sends its
// signal to the program and then to its process group.
const oneSignal = time.Second

// main is one run of the program; it returns the exit code.
func (a *app) main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(oneSignal, stop) }) // a second signal ends the program at once
	defer a.Guard()()
	root := a.rootCommand()
	root.SetArgs(oneDash(args))
	err := root.ExecuteContext(ctx)
	var code console.ExitCode
	var unseen *console.UnseenError
	switch {
	case err == nil:
		return console.ExitOK
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, console.ErrShown):
		return console.ExitError
	}
	fmt.Fprintf(a.Err, "Error: %s\n", text.Lines(err.Error()+unitAdvice(err.Error())))
	if errors.As(err, &unseen) {
		return console.ExitUnseen
	}
	return console.ExitError
}

// credentialsOf matches the directory of a systemd unit's credentials, with the unit's
// name.
var credentialsOf = regexp.MustCompile(`/run/credentials/([A-Za-z0-9@._-]+)/`)

// unitAdvice explains a missing credential of a systemd unit that is not running:
// systemd creates the directory of LoadCredential= at the unit's start and removes it at
// the end (systemd.exec(5)).
func unitAdvice(message string) string {
	m := credentialsOf.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	if _, err := os.Stat(m[0]); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return fmt.Sprintf("; %s exists only while %s runs: start it (systemctl start %[2]s), or name files that stay", strings.TrimSuffix(m[0], "/"), m[1])
}

// oneDash accepts long flags with one dash, as Terraform and Vault do: certroll has no
// short flags to confuse them with.
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
