package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"go.yaml.in/yaml/v3"

	"certroll/cmd/certroll/settings"
	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

const (
	installs = "../../examples/install/"
	nonroot  = "65532"
)

func installFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(installs + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// installed loads the examples' settings as certroll does.
func installed(t *testing.T, file string) *settings.Settings {
	t.Helper()
	s, _, diags, err := settings.Load(file)
	if err != nil || diags.HasErrors() {
		t.Fatalf("%s: %v %v", file, err, diags)
	}
	return s
}

// within fails if a path from the settings is outside all of the directories.
func within(t *testing.T, dirs []string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if !slices.ContainsFunc(dirs, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }) {
			t.Errorf("%q is in none of %q", p, dirs)
		}
	}
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestInstallService: systemd accepts the unit and rates its sandbox as safe. The settings name the credentials that
// the unit loads.
func TestInstallService(t *testing.T) {
	unit := installFile(t, "certroll.service")
	s := installed(t, installs+"certroll.hcl")
	var credentials []string
	for _, m := range regexp.MustCompile(`(?m)^LoadCredential=([\w-]+):`).FindAllStringSubmatch(unit, -1) {
		credentials = append(credentials, "/run/credentials/certroll.service/"+m[1])
	}
	slices.Sort(credentials)
	if named := []string{s.Repo.Auth.TokenFile, s.Vault.Auth.SecretIDFile}; !slices.Equal(credentials, named) {
		t.Errorf("the settings name %q, the unit hands over %q", named, credentials)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/(certroll .*)$`).FindStringSubmatch(unit)
	if start == nil {
		t.Fatal("there is no ExecStart")
	}
	if err := taken(strings.Fields(start[1])[1:]); err != nil {
		t.Error(err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("systemd is a program of Linux")
	}
	t.Run("systemd-analyze", func(t *testing.T) { analyzed(t, unit) })
}

// analyzed runs systemd-analyze on a unit.
func analyzed(t *testing.T, unit string) {
	labtest.Needs(t, "systemd-analyze")
	analyze, err := lab.Find("systemd-analyze")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// systemd checks that the program exists, so the test substitutes another one.
	file := filepath.Join(t.TempDir(), "certroll.service")
	write(t, file, strings.Replace(unit, "ExecStart=/usr/local/bin/certroll", "ExecStart="+program, 1))
	for _, args := range [][]string{{"verify", "--man=no", file}, {"security", "--offline=true", "--threshold=20", file}} {
		out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}

// deployment is the part of a Deployment that the tests check.
type deployment struct {
	Spec struct {
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				ServiceAccountName           string `yaml:"serviceAccountName"`
				AutomountServiceAccountToken bool   `yaml:"automountServiceAccountToken"`
				SecurityContext              struct {
					RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
					RunAsUser      string                `yaml:"runAsUser"`
					SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
				} `yaml:"securityContext"`
				Containers []struct {
					Args  []string
					Ports []struct {
						Name          string
						ContainerPort string `yaml:"containerPort"`
					}
					SecurityContext struct {
						AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
						ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
						Capabilities             struct{ Drop, Add []string }
					} `yaml:"securityContext"`
					LivenessProbe  httpProbe `yaml:"livenessProbe"`
					ReadinessProbe httpProbe `yaml:"readinessProbe"`
					VolumeMounts   []struct {
						Name      string
						MountPath string `yaml:"mountPath"`
						ReadOnly  bool   `yaml:"readOnly"`
					} `yaml:"volumeMounts"`
				}
				Volumes []map[string]any
			}
		}
	}
}

type httpProbe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// TestInstallKubernetes: the manifests match each other and the settings, and meet the Pod Security Standard
// "restricted".
func TestInstallKubernetes(t *testing.T) {
	const dir = installs + "kubernetes/"
	s, all := installed(t, dir+"certroll.hcl"), kustomized(t)
	b, err := yaml.Marshal(all["Deployment"])
	if err != nil {
		t.Fatal(err)
	}
	var d deployment
	if err := yaml.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	if sc := pod.SecurityContext; !sc.RunAsNonRoot || sc.RunAsUser != nonroot || sc.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("the pod is not shut in: %+v", sc)
	}
	if sc := c.SecurityContext; sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation || !sc.ReadOnlyRootFilesystem ||
		!slices.Equal(sc.Capabilities.Drop, []string{"ALL"}) || len(sc.Capabilities.Add) > 0 {
		t.Errorf("the container is not shut in: %+v", sc)
	}
	if pod.AutomountServiceAccountToken || pod.ServiceAccountName != all["ServiceAccount"].text(t, "metadata", "name") {
		t.Errorf("the service account %q", pod.ServiceAccountName)
	}
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("the probes %+v %+v", c.LivenessProbe, c.ReadinessProbe)
	}
	port := portOf(t, *s.Listen)
	if p := c.Ports[0]; p.ContainerPort != port || p.Name != c.LivenessProbe.HTTPGet.Port || p.Name != c.ReadinessProbe.HTTPGet.Port {
		t.Errorf("the port %+v, certroll listens on %s", p, port)
	}
	if in := all["NetworkPolicy"].at(t, "spec", "ingress", "ports", "port"); fmt.Sprint(in) != port {
		t.Errorf("the policy lets in at %v", in)
	}
	if selected := all["NetworkPolicy"].text(t, "spec", "podSelector", "matchLabels", "app.kubernetes.io/name"); selected != d.Spec.Template.Metadata.Labels["app.kubernetes.io/name"] {
		t.Errorf("the policy is for %s", selected)
	}
	var read, written, volumes []string
	for _, v := range pod.Volumes {
		volumes = append(volumes, v["name"].(string))
	}
	for _, m := range c.VolumeMounts {
		if m.ReadOnly {
			read = append(read, m.MountPath)
		} else {
			written = append(written, m.MountPath)
		}
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	within(t, read, s.Repo.Auth.TokenFile, s.ListenTokenFile, s.Vault.Auth.JWTFile)
	within(t, written, s.StateDir, "/tmp")
	started(t, c.Args, read)
}

// kustomized returns the manifests in kustomization.yaml, which must list all files.
func kustomized(t *testing.T) map[string]manifest {
	t.Helper()
	k := manifests(t, installs+"kubernetes/kustomization.yaml")["Kustomization"]
	files, _ := filepath.Glob(installs + "kubernetes/*.yaml")
	all, named := map[string]manifest{}, k.at(t, "resources").([]any)
	for _, name := range named {
		for kind, m := range manifests(t, installs+"kubernetes/"+name.(string)) {
			all[kind] = m
		}
	}
	if len(files) != len(named)+1 {
		t.Errorf("kustomization.yaml names %q of %q", named, files)
	}
	if generated := k.at(t, "configMapGenerator", "files").([]any); len(generated) != 1 || generated[0] != "certroll.hcl" {
		t.Errorf("the settings are generated of %q", generated)
	}
	return all
}

// started requires arguments that certroll accepts, with the settings file in one of the directories.
func started(t *testing.T, args, dirs []string) {
	t.Helper()
	if err := taken(args); err != nil {
		t.Errorf("certroll %q: %v", args, err)
	}
	if len(args) != 3 || args[0] != "run" || path.Base(args[2]) != "certroll.hcl" {
		t.Fatalf("certroll is started with %q", args)
	}
	within(t, dirs, args[2])
}

// TestInstallNomad: the job is valid HCL, certroll accepts its settings, and it provides every file that they name.
func TestInstallNomad(t *testing.T) {
	f, diags := hclsyntax.ParseConfig([]byte(installFile(t, "certroll.nomad.hcl")), "certroll.nomad.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	group := below(t, f.Body.(*hclsyntax.Body), "job", "group")
	task := below(t, group, "task")
	var files []string
	settingsFile := filepath.Join(t.TempDir(), "certroll.hcl")
	for _, b := range task.Blocks {
		switch b.Type {
		case "template":
			to := setting(t, b.Body, "destination").AsString()
			files = append(files, "/"+to)
			if to == "local/certroll.hcl" {
				write(t, settingsFile, setting(t, b.Body, "data").AsString())
			} else if setting(t, b.Body, "perms").AsString() != "0400" || setting(t, b.Body, "uid").AsBigFloat().String() != nonroot {
				t.Errorf("%s may be read by others", to)
			}
		case "identity":
			files = append(files, "/secrets/nomad_"+setting(t, b.Body, "name").AsString()+".jwt")
		}
	}
	s := installed(t, settingsFile)
	for _, name := range []string{s.Repo.Auth.TokenFile, s.ListenTokenFile, s.Vault.Auth.JWTFile} {
		if !slices.Contains(files, name) {
			t.Errorf("nothing writes %s; there is %q", name, files)
		}
	}
	within(t, []string{"/alloc/data"}, s.StateDir)
	within(t, []string{"/alloc/tmp"}, setting(t, below(t, task, "env"), "TMPDIR").AsString())
	var args []string
	config := below(t, task, "config")
	for _, v := range setting(t, config, "args").AsValueSlice() {
		args = append(args, v.AsString())
	}
	started(t, args, []string{"/local"})
	if !setting(t, config, "readonly_rootfs").True() || setting(t, task, "user").AsString() != nonroot+":"+nonroot {
		t.Error("the task is not shut in")
	}
	if to := setting(t, below(t, group, "network", "port"), "to").AsBigFloat().String(); to != portOf(t, *s.Listen) {
		t.Errorf("the port is %s, certroll listens on %s", to, *s.Listen)
	}
	var asked []string
	for _, b := range below(t, group, "service").Blocks {
		asked = append(asked, setting(t, b.Body, "path").AsString())
	}
	if !slices.Equal(asked, []string{"/healthz", "/readyz"}) {
		t.Errorf("the checks ask %q", asked)
	}
}

// below returns the first block of each type along a path.
func below(t *testing.T, body *hclsyntax.Body, types ...string) *hclsyntax.Body {
	t.Helper()
	for _, kind := range types {
		i := slices.IndexFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == kind })
		if i < 0 {
			t.Fatalf("there is no block %s of %q", kind, types)
		}
		body = body.Blocks[i].Body
	}
	return body
}

func setting(t *testing.T, body *hclsyntax.Body, name string) cty.Value {
	t.Helper()
	a := body.Attributes[name]
	if a == nil {
		t.Fatalf("%s is not set", name)
	}
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return v
}

// TestInstallImage: the image contains all packages, is built with the Go version in go.mod, and runs as the user in
// the manifests.
func TestInstallImage(t *testing.T) {
	image := installFile(t, "Dockerfile")
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))[1]
	for _, line := range []string{
		"ARG GO_IMAGE=docker.io/library/golang:" + release, "USER " + nonroot + ":" + nonroot, `ENTRYPOINT ["/usr/local/bin/certroll"]`, `CMD ["run"]`,
		"COPY spec ./spec", "COPY vault ./vault", "COPY gitsync ./gitsync", "COPY reconcile ./reconcile", "COPY cmd ./cmd", "COPY examples ./examples",
		"EXPOSE " + portOf(t, settings.DefaultListen), "COPY --from=build /out/bin/ /usr/local/bin/",
	} {
		if !strings.Contains(image, "\n"+line+"\n") {
			t.Errorf("the Dockerfile lacks %s", line)
		}
	}
	if !strings.Contains(image, " -o /out/bin/ ./cmd/certroll ./cmd/certroll-dns\n") {
		t.Error("the Dockerfile does not build certroll and certroll-dns into one directory")
	}
}

// TestInstallArchive: a release's archive contains both programs and every file that its documentation links to.
func TestInstallArchive(t *testing.T) {
	script, err := os.ReadFile("../../.ci/release")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`git archive HEAD .* examples/\{([^}]*)\}`).FindSubmatch(script)
	if m == nil {
		t.Fatal("the script puts no examples into the archive")
	}
	if !strings.Contains(string(script), "\nprograms=(certroll certroll-dns)\n") {
		t.Error("the script does not build both programs")
	}
	in := strings.Split(string(m[1]), ",")
	pages, _ := filepath.Glob("../../docs/*.md")
	for _, page := range append(pages, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\((?:\.\./)?examples/([\w-]+)`).FindAllSubmatch(b, -1) {
			if !slices.Contains(in, string(link[1])) {
				t.Errorf("%s leads to examples/%s", page, link[1])
			}
		}
	}
}

