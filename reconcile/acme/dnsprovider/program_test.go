package dnsprovider

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/acme/dnswire"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

func TestProgramPlaces(t *testing.T) {
	want := []string{"/usr/bin/certroll-dns", "/usr/libexec/certroll/certroll-dns"}
	if got := programPlaces("/usr/bin/certroll"); !slices.Equal(got, want) {
		t.Errorf("it is looked for in %q, want %q", got, want)
	}
}

// script writes a shell script that stands in for certroll-dns.
func script(t *testing.T, body string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), dnswire.Program)
	if err := lab.WriteProgram(path, []byte("#!/bin/sh\n"+body+"\n")); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// says returns a script that answers hello with this version and protocol.
func says(t *testing.T, version string, protocol int) []string {
	return script(t, fmt.Sprintf(`read -r line; echo '{"id":1,"program":"certroll-dns","version":"%s","protocol":%d}'; read -r line`, version, protocol))
}

func TestCheckProgram(t *testing.T) {
	text := script(t, "")
	if err := lab.WriteProgram(text[0], []byte("not a program")); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		child   []string
		version string
		want    []string // parts of the error; empty: success
	}{
		"the same release":      {says(t, "v1.2.3", dnswire.Protocol), "v1.2.3", nil},
		"two builds":            {says(t, "", dnswire.Protocol), "", nil},
		"another release":       {says(t, "v1.2.2", dnswire.Protocol), "v1.2.3", []string{"certroll-dns is version v1.2.2 and this certroll is version v1.2.3", otherProgram}},
		"a build of no release": {says(t, "", dnswire.Protocol), "v1.2.3", []string{"is a build without a version and", otherProgram}},
		"another protocol":      {says(t, "", dnswire.Protocol+1), "", []string{"speaks version 2 of the protocol", otherProgram}},
		"not there":             {[]string{filepath.Join(t.TempDir(), dnswire.Program)}, "", []string{"no such file", otherProgram}},
		"of another machine":    {text, "", []string{"exec format error", otherProgram}},
		"ends with an error":    {script(t, "exit 3"), "", []string{"exit status 3", otherProgram}},
		"says nothing":          {script(t, "read -r line"), "", []string{"does not answer as certroll-dns does"}},
		"says something else":   {script(t, "echo hello; read -r line"), "", []string{"does not answer as certroll-dns does"}},
		"says no end":           {script(t, "while :; do printf aaaaaaaaaaaaaaaa; done"), "", []string{"does not answer", otherProgram}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := CheckProgram(t.Context(), test.child, test.version)
			if len(test.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e := misconfigured(t, err)
			for _, part := range append(test.want, test.child[0]) {
				if !strings.Contains(e.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, e)
				}
			}
		})
	}
}

// TestCheckProgramIsInterrupted checks that the check of a program that never answers
// ends with the caller's context.
func TestCheckProgramIsInterrupted(t *testing.T) {
	hung := script(t, "exec sleep 3600")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := CheckProgram(ctx, hung, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the time", err)
	}
}

func TestRealProgram(t *testing.T) {
	if err := CheckProgram(t.Context(), installed(t), ""); err != nil {
		t.Error(err)
	}
}

// installed returns the command of a real DNS child.
func installed(t testing.TB) []string { return []string{labtest.DNSProgram(t)} }

func plainValue(text string) spec.Value { return spec.Value{Source: spec.Literal, Text: text} }
func referred(name string) spec.Value   { return spec.Value{Source: spec.FromEnv, Name: name} }

// fake returns a unique fake credential.
func fake() string { return "fake-" + rand.Text() }

// misconfigured checks that an error has class config and keeps the order.
func misconfigured(t testing.TB, err error) *problem.Error {
	t.Helper()
	var e *problem.Error
	if !errors.As(err, &e) || ledger.Class(e.Class()) != ledger.ClassConfig || e.OrderGone() {
		t.Fatalf("got the error %v of type %T, want an *Error of class %s and the order kept", err, err, ledger.ClassConfig)
	}
	return e
}

// comesAbout polls for a condition that another process fulfills.
func comesAbout(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s did not come about within a minute", what)
}
