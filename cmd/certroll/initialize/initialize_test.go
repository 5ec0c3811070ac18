package initialize

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/decode"
	"certroll/spec/providers"
)

var update = flag.Bool("update", false, "write the goldens anew")

// cases returns answers given by flags, named after what is special in them.
func cases() map[string]*Answers {
	base := func(dns DNS) *Answers {
		return &Answers{
			Repo:  Repo{URL: "https://git.example.com/platform/certificates.git", TokenFile: "git-token", Username: "certroll"},
			Vault: Vault{Address: "https://vault.example.com:8200"}, CA: CA{Directory: "letsencrypt", AgreeTOS: true}, DNS: dns, Domain: "app.example.com",
		}
	}
	all := map[string]*Answers{
		"token":   base(DNS{Provider: "cloudflare"}),
		"keys":    base(DNS{Provider: "ovh", Variables: map[string]string{"OVH_ENDPOINT": "ovh-eu", "OVH_APPLICATION_KEY": "an-id", "OVH_CONSUMER_KEY": "env:CERTROLL_DNS_OVH"}}),
		"address": base(DNS{Provider: "rfc2136", Variables: map[string]string{"RFC2136_NAMESERVER": "10.0.0.53:53", "RFC2136_TSIG_KEY": "certroll", "RFC2136_TSIG_ALGORITHM": "hmac-sha256"}, Nameservers: []string{"10.0.0.53:53"}}),
		"http":    base(DNS{Provider: HTTP01}),
	}
	github := base(DNS{Provider: "cloudflare", Variables: map[string]string{"CF_DNS_API_TOKEN": "vault:kv/prod/dns/cf#token"}})
	github.Repo = Repo{URL: "git@github.com:example/certificates.git", Directory: "tls/certs", Ref: "trunk", SSHKeyFile: "/etc/certroll/key"}
	github.Vault = Vault{Address: "https://vault.example.com:8200", Mount: "kv/prod/", Prefix: "acme/certroll", Namespace: "team", Auth: "jwt", AuthMount: "github", JWTEnv: "CERTROLL_JWT"}
	github.CA = CA{Directory: "zerossl", Email: "certs@example.com", EABKeyID: "kid", AgreeTOS: true}
	all["github"] = github
	gitlab := base(DNS{Provider: "digitalocean"})
	gitlab.Repo.URL, gitlab.Team, gitlab.Domain = "https://gitlab.com/example/certificates.git", "platform", "*.example.com"
	all["gitlab"] = gitlab
	return all
}

// everything returns all generated files as one text.
func everything(t *testing.T, a *Answers) string {
	t.Helper()
	if open := a.Questions(); len(open) > 0 {
		t.Fatalf("open: %+v", open)
	}
	a.Fill()
	if wrong := a.Check(); len(wrong) > 0 {
		t.Fatalf("wrong: %+v", wrong)
	}
	policy, err := a.Policy()
	if err != nil {
		t.Fatal(err)
	}
	pipeline, err := a.Pipeline()
	if err != nil {
		t.Fatal(err)
	}
	files := slices.Concat([]File{{"certroll.hcl", a.Settings()}, {PolicyFile, policy}}, a.Declared(), pipeline)
	var b strings.Builder
	for _, f := range files {
		if !strings.HasSuffix(f.Path, ".yml") { // the pipelines are in examples/ci
			fmt.Fprintf(&b, "==> %s <==\n%s\n", f.Path, f.Bytes)
			continue
		}
		fmt.Fprintf(&b, "==> %s <==\n", f.Path)
	}
	return b.String() + "==> commands <==\n" + strings.Join(a.Commands(), "\n") + "\n"
}

// TestGoldens compares the generated files, for providers with a token, several keys, an address, and no credentials.
// All of them must decode.
func TestGoldens(t *testing.T) {
	t.Parallel()
	for name, a := range cases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := everything(t, a)
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what is made now (-update writes it):\n%s", golden, got)
			}
			decodes(t, a)
		})
	}
}