// TestInstallCompose: the service is sandboxed and mounts the files that its settings name.
func TestInstallCompose(t *testing.T) {
	s := installed(t, installs+"compose/certroll.hcl")
	var doc struct {
		Services map[string]struct {
			User     string
			ReadOnly bool     `yaml:"read_only"`
			CapDrop  []string `yaml:"cap_drop"`
			Secrets  []string
			Volumes  []string
		}
		Secrets map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(installFile(t, "compose/compose.yaml")), &doc); err != nil {
		t.Fatal(err)
	}
	c := doc.Services["certroll"]
	if c.User != nonroot+":"+nonroot || !c.ReadOnly || !slices.Equal(c.CapDrop, []string{"ALL"}) {
		t.Errorf("it is not shut in: %+v", c)
	}
	var handed []string
	for _, name := range c.Secrets {
		handed = append(handed, "/run/secrets/"+name)
		if doc.Secrets[name].File == "" {
			t.Errorf("the secret %s has no file", name)
		}
	}
	for _, at := range []string{s.Repo.Auth.TokenFile, s.Vault.Auth.SecretIDFile} {
		if !slices.Contains(handed, at) {
			t.Errorf("%s is not handed to it: %q", at, handed)
		}
	}
	if !slices.Contains(c.Volumes, "./certroll.hcl:/etc/certroll/certroll.hcl:ro") || !slices.Contains(c.Volumes, "state:/var/lib/certroll") {
		t.Errorf("%q", c.Volumes)
	}
}
