// Command certroll-dns runs one DNS provider for certroll, which starts it with the
// credentials of one DNS account and ends it. It is a separate program, so that the process
// with the Vault token and the private keys links none of the providers' client libraries.
// A process per DNS account is also needed because lego's providers read their credentials
// from the environment, which a process has once.
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

// release is the version, set by the build with -ldflags as in certroll.
var release = ""

const usage = `certroll-dns runs the DNS providers for certroll, which starts it by itself.
Install it beside certroll, or in libexec/certroll of the same prefix; see
docs/install.md. It accepts only the argument --version.
`

func main() {
	switch {
	case len(os.Args) == 2 && (os.Args[1] == "-version" || os.Args[1] == "--version"):
		fmt.Fprintln(os.Stdout, "certroll-dns", orDevel(release))
		return
	// A terminal on standard input means that a person started the program: print the usage
	// instead of waiting for the protocol.
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

// serve ignores the signals that a terminal or a service manager sends to every process of
// a group. On such a signal certroll still needs its children, to remove their DNS records
// before it ends. serve returns when standard input ends. Standard output carries the
// protocol, so a provider's prints go to standard error.
func serve() error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Confine before any provider runs, so that none can connect around the proxy.
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

// maker makes a provider that reads its settings from the environment.
type maker func() (challenge.Provider, error)

// by converts a provider's constructor into a maker.
func by[P challenge.Provider](construct func() (P, error)) maker {
	return func() (challenge.Provider, error) {
		p, err := construct()
		if err != nil {
			return nil, err // not p: a nil *T in an interface is not nil
		}
		return p, nil
	}
}

// open makes the provider with a code. certroll-dns does not even link the providers that
// package providers refuses, because they run programs or read files.
func open(code string) (challenge.Provider, error) {
	construct := providers[code]
	if construct == nil {
		return nil, fmt.Errorf("the provider %q cannot be opened here: certroll-dns has none of this name", code)
	}
	p, err := construct()
	// lego deletes the whole TXT set before it adds a record; RecordUpdates leaves the
	// other records alone.
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
