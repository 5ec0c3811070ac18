package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestOwnWorkflows: certroll's own workflows pin actions to commits, keep no credential in the checkout, use no secret,
// and have read-only permissions, except for the job that publishes a release.
func TestOwnWorkflows(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.y*ml")
	if err != nil || len(files) < 2 {
		t.Fatalf("workflows: %q, %v", files, err)
	}
	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)uses:\s*(.*)$`).FindAllStringSubmatch(string(b), -1) {
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s: %s is not pinned to a commit, with its version beside it", file, m[1])
			}
		}
		if strings.Contains(string(b), "secrets.") || strings.Contains(string(b), "pull_request_target") {
			t.Errorf("%s knows a secret, or runs what a fork proposes with rights", file)
		}
		var doc struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Permissions map[string]string
				Steps       []struct {
					Uses string
					With map[string]string
				}
			}
		}
		if err := yaml.Unmarshal(b, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(doc.Permissions) != 1 || doc.Permissions["contents"] != "read" {
			t.Errorf("%s may do %v", file, doc.Permissions)
		}
		for name, job := range doc.Jobs {
			publishes := filepath.Base(file) == "release.yml" && len(job.Permissions) == 1 && job.Permissions["contents"] == "write"
			if len(job.Permissions) > 0 && !publishes {
				t.Errorf("%s: the job %s may do %v", file, name, job.Permissions)
			}
			for _, step := range job.Steps {
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" {
					t.Errorf("%s: the job %s leaves its token in the checkout", file, name)
				}
			}
		}
	}
}

// TestVulncheck: `make vulncheck` fails on a vulnerability and on any other error of govulncheck. If only the database
// is unreachable, it prints that and succeeds.
func TestVulncheck(t *testing.T) {
	tests := map[string]struct {
		says, env string
		code      int
		want      int
		output    string
	}{
		"nothing known": {says: "No vulnerabilities found.", output: "No vulnerabilities found."},
		"vulnerability": {says: "Vulnerability #1: GO-2026-0001", code: 3, want: 3, output: "GO-2026-0001"},
		"out of reach": {says: "govulncheck: fetching vulnerabilities: Get https://vuln.go.dev: no such host", code: 1,
			output: "NOT RUN: the database https://vuln.go.dev cannot be reached"},
		"out of reach of a workflow": {says: "govulncheck: fetching vulnerabilities: Get https://vuln.go.dev: no such host", env: "GITHUB_ACTIONS=true", code: 1,
			output: "\n::warning::vulncheck: NOT RUN"},
		"a mirror out of reach": {says: "govulncheck: fetching vulnerabilities: Get http://mirror.test: no such host", env: "GOVULNDB=http://mirror.test", code: 1,
			output: "the database http://mirror.test cannot"},
		"source that does not build": {says: "govulncheck: loading packages: cannot find module", code: 1, want: 1, output: "loading packages"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := filepath.Join(t.TempDir(), "govulncheck") // a fake, because the real one needs a remote database
			writeProgram(t, fake, "#!/bin/sh\necho \"$SAYS\" >&2\nexit $CODE\n")
			cmd := exec.CommandContext(t.Context(), "../../.ci/vulncheck")
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOVULNCHECK=" + fake, "SAYS=" + test.says, "CODE=" + string(rune('0'+test.code)), test.env}
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != test.want || !strings.Contains(string(out), test.output) {
				t.Errorf("it exits %d, want %d with %q, and says:\n%s", got, test.want, test.output, out)
			}
		})
	}
}

// newestVersion returns the newest version in CHANGELOG.md.
func newestVersion(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^## \[([0-9][^]]*)\]( - \d{4}-\d\d-\d\d)$`).FindSubmatch(b)
	if m == nil {
		t.Fatal("CHANGELOG.md has no version with a date")
	}
	return string(m[1])
}

// TestReleaseIsWhatIsInstalled: docs and examples name archives and images of the newest version, with the names that
// make release gives them.
func TestReleaseIsWhatIsInstalled(t *testing.T) {
	newest := newestVersion(t)
	named := regexp.MustCompile(`certroll_(\d+\.\d+\.\d+)_|certroll:v(\d+\.\d+\.\d+)|(?:VERSION=|newTag: )v(\d+\.\d+\.\d+)`)
	for _, file := range []string{
		"docs/install.md", "examples/install/Dockerfile", "examples/install/compose/compose.yaml", "examples/install/certroll.nomad.hcl",
		"examples/install/kubernetes/kustomization.yaml", "examples/ci/gitlab/gitlab-ci.yml", "examples/ci/github/check.yml", "examples/ci/github/apply.yml",
	} {
		b, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		all := named.FindAllStringSubmatch(string(b), -1)
		if len(all) == 0 {
			t.Errorf("%s names no version", file)
		}
		for _, m := range all {
			if got := m[1] + m[2] + m[3]; got != newest {
				t.Errorf("%s names %s, and the newest version is %s", file, m[0], newest)
			}
		}
	}
	release, err := os.ReadFile("../../.ci/release")
	if err != nil || !strings.Contains(string(release), "name=certroll_${VERSION#v}_${GOOS}_${GOARCH}") {
		t.Errorf("make release names its archives otherwise than docs/install.md (%v)", err)
	}
}

// TestVersionOfACommit: a build has the newest version in the changelog if nothing is unreleased, and otherwise the
// commit's hash. A tag takes precedence.
func TestVersionOfACommit(t *testing.T) {
	dir := t.TempDir()
	script, err := os.ReadFile("../../.ci/version")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, ".ci", "version"), string(script))
	do := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git := func(args ...string) {
		t.Helper()
		do("git", append([]string{"-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)...)
	}
	git("init", "--quiet")
	for _, tc := range []struct{ changelog, tag, want string }{
		{"## [Unreleased]\n\n## [0.3.0] - 2026-01-01\n\n- New.\n", "", `^v0\.3\.0$`},
		{"## [Unreleased]\n\n### Added\n\n- More.\n\n## [0.3.0] - 2026-01-01\n\n- New.\n", "", `^[0-9a-f]{12}$`},
		{"## [Unreleased]\n\n## [0.4.0] - 2026-02-01\n\n- More.\n\n## [0.3.0] - 2026-01-01\n", "v0.4.0", `^v0\.4\.0$`},
	} {
		write(t, filepath.Join(dir, "CHANGELOG.md"), tc.changelog)
		git("add", "--all")
		git("commit", "--quiet", "--message", "Change")
		if tc.tag != "" {
			git("tag", tc.tag)
		}
		if got := do("bash", ".ci/version"); !regexp.MustCompile(tc.want).MatchString(got) {
			t.Errorf("%s is %q, want %s", tc.changelog, got, tc.want)
		}
	}
}
