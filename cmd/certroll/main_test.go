package main

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"certroll/cmd/certroll/console"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestMain makes the test binary stand in for certroll: under that name, as
// scripts and the DNS child of a tested certroll call it, it is certroll.
func TestMain(m *testing.M) {
	os.Unsetenv("GITHUB_ACTIONS") // a CI that is tested by; tests set it for those that are
	testscript.Main(m, map[string]func(){"certroll": func() { os.Exit(impatient().main(os.Args[1:])) }})
}

// patienceVariable holds the waits within one attempt for the certroll that is
// this test binary: minutes are too long to be tested by.
const patienceVariable = "CERTROLL_TEST_PATIENCE"

// leaseVariable holds how long its lease outlives it.
const leaseVariable = "CERTROLL_TEST_LEASE"

func impatient() *app {
	a := &app{Console: console.Console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}}
	if dir := os.Getenv(teeVariable); dir != "" {
		a.Out, a.Err = tee(dir, a.Out, a.Err)
	}
	for _, text := range strings.Fields(os.Getenv(patienceVariable)) {
		wait, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		a.patience = append(a.patience, wait)
	}
	if text := os.Getenv(leaseVariable); text != "" {
		var err error
		if a.leaseTTL, err = time.ParseDuration(text); err != nil {
			panic(err)
		}
	}
	return a
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, UpdateScripts: *update})
}
