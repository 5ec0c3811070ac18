package initialize

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
)

// The services for which Service makes files.
const (
	Systemd    = "systemd"
	Kubernetes = "kubernetes"
	Compose    = "compose"
)

// credential is a file that the service receives.
type credential struct {
	name   string // the service's name for it: "git-token"
	source string // its path on this machine; "" if a command makes it
}

// handed returns the answers with the files' paths inside a service, and the files. No
// credential is in the service's environment.
func (a *Answers) handed(dir string) (Answers, []credential) {
	s := *a
	s.DNS.Variables = maps.Clone(a.DNS.Variables)
	var list []credential
	hand := func(at *string, name string) {
		if *at != "" {
			list = append(list, credential{name, *at})
			*at = path.Join(dir, name)
		}
	}
	if s.Repo.TokenEnv != "" {
		list = append(list, credential{name: "git-token"})
		s.Repo.TokenEnv, s.Repo.TokenFile = "", path.Join(dir, "git-token")
	} else {
		hand(&s.Repo.TokenFile, "git-token")
	}
	if a.Repo.ssh() {
		fill(&s.Repo.SSHKeyFile, "git-ssh-key")
		fill(&s.Repo.KnownHosts, "known_hosts")
	}
	hand(&s.Repo.SSHKeyFile, "git-ssh-key")
	hand(&s.Repo.KnownHosts, "known_hosts")
	hand(&s.Repo.CABundle, "git-ca")
	hand(&s.Vault.CACert, "vault-ca")
	if a.Vault.Auth == "approle" {
		hand(&s.Vault.SecretIDFile, "vault-secret-id")
	}
	hand(&s.Vault.TokenFile, "vault-token")
	hand(&s.Vault.JWTFile, "vault-jwt")
	for _, name := range slices.Sorted(maps.Keys(s.DNS.Variables)) {
		if r, ok := parseReference(s.DNS.Variables[name]); ok && r.kind == "file" {
			list = append(list, credential{strings.ToLower(name), r.text})
			s.DNS.Variables[name] = "file:" + path.Join(dir, strings.ToLower(name))
		}
	}
	return s, list
}

// written returns the commands that create missing credential files.
func (a *Answers) written() []string {
	if a.Repo.TokenEnv == "" {
		return nil
	}
	return []string{`(umask 077; printf %s "$` + a.Repo.TokenEnv + `" > git-token)`}
}

// ssh reports whether the repository's URL is SSH.
func (r *Repo) ssh() bool { return !r.https() && hostOf(r.URL) != "" }

// CheckService returns the errors in answers for a service, in addition to Check's.
func (a *Answers) CheckService(kind string) []Problem {
	c := &checker{}
	c.wrong(!slices.Contains([]string{Systemd, Kubernetes, Compose}, kind), "service", "use systemd, kubernetes or compose")
	c.wrong(hostOf(a.Repo.URL) == "", "service", "the config repo is a path on this machine, which a service cannot reach: set --repo-url to an https:// or ssh:// URL")
	c.wrong(a.Vault.Auth == "token", "service", "a service logs in to Vault by itself: give --vault-auth approle, jwt, kubernetes or token-file")
	c.wrong(a.Vault.JWTEnv != "" && kind != Kubernetes, "service", "a service does not have your environment: use --vault-jwt-file instead of --vault-jwt-env")
	for _, name := range slices.Sorted(maps.Keys(a.DNS.Variables)) {
		r, ok := parseReference(a.DNS.Variables[name])
		c.wrong(ok && r.kind == "env", "dns-var "+name, "a service does not have your environment: name the credential as vault:MOUNT/PATH#FIELD or file:/PATH")
	}
	return c.found
}

// Service returns the files of a service, in a directory named after its kind, and the
// commands that install it. Their source is examples/install.
func (a *Answers) Service(kind string) ([]File, []string, error) {
	var files []File
	var commands []string
	var err error
	switch kind {
	case Systemd:
		files, commands, err = a.systemd()
	case Kubernetes:
		files, commands, err = a.kubernetes()
	case Compose:
		files, commands, err = a.compose()
	default:
		return nil, nil, fmt.Errorf("there is no service %q: give systemd, kubernetes or compose", kind)
	}
	for i := range files {
		files[i].Path = path.Join(kind, files[i].Path)
	}
	return files, commands, err
}

