package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"certroll/examples/lab"
)

// installation returns a certroll without certroll-dns, under a new prefix.
func installation(t *testing.T) (prefix, certroll string) {
	t.Helper()
	program, err := exec.LookPath("certroll") // installed by testscript
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	prefix = t.TempDir()
	certroll = filepath.Join(prefix, "bin", "certroll")
	writeProgram(t, certroll, string(b))
	return prefix, certroll
}

func writeProgram(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := lab.WriteProgram(path, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

// otherRelease is a certroll-dns of another version.
const otherRelease = `#!/bin/sh
read -r line
echo '{"id":1,"program":"certroll-dns","version":"v0.0.9","protocol":1}'
read -r line
`

// TestDNSProgramIsNotThere: commands that may need a DNS provider first report that certroll-dns is missing or has
// another version, and what to do. They never run a program from the working directory, which may be a checkout of the
// config repo, or from the PATH.
func TestDNSProgramIsNotThere(t *testing.T) {
	t.Parallel()
	prefix, certroll := installation(t)
	checkout, run := t.TempDir(), filepath.Join(t.TempDir(), "run")
	for _, name := range []string{"certroll-dns", "libexec/certroll/certroll-dns", "bin/certroll-dns"} {
		writeProgram(t, filepath.Join(checkout, name), "#!/bin/sh\ntouch "+run+"\n")
	}
	write(t, filepath.Join(checkout, "certroll.hcl"), "repo {\n  url = \"nowhere\"\n}\n")
	link := filepath.Join(checkout, "certroll") // certroll itself may be a symbolic link into its prefix
	if err := os.Symlink(certroll, link); err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(prefix, "bin", "certroll-dns")
	below := filepath.Join(prefix, "libexec", "certroll", "certroll-dns")
	demand := func(program string, want ...string) {
		t.Helper()
		for _, args := range [][]string{{"apply", "-auto-approve"}, {"run"}, {"doctor"}} {
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Dir, cmd.Env = checkout, []string{"PATH=" + checkout, "HOME=" + checkout}
			out, err := cmd.CombinedOutput()
			if err == nil || strings.Count(string(out), "Error: ") != 1 {
				t.Errorf("certroll %q: %v\n%s", args, err, out)
			}
			for _, part := range want {
				if !strings.Contains(string(out), part) {
					t.Errorf("certroll %q does not say %q:\n%s", args, part, out)
				}
			}
		}
	}
	for _, program := range []string{certroll, link} {
		demand(program, "certroll-dns, which runs the DNS providers, is not installed", beside, below, "install")
	}
	writeProgram(t, below, otherRelease)
	demand(certroll, below+" is version v0.0.9", "from the same archive")
	writeProgram(t, beside, strings.ReplaceAll(otherRelease, "v0.0.9", "v0.0.8"))
	demand(link, beside+" is version v0.0.8", "from the same archive")
	if _, err := os.Stat(run); err == nil {
		t.Error("a program of the working directory or of the PATH was run")
	}
}

// TestCIInstallsBoth: every example that installs certroll also installs certroll-dns.
func TestCIInstallsBoth(t *testing.T) {
	installs := regexp.MustCompile(`install -m 755 \S*certroll \S*certroll-dns /usr/local/bin/`)
	for name := range pipelines(t) {
		files, _ := filepath.Glob(filepath.Join(ciExamples, "*", name))
		for _, file := range files {
			if b, err := os.ReadFile(file); err != nil || !installs.Match(b) {
				t.Errorf("%s does not install both programs (%v)", file, err)
			}
		}
		if len(files) != 1 {
			t.Errorf("%s: %q", name, files)
		}
	}
}

// most is the largest number of third-party modules that certroll, the program with the keys, may link.
const most = 70

// TestLinkedModules: certroll links no DNS provider and few modules. The providers' dependencies belong to
// certroll-dns.
func TestLinkedModules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(out)) {
		pkg, module, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(pkg, "github.com/go-acme/lego/v4/providers") || strings.HasPrefix(pkg, "certroll/reconcile/acme/dnschild") {
			t.Errorf("certroll links %s, which belongs to certroll-dns", pkg)
		}
		if module != "" && module != "certroll" && !slices.Contains(modules, module) {
			modules = append(modules, module)
		}
	}
	if len(modules) > most || len(modules) < 20 {
		t.Errorf("certroll links %d modules, want at most %d: %q", len(modules), most, modules)
	}
}
