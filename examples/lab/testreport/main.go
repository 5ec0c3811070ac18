// Command testreport runs go test and prints one line for each package, the failures, and
// at the end the skipped tests with their reasons: a test that silently skips itself
// looks like one that passed.
//
// Usage: testreport [go test's arguments]
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	code, err := run(os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "testreport: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// run returns go test's exit code. Ctrl-C reaches go test directly; testreport ends after
// it.
func run(out io.Writer, args []string) (int, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...) //nolint:noctx // the terminal's signals end it
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("starting go test: %w", err)
	}
	r := newReport(out)
	err = r.read(events)
	var exit *exec.ExitError
	if end := cmd.Wait(); end != nil && !errors.As(end, &exit) {
		err = errors.Join(err, end)
	}
	r.end()
	return cmd.ProcessState.ExitCode(), err
}

// read processes go test's events (go doc test2json) until they end. It prints other
// lines, which come from the go command.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				r.take(e)
			} else {
				fmt.Fprintf(r.out, "%s", line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading go test's output: %w", err)
		}
	}
}