// decodes fails if certroll rejects a file. Of certroll.hcl it checks the blocks that package decode reads.
func decodes(t *testing.T, a *Answers) {
	t.Helper()
	settings := string(a.Settings())
	from := strings.Index(settings, "issuer ")
	var files []spec.File
	for _, f := range a.Declared() {
		files = append(files, spec.File{Path: strings.TrimPrefix(f.Path, a.Repo.Directory+"/"), Bytes: f.Bytes})
	}
	s, diags := decode.Files(t.Context(), files, spec.Trust{Known: true, Mount: a.Vault.Mount, State: a.Vault.Prefix, Files: []spec.File{{Path: "certroll.hcl", Bytes: []byte(settings[from:])}}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if len(s.Certificates) != 1 || len(s.DNS) != 1 || len(s.Issuers) != 1 {
		t.Errorf("%d certificates, %d DNS accounts, %d issuers", len(s.Certificates), len(s.DNS), len(s.Issuers))
	}
}

// TestPipelines: the pipeline is the one in the examples, with this repository's directory. It contains apply only if
// it can log in to Vault.
func TestPipelines(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		files            []string
		has, doesNotHave []string
	}{
		"token":  {nil, nil, nil},
		"github": {[]string{".github/workflows/certroll-check.yml", ".github/workflows/certroll-comment.yml", ".github/workflows/certroll-apply.yml"}, []string{"change/tls/certs", `branches: ["trunk"]`, "refs/heads/trunk", "AUDIENCE: https://vault.example.com\n"}, []string{"change/certs", "refs/heads/main"}},
		"gitlab": {[]string{".gitlab-ci.yml"}, []string{"stages: [check, comment]\n", "-config-dir certs "}, []string{"\napply:", "CERTROLL_JWT"}},
	} {
		a := cases()[name]
		a.Fill()
		files, err := a.Pipeline()
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		var all strings.Builder
		for _, f := range files {
			paths = append(paths, f.Path)
			all.Write(f.Bytes)
		}
		if !slices.Equal(paths, want.files) {
			t.Errorf("%s: %q, want %q", name, paths, want.files)
		}
		for _, text := range want.has {
			if !strings.Contains(all.String(), text) {
				t.Errorf("%s lacks %q", name, text)
			}
		}
		for _, text := range want.doesNotHave {
			if strings.Contains(all.String(), text) {
				t.Errorf("%s has %q", name, text)
			}
		}
	}
}

// TestEveryProvider: for each permitted provider the generated files decode, and no question asks for a secret.
func TestEveryProvider(t *testing.T) {
	t.Parallel()
	values := map[string]string{"OVH_ENDPOINT": "ovh-eu"}
	for _, code := range providers.Codes() {
		a := cases()["token"]
		a.DNS = DNS{Provider: code}
		for _, q := range a.Questions() {
			name := strings.TrimPrefix(q.Flag, "dns-var ")
			if providers.IsSecret(name) {
				t.Errorf("%s: asks for the secret %s", code, name)
			}
			value := "a-value"
			if slices.Contains(providers.AddressVariables()[code], name) {
				value = "https://dns.example.com"
			}
			if v := values[name]; v != "" {
				value = v
			}
			if err := a.Set(q.Flag, value); err != nil {
				t.Fatal(err)
			}
		}
		a.Fill()
		if wrong := a.Check(); len(wrong) > 0 {
			t.Errorf("%s: %+v", code, wrong)
			continue
		}
		decodes(t, a)
	}
}

// TestWrongAnswers: each wrong answer is reported under its flag. The error does not repeat the value, which may be a
// secret.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-Zx9q"
	for name, tc := range map[string]struct {
		flag  string
		spoil func(*Answers)
	}{
		"a password in the URL":          {"repo-url", func(a *Answers) { a.Repo.URL = "https://me:" + secret + "@git.example.com/x.git" }},
		"a URL that does not parse":      {"repo-url", func(a *Answers) { a.Repo.URL = "https://%zz" + secret }},
		"a directory above":              {"repo-dir", func(a *Answers) { a.Repo.Directory = "../" + secret }},
		"the root as the directory":      {"repo-dir", func(a *Answers) { a.Repo.Directory = "." }},
		"a token for a variable":         {"git-token-env", func(a *Answers) { a.Repo.TokenEnv = secret }},
		"a token in Vault's address":     {"vault-address", func(a *Answers) { a.Vault.Address = "https://" + secret + "@vault.example.com" }},
		"a mount that breaks the policy": {"vault-mount", func(a *Answers) { a.Vault.Mount = "secret\" {" + secret }},
		"a role of two lines":            {"vault-role", func(a *Answers) { a.Vault.Role = "a\n" + secret }},
		"an unknown login":               {"vault-auth", func(a *Answers) { a.Vault.Auth = secret }},
		"a CA by HTTP":                   {"ca", func(a *Answers) { a.CA.Directory = "http://" + secret }},
		"a private key for a bundle":     {"ca-bundle", func(a *Answers) { a.CA.Bundle = "-----BEGIN PRIVATE KEY-----" + secret }},
		"an HMAC itself":                 {"eab-hmac", func(a *Answers) { a.CA.EABHMAC = secret }},
		"a provider that there is not":   {"dns", func(a *Answers) { a.DNS = DNS{Provider: secret} }},
		"a provider that runs programs":  {"dns", func(a *Answers) { a.DNS = DNS{Provider: "exec"} }},
		"a token itself":                 {"dns-var CF_DNS_API_TOKEN", func(a *Answers) { a.DNS.Variables = map[string]string{"CF_DNS_API_TOKEN": secret} }},
		"another mount": {"dns-var CF_DNS_API_TOKEN", func(a *Answers) {
			a.DNS.Variables = map[string]string{"CF_DNS_API_TOKEN": "vault:other/" + secret + "#x"}
		}},
		"a variable that it has not": {"dns-var OVH_ENDPOINT", func(a *Answers) { a.DNS.Variables = map[string]string{"OVH_ENDPOINT": secret} }},
		"a secret for a plain variable": {"dns-var CF_API_EMAIL", func(a *Answers) {
			a.DNS.Variables = map[string]string{"CF_API_EMAIL": "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5"}
		}},
		"a team with a slash": {"team", func(a *Answers) { a.Team = "a/" + secret }},
		"two names":           {"domain", func(a *Answers) { a.Domain = "a.example.com," + secret }},
		"another pipeline":    {"ci", func(a *Answers) { a.CI = secret }},
	} {
		a := cases()["token"]
		tc.spoil(a)
		a.Fill()
		wrong := a.Check()
		if !slices.ContainsFunc(wrong, func(p Problem) bool { return p.Flag == tc.flag }) {
			t.Errorf("%s: %+v, want -%s", name, wrong, tc.flag)
		}
		if text := fmt.Sprint(wrong); strings.Contains(text, secret) || strings.Contains(text, "ghp_") {
			t.Errorf("%s: the value is repeated: %s", name, text)
		}
	}
}

