package dnsprovider

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"certroll/spec"
	"certroll/spec/credential"
	"certroll/spec/providers"
)

// pool returns a pool of DNS children with short test settings.
func pool(o Options) *Pool {
	o.Timeout, o.Idle, o.Logger = 3*time.Minute, cmp.Or(o.Idle, 30*time.Second), slog.New(slog.DiscardHandler)
	if o.Credential == nil {
		o.Credential = func(_ context.Context, v spec.Value, _ credential.Form) (string, error) { return v.Text, nil }
	}
	return NewPool(o)
}

// pids returns the process IDs of the running children.
func pids(cs *Pool) []int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	var out []int
	for _, ch := range cs.byKey {
		ch.mu.Lock()
		out = append(out, ch.pid)
		ch.mu.Unlock()
	}
	return out
}

func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func onLinux(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc, which is Linux's")
	}
}

// TestChildEnvironment checks that a child's environment holds its account's
// credentials and a few documented variables: nothing of the reconciler's environment,
// and no credentials of another account of the same provider.
func TestChildEnvironment(t *testing.T) {
	onLinux(t)
	t.Setenv("VAULT_TOKEN", fake())
	t.Setenv("CERTROLL_DNS_OTHER", fake())
	t.Setenv("CF_ZONE_API_TOKEN", fake())
	t.Setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
	t.Setenv("NO_PROXY", "127.0.0.1")
	keys := map[string]string{"ONE": fake(), "TWO": fake()}
	c := pool(Options{Command: installed(t), Credential: func(_ context.Context, v spec.Value, _ credential.Form) (string, error) {
		return cmp.Or(keys[v.Name], v.Text), nil
	}})
	defer func() { _ = c.Close() }()
	for reference, key := range keys {
		p, err := c.Open(t.Context(), &spec.DNSAccount{
			Name: reference, Reach: spec.Reach{Anything: true, Ambient: true}, Challenge: spec.DNS01, Provider: "cloudflare",
			Credentials: map[string]spec.Value{"CF_DNS_API_TOKEN": referred(reference), "CLOUDFLARE_TTL": plainValue("120")},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Release()
		got := environment(t, p.child)
		if got["CF_DNS_API_TOKEN"] != key || got["CLOUDFLARE_TTL"] != "120" || got["HTTPS_PROXY"] == "" {
			t.Error("the environment lacks the credentials or the proxy")
		}
		allowed := append([]string{"CF_DNS_API_TOKEN", "CLOUDFLARE_TTL"}, passedOn...)
		for _, name := range slices.Sorted(maps.Keys(got)) {
			if !slices.Contains(allowed, name) {
				t.Errorf("the environment has %s", name)
			}
		}
	}
	if n := len(pids(c)); n != 2 {
		t.Errorf("%d children run, want one for each account", n)
	}
	if v, ok := os.LookupEnv("CF_DNS_API_TOKEN"); ok {
		t.Errorf("the parent's own environment has a credential of %d bytes", len(v))
	}
}

// environment reads the environment that a child was started with.
func environment(t *testing.T, ch *child) map[string]string {
	t.Helper()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", ch.pid))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimRight(string(text), "\x00"), "\x00") {
		k, v, _ := strings.Cut(line, "=")
		got[k] = v
	}
	return got
}

func TestProviderKinds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env                      map[string]string
		oneAtATime, wholeAccount bool
	}{
		"cloudflare": {env: map[string]string{"CF_DNS_API_TOKEN": "x"}},
		"rfc2136":    {env: map[string]string{"DNSUPDATE_NAMESERVER": "127.0.0.1:1"}},
		// The decoder maps dnsupdate to rfc2136, so the pool knows nothing about this
		// code.
		"dnsupdate": {env: map[string]string{"DNSUPDATE_NAMESERVER": "127.0.0.1:1"}, oneAtATime: true},
		"duckdns":   {env: map[string]string{"DUCKDNS_TOKEN": "x"}, oneAtATime: true, wholeAccount: true},
		"hurricane": {env: map[string]string{"HURRICANE_TOKENS": "a.example.com:x"}, oneAtATime: true, wholeAccount: true},
	}
	c := pool(Options{Command: installed(t)})
	defer func() { _ = c.Close() }()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := &spec.DNSAccount{Name: name, Provider: name, Challenge: spec.DNS01, Credentials: map[string]spec.Value{}}
			for k, v := range test.env {
				a.Credentials[k] = plainValue(v)
			}
			p, err := c.Open(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Release()
			if p.OneAtATime() != test.oneAtATime || p.WholeAccount() != test.wholeAccount {
				t.Errorf("got one at a time %v, whole account %v, want %v, %v", p.OneAtATime(), p.WholeAccount(), test.oneAtATime, test.wholeAccount)
			}
		})
	}
}

func TestProviderThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		provider string
		want     string
	}{
		"unknown":             {"no-such-provider", `"no-such-provider" cannot be opened here`},
		"without credentials": {"cloudflare", "credentials information"},
		"runs programs":       {"exec", `"exec" cannot be opened here`},
		"waits for a person":  {"manual", `"manual" cannot be opened here`},
		"no longer kept":      {"azure", `"azure" cannot be opened here`},
	}
	c := pool(Options{Command: installed(t)})
	defer func() { _ = c.Close() }()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := c.Open(t.Context(), &spec.DNSAccount{Name: "a", Provider: test.provider, Challenge: spec.DNS01})
			if e := misconfigured(t, err); !strings.Contains(e.Error(), test.want) {
				t.Errorf("the error lacks %q: %v", test.want, e)
			}
		})
	}
}

