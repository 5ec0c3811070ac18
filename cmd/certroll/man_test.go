package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/manual"
)

// everyCommand calls a function with each visible command.
func everyCommand(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() && below.Name() != "help" {
			everyCommand(below, do)
		}
	}
}

func tested() *cobra.Command {
	return (&app{Console: console.Console{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}}).rootCommand()
}

// TestExamples: certroll accepts every command in the examples, and every command without subcommands has an example.
func TestExamples(t *testing.T) {
	left := map[string]bool{}
	for path := range examples {
		left[path] = true
	}
	everyCommand(tested(), func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), "certroll ")
		if delete(left, path); c.Example == "" && !strings.Contains(path, " ") && path != "completion" {
			t.Errorf("certroll %s has no example", path)
		}
		for _, args := range commands(c.Example) {
			if err := taken(args); err != nil {
				t.Errorf("certroll %s: the example %q: %v", path, args, err)
			}
		}
	})
	for path := range left {
		t.Errorf("there is no command %q that an example is for", path)
	}
}

// TestManPages: each command has a page with all of its flags, no text line is read as a roff request, and the pages
// are reproducible.
func TestManPages(t *testing.T) {
	dir, root := t.TempDir(), tested()
	date := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	if err := manual.Write(root, dir, "v1.2.3", date); err != nil {
		t.Fatal(err)
	}
	pages := 0
	request := regexp.MustCompile(`^\.(TH|SH|PP|TP|RS|RE|nf|fi|B|BR)( |$)`)
	everyCommand(root, func(c *cobra.Command) {
		pages++
		b, err := os.ReadFile(filepath.Join(dir, manual.Name(c)+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		page := string(b)
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !request.MatchString(strings.TrimSpace(line)) {
				t.Errorf("%s: this line is no request: %s", manual.Name(c), line)
			}
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(page, "\n.B "+strings.ReplaceAll("--"+f.Name, "-", `\-`)) {
				t.Errorf("%s: the flag --%s is missing", manual.Name(c), f.Name)
			}
		})
		if !strings.HasPrefix(page, `.TH "`+strings.ToUpper(manual.Name(c))+`" 1 "2026-11-25"`) {
			t.Errorf("%s begins with %s", manual.Name(c), page[:60])
		}
	})
	if files, _ := filepath.Glob(filepath.Join(dir, "*.1")); len(files) != pages || pages < 15 {
		t.Errorf("%d files for %d commands", len(files), pages)
	}
	for _, topic := range []string{"certroll.hcl.5", "certroll-environment.7", "certroll-exit-codes.7"} {
		if b, err := os.ReadFile(filepath.Join(dir, topic)); err != nil || !strings.Contains(string(b), "\n.nf\n") || strings.Contains(string(b), "OPTIONS") {
			t.Errorf("%s: %v\n%s", topic, err, b)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "certroll-notify-child.1")); err == nil {
		t.Error("a command that is hidden has a page")
	}
}

// TestManSections: pages of other sections are in their own directory next to man1, where man looks for them.
func TestManSections(t *testing.T) {
	dir := t.TempDir()
	if err := manual.Write(tested(), filepath.Join(dir, "man1"), "v1.2.3", time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"man1/certroll-plan.1", "man5/certroll.hcl.5", "man7/certroll-exit-codes.7"} {
		if _, err := os.Stat(filepath.Join(dir, page)); err != nil {
			t.Error(err)
		}
	}
}
