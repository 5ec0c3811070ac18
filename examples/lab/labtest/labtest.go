// Package labtest starts the lab's servers for a test and ends them with it.
//
// A test that needs a server is skipped under -short, and fails where the
// server's program is missing: an integration test that skips itself in
// silence is believed to have passed. When a test fails, the end of the
// server's log is shown with it.
package labtest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"certroll/examples/lab"
)

// Vault starts a Vault dev server.
func Vault(t testing.TB) *lab.Vault {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.Vault, error) { return lab.StartVault(ctx, lab.VaultOptions{}) })
}

// Pebble starts an ACME CA.
func Pebble(t testing.TB, o lab.PebbleOptions) *lab.Pebble {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.Pebble, error) { return lab.StartPebble(ctx, o) })
}

// DNS starts the in-process name server for some zones.
func DNS(t testing.TB, zones ...string) *lab.DNS {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.DNS, error) { return lab.StartDNS(ctx, lab.DNSOptions{Zones: zones}) })
}

// BIND starts named for some zones.
func BIND(t testing.TB, zones ...string) *lab.BIND {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.BIND, error) { return lab.StartBIND(ctx, lab.DNSOptions{Zones: zones}) })
}

// SignedBIND starts named for some zones that it signs (DNSSEC).
func SignedBIND(t testing.TB, zones ...string) *lab.BIND {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.BIND, error) {
		return lab.StartBIND(ctx, lab.DNSOptions{Zones: zones, Signed: true})
	})
}

// Validator starts a resolver that validates DNSSEC.
func Validator(t testing.TB, o lab.ValidatorOptions) *lab.Validator {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.Validator, error) { return lab.StartValidator(ctx, o) })
}

// GitHTTP serves a directory for bare repositories over HTTP.
func GitHTTP(t testing.TB) *lab.GitHTTP {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.GitHTTP, error) { return lab.StartGitHTTP(ctx, t.TempDir()) })
}

// GitSSH serves a directory for bare repositories over SSH.
func GitSSH(t testing.TB) *lab.GitSSH {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.GitSSH, error) { return lab.StartGitSSH(ctx, t.TempDir()) })
}

// Program starts a program that is no server of the lab's own.
func Program(t testing.TB, dir string, env []string, program string, args ...string) *lab.Process {
	t.Helper()
	return started(t, func(context.Context) (*lab.Process, error) { return lab.StartProgram(dir, env, program, args...) })
}

// Addr is a free address on loopback for the length of a test.
func Addr(t testing.TB) string {
	t.Helper()
	addr, release, err := lab.ReserveAddr()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}

type server interface{ Close() error }

func started[S server](t testing.TB, start func(context.Context) (S, error)) S {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a server of the lab; left out under -short")
	}
	s, err := start(t.Context())
	switch {
	case errors.Is(err, lab.ErrMissing):
		t.Fatalf("%v", err)
	case err != nil:
		t.Fatalf("starting the lab: %v", err)
	}
	t.Cleanup(func() {
		if logger, ok := any(s).(interface{ Logs() string }); ok && t.Failed() {
			t.Logf("the server's log ends:\n%s", tail(logger.Logs()))
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing a server of the lab: %v", err)
		}
	})
	return s
}

// tail keeps a failure readable.
func tail(log string) string {
	const keep = 4 << 10
	if len(log) <= keep {
		return log
	}
	_, rest, _ := strings.Cut(log[len(log)-keep:], "\n")
	return rest
}