// TestChildIsShared checks that all users of an account with the same credentials share
// one child. Other credentials get their own, and a child exits some time after its
// last use.
func TestChildIsShared(t *testing.T) {
	onLinux(t)
	token := fake()
	c := pool(Options{Command: installed(t), Idle: time.Millisecond, Credential: func(context.Context, spec.Value, credential.Form) (string, error) { return token, nil }})
	defer func() { _ = c.Close() }()
	a := &spec.DNSAccount{Name: "duck", Provider: "duckdns", Challenge: spec.DNS01, Credentials: map[string]spec.Value{"DUCKDNS_TOKEN": referred("T")}}
	open := func() *Provider {
		p, err := c.Open(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var users []*Provider
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			p := open()
			mu.Lock()
			defer mu.Unlock()
			users = append(users, p)
		})
	}
	wg.Wait()
	first := pids(c)
	if len(first) != 1 {
		t.Fatalf("%d children run, want 1", len(first))
	}
	token = fake()
	other := open()
	if n := len(pids(c)); n != 2 {
		t.Fatalf("%d children run after a change of the credentials, want 2", n)
	}
	for _, p := range users {
		p.Release()
	}
	comesAbout(t, "the end of the unused child", func() bool { return !alive(first[0]) })
	if n := len(pids(c)); n != 1 {
		t.Errorf("%d children run while one is in use, want 1", n)
	}
	other.Release()
	comesAbout(t, "the end of the other child", func() bool { return len(pids(c)) == 0 })
}

func TestCloseEndsChildren(t *testing.T) {
	onLinux(t)
	c := pool(Options{Command: installed(t)})
	a := &spec.DNSAccount{Name: "duck", Provider: "duckdns", Challenge: spec.DNS01, Credentials: map[string]spec.Value{"DUCKDNS_TOKEN": plainValue("x")}}
	p, err := c.Open(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	pid := pids(c)[0]
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil { // like a Ctrl-C that reaches the whole process group
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Error("a signal meant for the parent ended the child")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the child outlives Close")
	}
	p.Release()
	if _, err := c.Open(t.Context(), a); err == nil {
		t.Error("a closed client starts children")
	}
}

// parentToBeKilled is a process that starts a child and waits for it to end.
func parentToBeKilled(child []string) {
	c := pool(Options{Command: child})
	_, err := c.Open(context.Background(), &spec.DNSAccount{
		Name: "duck", Provider: "duckdns", Challenge: spec.DNS01, Credentials: map[string]spec.Value{"DUCKDNS_TOKEN": plainValue("x")},
	})
	fmt.Println(pids(c)[0], err)
	select {}
}

func TestChildEndsWithItsParent(t *testing.T) {
	onLinux(t)
	parent := exec.Command(os.Args[0], "parent-to-be-killed", installed(t)[0])
	parent.SysProcAttr = childAttributes()
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	line, _ := bufio.NewReader(out).ReadString('\n')
	if _, err := fmt.Sscanf(line, "%d <nil>", &pid); err != nil || !alive(pid) {
		t.Errorf("the parent said %q", line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed, so Wait fails
	comesAbout(t, "the child's end", func() bool { return !alive(pid) })
}

// TestCloseWaitsForNoGrandchild checks that Close does not wait for a program that the
// provider started: it inherits the child's pipes and may outlive it.
func TestCloseWaitsForNoGrandchild(t *testing.T) {
	t.Parallel()
	hold := filepath.Join(t.TempDir(), "hold")
	if err := syscall.Mkfifo(hold, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(hold, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }() // closing the pipe ends the grandchild
	c := pool(Options{Command: []string{"sh", "-c", `cat "$0" & read -r line; echo '{"id": 1, "protocol": 1}'; read -r line`, hold}})
	p, err := c.Open(t.Context(), &spec.DNSAccount{Name: "lab", Challenge: spec.DNS01, Provider: "cloudflare"})
	if err != nil {
		t.Fatal(err)
	}
	p.Release()
	done := make(chan error, 1)
	go func() { done <- c.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("closing waits for the program that the child ran")
	}
}

// TestIdentityIsWithheld checks the environment of a provider without machine_identity:
// credential files and metadata services are disabled.
func TestIdentityIsWithheld(t *testing.T) {
	for _, name := range []string{"HOME=/nonexistent", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true"} {
		if !slices.Contains(withoutIdentity, name) {
			t.Errorf("%s is not set", name)
		}
	}
}

// TestProvidersThatReplace checks that a provider that replaces the whole record set
// serves one challenge at a time, also where lego does not mark it as sequential.
func TestProvidersThatReplace(t *testing.T) {
	for effect, want := range map[providers.TXTEffect]bool{providers.ReplacesTXT: true, providers.DeletesTXT: false, providers.MergesTXT: false, providers.AddsTXT: false} {
		p := &Provider{account: &spec.DNSAccount{Provider: "p"}, Effect: effect}
		if p.OneAtATime() != want || p.WholeAccount() {
			t.Errorf("effect %d: one at a time %v, whole account %v", effect, p.OneAtATime(), p.WholeAccount())
		}
	}
}

// TestMain lets the test binary act as a parent process that a test kills.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "parent-to-be-killed" {
		parentToBeKilled([]string{os.Args[2]})
	}
	os.Exit(m.Run())
}
