package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
)

// runner parses lines like the runner of GitHub Actions: actions/runner's ActionCommand.TryParseV2 and TryParse, and
// the stop-commands of ActionCommandManager.
type runner struct {
	stopped string   // the token that resumes commands; "": commands are active
	took    []string // the executed commands with their values
}

var runnerLines = regexp.MustCompile(`\r\n|\n|\r`)

func (r *runner) read(output string) {
	for _, line := range runnerLines.Split(output, -1) {
		command, rest := r.parse(line)
		switch {
		case command == "":
		case r.stopped != "":
			if command == r.stopped {
				r.stopped = ""
			}
		case command == "stop-commands":
			r.stopped = rest
		default:
			r.took = append(r.took, command+": "+rest)
		}
	}
}

func (r *runner) parse(line string) (command, rest string) {
	if text, ok := strings.CutPrefix(strings.TrimLeftFunc(line, unicode.IsSpace), "::"); ok {
		if command, rest, ok = strings.Cut(text, "::"); ok {
			command, _, _ = strings.Cut(command, " ")
			return command, rest
		}
	}
	_, text, ok := strings.Cut(line, "##[")
	if !ok {
		return "", ""
	}
	command, rest, _ = strings.Cut(text, "]")
	return command, rest
}

// hostileChange returns a checkout whose branch topic contains text that imitates runner commands, as a fork's pull
// request may.
func hostileChange(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	long := strings.Repeat("x", 90)
	files := map[string]string{
		"ca.hcl": `issuer "le" {
  directory = "https://acme-v02.api.letsencrypt.org/directory"
  email     = "a@example.com"
  terms_of_service_agreed = true
}
dns "d" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = env("CERTROLL_DNS_TOKEN") }
}
`,
		"##[stop-commands]f.hcl": `certificate "f" {
  domains = ["f.example.com"]
  issuer  = issuer.le
  dns     = dns.d
  key { rotation = "never" }
  vault { path = "tls/` + long + `/::error::SPOOFED-path" }
}
`,
		"##vso[task.complete result=Succeeded]g.hcl": `certificate "g" {
  domains = ["g.example.com"]
  issuer  = issuer.le
  dns     = dns.d
  rotate  = "` + long + ` ::stop-commands::` + long + ` ::error::SPOOFED-` + long + ` ##[add-mask]certroll` + "\u202e\u2066" + `"
  key { rotation = "never" }
}
`,
	}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=Lab", "-c", "user.email=lab@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	git("init", "-q", "-b", "main")
	if err := os.Mkdir(filepath.Join(dir, "certs"), 0o755); err != nil {
		t.Fatal(err)
	}
	git("commit", "-q", "--allow-empty", "-m", "begin")
	writeFiles := func(only func(string) bool) {
		for name, text := range files {
			if only(name) {
				if err := os.WriteFile(filepath.Join(dir, "certs", name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		git("add", ".")
		git("commit", "-q", "-m", "change")
	}
	writeFiles(func(name string) bool { return name == "ca.hcl" })
	git("checkout", "-q", "-b", "topic")
	writeFiles(func(name string) bool { return name != "ca.hcl" })
	return dir
}

// inActions runs certroll like a step of a workflow.
func inActions(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	a := &app{Console: console.Console{In: strings.NewReader(""), Out: &out, Err: &err, Getenv: func(name string) string {
		return map[string]string{"GITHUB_ACTIONS": "true"}[name]
	}}}
	return a.main(args), out.String(), err.String()
}

// TestForkForgesNoAnnotation: the text of a pull request can neither create an annotation nor suppress certroll's own,
// in whatever order the runner reads the two streams.
func TestForkForgesNoAnnotation(t *testing.T) {
	dir := hostileChange(t)
	for _, args := range [][]string{
		{"plan", "-offline", "-config-dir", filepath.Join(dir, "certs"), "-base", "main", "-github"},
		{"plan", "-offline", "-config-dir", filepath.Join(dir, "certs"), "-base", "main"},
		{"plan", "-offline", "-config-dir", filepath.Join(dir, "certs")},
		{"plan", "-offline", "-config-dir", filepath.Join(dir, "certs"), "-base", "main", "-markdown"},
		{"plan", "-offline", "-config-dir", filepath.Join(dir, "certs"), "-base", "main", "-json"},
		{"validate", filepath.Join(dir, "certs")},
		{"plan", "-offline", "-config-dir", filepath.Join(dir, "certs"), "-base", "::error::no such ref\n::error::SPOOFED"},
	} {
		t.Run(strings.Join(args[:1], " ")+" "+args[len(args)-1], func(t *testing.T) {
			_, stdout, stderr := inActions(args...)
			annotations := slices.Contains(args, "-github")
			for _, output := range []string{stdout + stderr, stderr + stdout} {
				var r runner
				r.read(output)
				if r.stopped != "" {
					t.Errorf("the runner takes no command any more:\n%s", output)
				}
				for _, command := range r.took {
					if !annotations || !strings.HasPrefix(command, "warning: ") && !strings.HasPrefix(command, "notice: ") {
						t.Errorf("the runner took %q from\n%s", command, output)
					}
				}
				if annotations && len(r.took) < 3 {
					t.Errorf("the runner took no more than %q from\n%s", r.took, output)
				}
			}
			mustNotAct(t, stdout+stderr)
		})
	}
}

// mustNotAct checks the guarantees of text.Writer independently of its code, after it removes certroll's own commands.
func mustNotAct(t *testing.T, output string) {
	t.Helper()
	if !strings.Contains(output, "SPOOFED") && !strings.Contains(output, "stop-commands") {
		t.Errorf("nothing of the hostile text is there, so this shows nothing:\n%s", output)
	}
	for _, r := range output {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("the output has %U:\n%q", r, output)
		}
	}
	if strings.Contains(output, "##[") || strings.Contains(output, "##vso[") {
		t.Errorf("a command stands in the output:\n%s", output)
	}
}

// TestNoAnnotationIsFenced: with GITHUB_ACTIONS set, output for people is enclosed in stop-commands tokens on both
// streams, and output for programs is not. Each run uses a new token.
func TestNoAnnotationIsFenced(t *testing.T) {
	certs := filepath.Join(hostileChange(t), "certs")
	fenced := regexp.MustCompile(`(?s)^::stop-commands::([A-Z2-7]{26})\n.*\n::([A-Z2-7]{26})::\n$`)
	_, stdout, stderr := inActions("plan", "-offline", "-config-dir", certs)
	tokens := map[string]bool{}
	for _, output := range []string{stdout, stderr} {
		m := fenced.FindStringSubmatch(output)
		if m == nil || m[1] != m[2] {
			t.Fatalf("this does not stand between tokens:\n%s", output)
		}
		tokens[m[1]] = true
	}
	if len(tokens) != 1 {
		t.Errorf("the streams have tokens of their own, and the runner one state for both: %v", tokens)
	}
	_, again, _ := inActions("plan", "-offline", "-config-dir", certs)
	if m := fenced.FindStringSubmatch(again); m == nil || tokens[m[1]] {
		t.Errorf("another run has the same token, or none:\n%s", again)
	}
	code, stdout, _ := inActions("plan", "-offline", "-config-dir", certs, "-json")
	if code != console.ExitOK || !json.Valid([]byte(stdout)) {
		t.Errorf("this is no JSON alone:\n%s", stdout)
	}
	if _, stdout, _ = inActions("version"); strings.Contains(stdout, "::") {
		t.Errorf("a script that reads the version gets\n%s", stdout)
	}
	if code, _, stderr = inActions("plan", "-config", filepath.Join(certs, "none.hcl")); code != console.ExitError || !fenced.MatchString(stderr) {
		t.Errorf("an error does not stand between tokens:\n%s", stderr)
	}
}

// TestOutputIntoAFileIsNotFenced: a runner does not parse files, and the tokens would appear in a pull request's
// comment.
func TestOutputIntoAFileIsNotFenced(t *testing.T) {
	certs := filepath.Join(hostileChange(t), "certs")
	f, err := os.Create(filepath.Join(t.TempDir(), "plan.txt"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{Console: console.Console{In: strings.NewReader(""), Out: f, Err: f, Getenv: func(string) string { return "true" }}}
	a.Getenv = func(name string) string { return map[string]string{"GITHUB_ACTIONS": "true"}[name] }
	if code := a.main([]string{"plan", "-offline", "-config-dir", certs}); code != console.ExitOK {
		t.Errorf("exit code %d", code)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "::stop-commands::") || !strings.Contains(string(b), "Plan:") {
		t.Errorf("the file has\n%s", b)
	}
}

// TestLogsActOnNothing: no text in a log of either format can act as a command.
func TestLogsActOnNothing(t *testing.T) {
	const words = "a\u202eb\x1b[31m ##[error] \u009b\n::error::x"
	for _, format := range []string{"text", "json"} {
		var out, err bytes.Buffer
		a := &app{Console: console.Console{Out: &out, Err: &err, Getenv: func(string) string { return "" }}}
		end := a.Guard()
		log, logErr := (&settings.Log{Format: format}).Logger(a.Err)
		if logErr != nil {
			t.Fatal(logErr)
		}
		log.Info("told", "message", words, slog.Group("group", "certificate", words))
		end()
		var r runner
		r.read(err.String())
		if len(r.took) > 0 {
			t.Errorf("%s: the runner took %q from %q", format, r.took, err.String())
		}
		for _, c := range err.String() {
			if c != '\n' && unicode.In(c, unicode.Cc, unicode.Cf) {
				t.Errorf("%s: the log has %U: %q", format, c, err.String())
			}
		}
		if format == "json" && logLines(t, err.String())[0].text("message") != words {
			t.Errorf("the JSON says something else: %q", err.String())
		}
	}
}
