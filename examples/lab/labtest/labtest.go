// Package labtest starts the lab's servers for a test and closes them when the test ends.
//
// A test that needs a server is skipped under -short, and fails if the server's program
// is missing: an integration test that silently skips itself looks like one that passed.
// If a test fails, its output includes the end of the server's log.
//
// `make test` needs only Go, Git and make. It sets CERTROLL_LAB_ONLY, which skips tests
// that need another program. Each skip names the program, and `make test` lists them at
// its end. `make integration` runs these tests, and the others on a real Vault.
package labtest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"certroll/examples/lab"
)

// OnlyEnv names the environment variable that, if not empty, skips each test that needs
// more than Go, Git and the programs of `make lab`.
const OnlyEnv = "CERTROLL_LAB_ONLY"

// Only reports whether such tests are skipped. A test that can use one of the lab's own
// programs or another one then uses the lab's.
func Only() bool { return os.Getenv(OnlyEnv) != "" }

// Needs skips a test that uses other programs than Go and Git if Only is set, and fails
// it if a program is missing.
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

// Vault starts the server that CERTROLL_LAB_VAULT selects. A test that needs policies, or
// an auth method other than token and AppRole, calls RealVault.
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

// NeedsPolicies skips or fails the rest of a test if the server has no policies. Denied
// requests can only be tested on a real Vault.
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

// Token creates a token that is valid for an hour and has one policy, in HCL. On an
// embedded server the token may do everything; `make integration` shows that the policy
// suffices.
func Token(t testing.TB, v *lab.Vault, name, rules string) string {
	t.Helper()
	policy := Policy(t, v, name, rules)
	token, err := v.NewToken(t.Context(), "1h", policy)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Policy writes a policy and returns its name for tokens and roles. For an embedded
// server it returns "root", the only one.
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

// StepCA starts step-ca, a second real CA, with a CRL and without renewal information.
func StepCA(t testing.TB, o lab.StepCAOptions) *lab.StepCA {
	t.Helper()
	Needs(t, "step-ca")
	o.Dir = t.TempDir()
	return started(t, func(ctx context.Context) (*lab.StepCA, error) { return lab.StartStepCA(ctx, o) })
}

// DNS starts the in-process name server for the zones.
func DNS(t testing.TB, zones ...string) *lab.DNS {
	t.Helper()
	return started(t, func(ctx context.Context) (*lab.DNS, error) { return lab.StartDNS(ctx, lab.DNSOptions{Zones: zones}) })
}

// BIND starts named for the zones.
func BIND(t testing.TB, zones ...string) *lab.BIND {
	t.Helper()
	Needs(t, "named")
	return started(t, func(ctx context.Context) (*lab.BIND, error) { return lab.StartBIND(ctx, lab.DNSOptions{Zones: zones}) })
}

// SignedBIND starts named for the zones and signs them (DNSSEC).
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

// Program starts a program that is not one of the lab's servers.
func Program(t testing.TB, dir string, env []string, program string, args ...string) *lab.Process {
	t.Helper()
	return started(t, func(context.Context) (*lab.Process, error) { return lab.StartProgram(dir, env, program, args...) })
}

// DNSProgram returns the path of certroll-dns, built from the working tree; if Only is
// set, with only a few providers. It skips the test under -short, like a server.
func DNSProgram(t testing.TB) string {
	t.Helper()
	if Only() {
		return built(t, lab.FewProviders)
	}
	return built(t, lab.DNSProgram)
}

// AllProviders skips a test that needs other DNS providers than lab.FewProviders has.
func AllProviders(t testing.TB) {
	t.Helper()
	short(t)
	if Only() {
		t.Skip("needs every DNS provider, which take minutes to compile; `make integration` runs it")
	}
}

// Earlier returns the path of certroll built from an earlier commit.
func Earlier(t testing.TB, commit string) string {
	t.Helper()
	short(t)
	if Only() {
		t.Skip("builds an earlier certroll with every DNS provider; `make integration` runs it")
	}
	return built(t, func(ctx context.Context) (string, error) { return lab.Earlier(ctx, commit) })
}

// BrowserDriver returns the path of the program that drives a browser for tests.
func BrowserDriver(t testing.TB) string {
	t.Helper()
	return built(t, lab.BrowserDriver)
}

func built(t testing.TB, build func(context.Context) (string, error)) string {
	t.Helper()
	short(t)
	path, err := build(context.WithoutCancel(t.Context())) // other tests of this process use the program too
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Addr reserves a free address on loopback for the length of a test.
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

// short skips tests that start a server under -short.
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

// tail cuts a log to its last 4 KiB.
func tail(log string) string {
	const keep = 4 << 10
	if len(log) <= keep {
		return log
	}
	_, rest, _ := strings.Cut(log[len(log)-keep:], "\n")
	return rest
}
