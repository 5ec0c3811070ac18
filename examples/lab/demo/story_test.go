package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

// asDemo names the variable that makes the test's own program run the demo.
const asDemo = "CERTROLL_TEST_AS_DEMO"

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// story returns the demo's output on a server, without a terminal. It fails the test
// if the demo fails.
func story(t *testing.T, certroll, server string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-certroll", certroll, "-config", "../../quickstart/certs")
	cmd.Env = append(os.Environ(), asDemo+"=1", lab.VaultEnv+"="+server, "HOME="+t.TempDir())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("the demo on %s: %v\n%s", server, err, out.String())
	}
	return out.String()
}

// programs builds certroll and certroll-dns as make demo does, and returns the path
// of the first.
func programs(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the demo; left out under -short")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "labproviders", "-o", dir+"/", "certroll/cmd/certroll", "certroll/cmd/certroll-dns")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building certroll: %v\n%s", err, out)
	}
	return filepath.Join(dir, "certroll")
}

// TestStory: the demo succeeds, shows each plan once, and without a terminal sums the
// progress up in one line.
func TestStory(t *testing.T) {
	told := story(t, programs(t), lab.Embedded)
	for text, times := range map[string]int{
		"-- 1 of 6: ": 1, "-- 6 of 6: ": 1, "-- what to try next ": 1, "make demo KEEP=1": 1, "In order: 9 events": 1,
		"Plan: 5 to issue.": 1, "(the plan, as above)": 3, "s of progress: ": 4, "\r": 0, "making a fresh": 0,
	} {
		if n := strings.Count(told, text); n != times {
			t.Errorf("%q is there %d times, want %d:\n%s", text, n, times, told)
		}
	}
}

// TestSameStory: the demo prints the same with a real Vault and with labvault.
func TestSameStory(t *testing.T) {
	v := labtest.RealVault(t)
	certroll := programs(t)
	vault, own := plain(story(t, certroll, v.Program)), plain(story(t, certroll, lab.Embedded))
	if vault != own {
		t.Errorf("on %s:\n%s\non labvault:\n%s", v.Program, vault, own)
	}
}

// plain removes from the output whatever differs between runs: the server, times,
// addresses, serials, commits, and the certificate that was issued last.
func plain(told string) string {
	for _, r := range []struct{ pattern, by string }{
		{`(?m)^(Vault is .*|\{"schema":.*|.* of progress: .*)$`, "..."},
		{`\d{4}-\d\d-\d\d(T[\d:.]+Z)?`, "DATE"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`/my-order/\S+`, "ORDER"},
		{`\b[0-9a-f]{7,64}\b`, "HEX"},
		{`(api|legacy|mail|shop\.\w+|wildcard)\.json +\| +\d+ \++`, "$1.json"},
	} {
		told = regexp.MustCompile(r.pattern).ReplaceAllString(told, r.by)
	}
	return told
}
