package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestMain makes the test binary stand in for certroll: under that name, as
// scripts and the DNS child of a tested certroll call it, it is certroll.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"certroll": func() { os.Exit(run(os.Args[1:])) }})
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, UpdateScripts: *update})
}