func (a *Answers) systemd() ([]File, []string, error) {
	s, handed := a.handed("/run/credentials/certroll.service")
	var load strings.Builder
	commands := append(a.written(), "install -D -m 644 -t /etc/systemd/system systemd/certroll.service", "install -D -m 644 -t /etc/certroll systemd/certroll.hcl")
	for _, c := range handed {
		fmt.Fprintf(&load, "LoadCredential=%s:/etc/certroll/%[1]s\n", c.name)
		commands = append(commands, "install -m 600 "+c.from()+" /etc/certroll/"+c.name)
	}
	unit, err := edited("install/certroll.service",
		edit{"LoadCredential=git-token:/etc/certroll/git-token\nLoadCredential=vault-secret-id:/etc/certroll/vault-secret-id\n", load.String()})
	if err != nil {
		return nil, nil, err
	}
	return []File{{"certroll.service", unit}, {"certroll.hcl", s.Settings()}},
		append(commands, "systemctl daemon-reload && systemctl enable --now certroll"), nil
}

// from returns a credential's source for a command.
func (c credential) from() string {
	switch c.source {
	case "":
		return c.name
	case "known_hosts":
		return "~/.ssh/known_hosts"
	}
	return word(c.source)
}

func (a *Answers) kubernetes() ([]File, []string, error) {
	s, handed := a.handed("/run/secrets/certroll")
	if a.Vault.Auth == "kubernetes" || a.Vault.Auth == "jwt" {
		handed = slices.DeleteFunc(handed, func(c credential) bool { return c.name == "vault-jwt" })
		s.Vault.JWTEnv, s.Vault.JWTFile = "", "/run/secrets/vault/token"
	}
	head := "state_dir = \"/var/lib/certroll\"\n\n# The kubelet and Prometheus connect from other machines. /healthz and /readyz need\n# no token, all other paths do.\n" +
		"listen            = \":9464\"\nlisten_token_file = \"/run/secrets/certroll/listen-token\"\n\nlog {\n  format = \"json\"\n}\n\n"
	files := []File{{"certroll.hcl", append([]byte(head), s.Settings()...)}}
	for _, name := range []string{"kustomization", "namespace", "serviceaccount", "deployment", "networkpolicy"} {
		var edits []edit
		if name == "networkpolicy" {
			edits = a.ports()
		}
		b, err := edited("install/kubernetes/"+name+".yaml", edits...)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, File{name + ".yaml", b})
	}
	secret := "kubectl -n certroll create secret generic certroll --from-file=listen-token"
	for _, c := range handed {
		secret += " --from-file=" + c.name + "=" + c.from()
	}
	return files, append(a.written(), "kubectl apply -f kubernetes/namespace.yaml", "(umask 077; openssl rand -hex 24 | tr -d '\\n' > listen-token)", secret, "kubectl apply -k kubernetes"), nil
}

// ports opens the network policy for Vault's port, and for SSH.
func (a *Answers) ports() []edit {
	port := "443"
	if u, err := url.Parse(a.Vault.Address); err == nil {
		switch {
		case u.Port() != "":
			port = u.Port()
		case u.Scheme == "http":
			port = "80"
		}
	}
	edits := []edit{{"- port: 8200", "- port: " + port}}
	if a.Repo.ssh() {
		edits = append(edits, edit{"        - port: 443\n", "        - port: 443\n        - port: 22 # Git by SSH; write the port that it has\n"})
	}
	return edits
}

func (a *Answers) compose() ([]File, []string, error) {
	s, handed := a.handed("/run/secrets")
	var used, declared strings.Builder
	commands := a.written()
	for _, c := range handed {
		fmt.Fprintf(&used, "      - %s\n", c.name)
		fmt.Fprintf(&declared, "  %s:\n    file: ./%[1]s\n", c.name)
		commands = append(commands, "install -o 65532 -g 65532 -m 400 "+c.from()+" compose/"+c.name)
	}
	b, err := edited("install/compose/compose.yaml", edit{"      - git-token\n      - vault-secret-id\n", used.String()},
		edit{"  git-token:\n    file: ./git-token\n  vault-secret-id:\n    file: ./vault-secret-id\n", declared.String()})
	if err != nil {
		return nil, nil, err
	}
	return []File{{"compose.yaml", b}, {"certroll.hcl", s.Settings()}}, append(commands, "docker compose -f compose/compose.yaml up -d"), nil
}
