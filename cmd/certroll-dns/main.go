// Command certroll-dns runs one DNS provider for certroll, which starts it
// with the credentials of one DNS account and ends it. It is a program of its
// own so that the process with the Vault token and the private keys links none
// of the providers' client libraries.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"certroll/reconcile/acme/dnschild"
	"certroll/spec/memory"

	"github.com/go-acme/lego/v4/challenge"
)

// release is set by the build, as certroll's is.
var release = ""

const usage = `certroll-dns runs the DNS providers for certroll, which starts it by itself.
Install it beside certroll, or in libexec/certroll of the same prefix; see
docs/install.md. The only argument that it takes is --version.
`

func main() {
	switch {
	case len(os.Args) == 2 && (os.Args[1] == "-version" || os.Args[1] == "--version"):
		fmt.Fprintln(os.Stdout, "certroll-dns", orDevel(release))
		return
	case len(os.Args) > 1 || isTerminal(os.Stdin):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := memory.NoCoreDumps(); err != nil {
		fmt.Fprintf(os.Stderr, "Warning: credentials may come into a core dump: %s\n", err)
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve ignores the signals that a terminal or a service manager sends to all
// processes of a group: the parent needs its children to remove their records
// before it ends. What a provider prints goes to standard error, because
// standard output carries the protocol.
func serve() error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if proxy := os.Getenv(dnschild.ProxyVariable); proxy != "" {
		if err := dnschild.Confine(proxy); err != nil {
			return err
		}
	}
	out := os.Stdout
	os.Stdout = os.Stderr
	return dnschild.Serve(context.Background(), os.Stdin, out, dnschild.Options{Open: open, Version: release})
}

//go:generate sh -c "go run gen_providers.go > providers.new && mv providers.new providers.go"

// maker makes a provider from the environment.
type maker func() (challenge.Provider, error)

// by is the maker of a provider of any type.
func by[P challenge.Provider](construct func() (P, error)) maker {
	return func() (challenge.Provider, error) {
		p, err := construct()
		if err != nil {
			return nil, err // and no P that is nil, which is a Provider that is not
		}
		return p, nil
	}
}

// open makes the provider of a code. Those that package providers refuses, which
// run programs or read files, are not even linked.
func open(code string) (challenge.Provider, error) {
	construct := providers[code]
	if construct == nil {
		return nil, fmt.Errorf("the provider %q cannot be opened here: certroll-dns has none of this name", code)
	}
	p, err := construct()
	if err == nil && (code == "rfc2136" || code == "dnsupdate") {
		return dnschild.RecordUpdates(p), nil
	}
	return p, err
}

func orDevel(version string) string {
	if version == "" {
		return "devel"
	}
	return version
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
