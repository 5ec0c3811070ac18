// Package labtest starts the lab's servers for a test and ends them with it.
//
// A test that needs a server is skipped under -short, and fails where the
// server's program is missing: an integration test that skips itself in
// silence is believed to have passed. When a test fails, the end of the
// server's log is shown with it.
//
// `make test` runs with Go, Git and make alone. It sets CERTROLL_LAB_ONLY, which
// skips what needs another program; a skip says which, and `make test` lists them
// at its end. `make integration` runs those, and the rest on a real Vault.
package labtest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"certroll/examples/lab"
)

// OnlyEnv names the environment variable that, where it is not empty, leaves out
// each test that needs more than Go, Git and what `make lab` builds.
const OnlyEnv = "CERTROLL_LAB_ONLY"

// Only tells whether tests that need more are left out. One that can run on a part
// of the lab's own as well as on another program takes the lab's then.
func Only() bool { return os.Getenv(OnlyEnv) != "" }

// Needs skips a test that uses a program beside Go and Git where such tests are
// left out, and fails it where the program is missing.
func Needs(t testing.TB, programs ...string) {
	t.Helper()
	short(t)
	if Only() {
		t.Skipf("needs %s; `make integration` runs it", strings.Join(programs, ", "))
	}
	for _, program := range programs {
		if _, err := lab.Find(program); err != nil {
			t.Fatal(err)
		}
	}
}

// Vault starts the server that CERTROLL_LAB_VAULT chooses. A test that needs
// policies, or an auth method other than token and AppRole, calls RealVault.
func Vault(t testing.TB) *lab.Vault {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.Vault, error) { return lab.StartVault(ctx, lab.VaultOptions{}) })
}

// RealVault starts a server with policies and Vault's auth methods.
func RealVault(t testing.TB) *lab.Vault {
	t.Helper()
	short(t)
	if Only() {
		t.Skip("needs a real Vault; `make integration` runs it")
	}
	v := Vault(t)
	NeedsPolicies(t, v)
	return v
}

// NeedsPolicies leaves out the rest of a test, or fails it, where the server has
// no policies. What is denied can be tested on a real Vault alone.
func NeedsPolicies(t testing.TB, v *lab.Vault) {
	t.Helper()
	switch {
	case !v.Embedded:
	case Only():
		t.Skip("needs policies, and so a real Vault; `make integration` runs it")
	default:
		t.Fatalf("needs policies, and the server is labvault: set %s=vault, and run `make vault` where there is none", lab.VaultEnv)
	}
}

// Token makes a token that lives for an hour and has one policy, written in HCL.
// An embedded server has no policies: there the token may do everything, and that
// the policy suffices is seen by `make integration`.
func Token(t testing.TB, v *lab.Vault, name, rules string) string {
	t.Helper()
	policy := Policy(t, v, name, rules)
	token, err := v.NewToken(t.Context(), "1h", policy)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Policy writes a policy and returns its name, for tokens and roles that are to
// have it; of an embedded server it is "root", the one that there is.
func Policy(t testing.TB, v *lab.Vault, name, rules string) string {
	t.Helper()
	if v.Embedded {
		return "root"
	}
	if err := v.WritePolicy(t.Context(), name, rules); err != nil {
		t.Fatal(err)
	}
	return name
}

// Pebble starts an ACME CA.
func Pebble(t testing.TB, o lab.PebbleOptions) *lab.Pebble {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.Pebble, error) { return lab.StartPebble(ctx, o) })
}

// StepCA starts step-ca, a second real CA: it has a CRL and no renewal information.
func StepCA(t testing.TB, o lab.StepCAOptions) *lab.StepCA {
	t.Helper()
	Needs(t, "step-ca")
	o.Dir = t.TempDir()
	return started(t, func(ctx context.Context) (*lab.StepCA, error) { return lab.StartStepCA(ctx, o) })
}

// DNS starts the in-process name server for some zones.
func DNS(t testing.TB, zones ...string) *lab.DNS {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.DNS, error) { return lab.StartDNS(ctx, lab.DNSOptions{Zones: zones}) })
}

// BIND starts named for some zones.
func BIND(t testing.TB, zones ...string) *lab.BIND {
	t.Helper()
	Needs(t, "named")
	return started(t, func(ctx context.Context) (*lab.BIND, error) { return lab.StartBIND(ctx, lab.DNSOptions{Zones: zones}) })
}

// SignedBIND starts named for some zones that it signs (DNSSEC).
func SignedBIND(t testing.TB, zones ...string) *lab.BIND {
	t.Helper()
	Needs(t, "named")
	return started(t, func(ctx context.Context) (*lab.BIND, error) {
		return lab.StartBIND(ctx, lab.DNSOptions{Zones: zones, Signed: true})
	})
}

// Validator starts a resolver that validates DNSSEC.
func Validator(t testing.TB, o lab.ValidatorOptions) *lab.Validator {
	t.Helper()
	Needs(t, "named")
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
	Needs(t, "sshd")
	return started(t, func(ctx context.Context) (*lab.GitSSH, error) { return lab.StartGitSSH(ctx, t.TempDir()) })
}

// Program starts a program that is no server of the lab's own.
func Program(t testing.TB, dir string, env []string, program string, args ...string) *lab.Process {
	t.Helper()
	return started(t, func(context.Context) (*lab.Process, error) { return lab.StartProgram(dir, env, program, args...) })
}

// DNSProgram is the path of certroll-dns, built from this source, with a few of its
// providers where tests that need more are left out. As a server does, it takes a test out of those that run under -short.
func DNSProgram(t testing.TB) string {
	t.Helper()
	if Only() {
		return built(t, lab.FewProviders)
	}
	return built(t, lab.DNSProgram)
}

// AllProviders skips a test that opens other DNS providers than the few that
// certroll-dns has where it is built for the lab (lab.FewProviders).
func AllProviders(t testing.TB) {
	t.Helper()
	short(t)
	if Only() {
		t.Skip("needs every DNS provider, which take minutes to compile; `make integration` runs it")
	}
}

// Earlier is the path of certroll as an earlier commit of this repository has it.
func Earlier(t testing.TB, commit string) string {
	t.Helper()
	short(t)
	if Only() {
		t.Skip("builds an earlier certroll with every DNS provider; `make integration` runs it")
	}
	return built(t, func(ctx context.Context) (string, error) { return lab.Earlier(ctx, commit) })
}

// BrowserDriver is the path of the program by which tests drive a browser.
func BrowserDriver(t testing.TB) string {
	t.Helper()
	return built(t, lab.BrowserDriver)
}

func built(t testing.TB, build func(context.Context) (string, error)) string {
	t.Helper()
	short(t)
	path, err := build(context.WithoutCancel(t.Context())) // others of this process use it too
	if err != nil {
		t.Fatal(err)
	}
	return path
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

// short skips what starts a server where that is left out.
func short(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a server of the lab; left out under -short")
	}
}

func started[S server](t testing.TB, start func(context.Context) (S, error)) S {
	t.Helper()
	short(t)
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