// TestServices: each service mounts every file that its settings name, under that path. No generated file contains a
// secret.
func TestServices(t *testing.T) {
	t.Parallel()
	files := map[string]string{Systemd: "/run/credentials/certroll.service/", Kubernetes: "/run/secrets/", Compose: "/run/secrets/"}
	for kind, dir := range files {
		for name, spoil := range map[string]func(*Answers){
			"https": func(*Answers) {},
			"ssh": func(a *Answers) {
				a.Repo = Repo{URL: "ssh://git@git.example.com/certs.git", SSHKeyFile: "/home/me/.ssh/id_ed25519"}
			},
			"files": func(a *Answers) {
				a.Vault.CACert = "/home/me/vault.pem"
				a.DNS.Variables = map[string]string{"CF_DNS_API_TOKEN": "file:/home/me/cf"}
			},
		} {
			a := cases()["token"]
			spoil(a)
			a.Fill()
			if wrong := slices.Concat(a.Check(), a.CheckService(kind)); len(wrong) > 0 {
				t.Fatalf("%s, %s: %+v", kind, name, wrong)
			}
			made, commands, err := a.Service(kind)
			if err != nil {
				t.Fatal(err)
			}
			everything, settings := strings.Join(commands, "\n"), ""
			for _, f := range made {
				everything += "\n" + string(f.Bytes)
				if f.Path == kind+"/certroll.hcl" {
					settings = string(f.Bytes)
				}
			}
			if strings.Contains(settings, "/home/me") {
				t.Errorf("%s, %s: the settings name a file of this machine:\n%s", kind, name, settings)
			}
			named := regexp.MustCompile(regexp.QuoteMeta(dir)+`[a-z/_-]+`).FindAllString(settings, -1)
			if len(named) < 2 {
				t.Errorf("%s, %s: %q:\n%s", kind, name, named, settings)
			}
			for _, at := range named {
				if handed := path.Base(at); !strings.Contains(strings.ReplaceAll(everything, settings, ""), handed) {
					t.Errorf("%s, %s: nothing hands over %s:\n%s", kind, name, handed, everything)
				}
			}
		}
	}
	a := cases()["token"]
	a.Repo.TokenFile, a.Repo.TokenEnv = "", "GIT_TOKEN"
	a.Fill()
	_, commands, err := a.Service(Systemd)
	want := []string{
		`(umask 077; printf %s "$GIT_TOKEN" > git-token)`,
		"install -D -m 644 -t /etc/systemd/system systemd/certroll.service", "install -D -m 644 -t /etc/certroll systemd/certroll.hcl",
		"install -m 600 git-token /etc/certroll/git-token", "install -m 600 vault-secret-id /etc/certroll/vault-secret-id",
		"systemctl daemon-reload && systemctl enable --now certroll",
	}
	if err != nil || !slices.Equal(commands, want) {
		t.Errorf("%q, %v", commands, err)
	}
	for name, spoil := range map[string]func(*Answers){
		"a path":                  func(a *Answers) { a.Repo.URL = "/srv/git/x.git" },
		"a login by VAULT_TOKEN":  func(a *Answers) { a.Vault.Auth = "token" },
		"a variable of a person":  func(a *Answers) { a.DNS.Variables = map[string]string{"CF_DNS_API_TOKEN": "env:CF"} },
		"a JWT that is not there": func(a *Answers) { a.Vault.Auth, a.Vault.JWTEnv = "jwt", "CERTROLL_JWT" },
	} {
		a := cases()["token"]
		spoil(a)
		a.Fill()
		if len(a.CheckService(Systemd)) == 0 {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestHosts: the repository's address determines the pipeline.
func TestHosts(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://github.com/a/b.git": GitHub, "git@github.com:a/b.git": GitHub, "ssh://git@GitHub.com/a/b": GitHub,
		"https://gitlab.com/a/b": GitLab, "git@gitlab.example.com:a/b.git": GitLab, "https://git.example.com/github.com": NoCI,
		"/srv/git/github.com/x.git": NoCI, "./github.com:x": NoCI, "https://github.com.example.com/a": NoCI,
	} {
		a := &Answers{Repo: Repo{URL: url}}
		a.Fill()
		if a.CI != want {
			t.Errorf("%s: %s, want %s", url, a.CI, want)
		}
	}
}
