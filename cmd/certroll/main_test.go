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

// TestMain makes the test binary act as certroll when it is called by that name, by scripts and for the DNS child
// process.
func TestMain(m *testing.M) {
	os.Unsetenv("GITHUB_ACTIONS") // set if CI runs these tests; tests of CI behavior set it themselves
	testscript.Main(m, map[string]func(){"certroll": func() { os.Exit(impatient().main(os.Args[1:])) }})
}

// patienceVariable sets the waits within one attempt of a test binary that acts as certroll; the real ones last
// minutes.
const patienceVariable = "CERTROLL_TEST_PATIENCE"

// leaseVariable sets the lifetime of its lease.
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
