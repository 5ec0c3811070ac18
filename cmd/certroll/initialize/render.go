package initialize

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// File is a file to create; an existing one stays.
type File struct {
	Path  string // with slashes
	Bytes []byte
}

// quote formats a text as an HCL string.
func quote(text string) string { return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes()) }

func list(of []string) string {
	quoted := make([]string, len(of))
	for i, s := range of {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// writer writes HCL line by line; hclwrite aligns it.
type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// set writes a setting, unless it is empty.
func (w *writer) set(name, value string) {
	if value != "" {
		w.line("%s = %s", name, quote(value))
	}
}

func (w *writer) format() []byte { return hclwrite.Format([]byte(w.String())) }

// Settings returns certroll.hcl.
func (a *Answers) Settings() []byte {
	w := &writer{}
	w.line("# certroll's own settings. certroll init created this file and keeps your changes.")
	w.line("# docs/certroll.md lists all settings. This file names the places of secrets, and has none.\n")
	a.Repo.render(w)
	a.Vault.render(w)
	w.line("# The files of the config repo may reference no variable and no secret, and name no")
	w.line("# server. Issuers and DNS accounts are below.")
	w.line("trust {\nenv = []\nvault = []\nendpoints = []\n}\n")
	a.CA.render(w)
	a.DNS.render(w)
	a.policies(w)
	return w.format()
}

func (r *Repo) render(w *writer) {
	w.line("repo {")
	w.set("url", r.URL)
	w.set("ref", r.Ref)
	w.set("directory", r.Directory)
	if r.TokenEnv+r.TokenFile+r.SSHKeyFile+r.KnownHosts+r.CABundle != "" {
		w.line("auth {")
		if r.https() {
			w.set("username", r.Username)
		}
		w.set("token_env", r.TokenEnv)
		w.set("token_file", r.TokenFile)
		w.set("ssh_key_file", r.SSHKeyFile)
		w.set("known_hosts_file", r.KnownHosts)
		w.set("ca_bundle", r.CABundle)
		w.line("}")
	}
	w.line("}\n")
}

func (v *Vault) render(w *writer) {
	w.line("vault {")
	w.set("address", v.Address)
	w.set("namespace", v.Namespace)
	if v.Mount != "secret" {
		w.set("mount", v.Mount)
	}
	if v.Prefix != "certroll" {
		w.set("prefix", v.Prefix)
	}
	w.set("ca_cert", v.CACert)
	if v.Auth == "token" {
		w.line("# certroll uses VAULT_TOKEN or ~/.vault-token: for a trial, not for a service.\n}\n")
		return
	}
	w.line("auth %s {", quote(v.Auth))
	w.set("mount", v.AuthMount)
	switch v.Auth {
	case "approle":
		w.set("role_id", v.RoleID)
		w.set("secret_id_file", v.SecretIDFile)
	case "token-file":
		w.set("token_file", v.TokenFile)
	default:
		w.set("role", v.Role)
		w.set("jwt_file", v.JWTFile)
		w.set("jwt_env", v.JWTEnv)
	}
	w.line("}\n}\n")
}

func (c *CA) render(w *writer) {
	w.line("issuer %s {", quote(c.name()))
	w.set("directory", c.Directory)
	w.set("email", c.Email)
	w.line("terms_of_service_agreed = true")
	if c.Bundle != "" {
		w.line("ca_bundle = <<-PEM\n%s\nPEM", strings.TrimSpace(c.Bundle))
	}
	if c.EABKeyID != "" {
		hmac, _ := parseReference(c.EABHMAC)
		w.line("eab {\nkey_id = %s\nhmac = %s\n}", quote(c.EABKeyID), hmac.hcl())
	}
	w.line("}\n")
}

func (d *DNS) render(w *writer) {
	w.line("dns %s {", quote(d.name()))
	if d.Provider == HTTP01 {
		w.line("# The CA must reach the machine that certroll runs on, at port 80 of each name.")
		w.line("challenge = \"http-01\"\n}\n")
		return
	}
	w.set("provider", d.Provider)
	w.line("credentials = {")
	for _, name := range d.names() {
		value := reference{text: d.Variables[name]}
		if r, ok := parseReference(value.text); ok {
			value = r
		}
		w.line("%s = %s", name, value.hcl())
	}
	w.line("}")
	if len(d.Nameservers) > 0 {
		w.line("propagation {\nnameservers = %s\n}", list(d.Nameservers))
	}
	w.line("}\n")
}

// names returns the variables that are set, required ones first.
func (d *DNS) names() []string {
	required := d.required()
	names := slices.DeleteFunc(slices.Clone(required), func(name string) bool { return d.Variables[name] == "" })
	for _, name := range slices.Sorted(maps.Keys(d.Variables)) {
		if !slices.Contains(required, name) {
			names = append(names, name)
		}
	}
	return names
}

func (a *Answers) policies(w *writer) {
	zone := strings.TrimPrefix(a.Domain, "*.")
	w.line("# The names, paths and blocks that each file may use. A file without a policy may use nothing.")
	w.line("policy \"platform\" {\nfiles = [\"*.hcl\"]\nblocks = [\"defaults\", \"locals\"]\n}\n")
	w.line("policy %s {", quote(a.teamPolicy()))
	w.line("files = %s", list([]string{path.Join("teams", a.Team, "**")}))
	w.line("names = %s", list([]string{zone, "**." + zone}))
	w.line("vault = %s", list([]string{a.Vault.Mount + "/tls/" + a.Team + "/"}))
	w.line("blocks = [\"certificate\", \"defaults\", \"locals\"]\nmax_certificates = 50\n}")
}

// teamPolicy returns the name of the team's policy.
func (a *Answers) teamPolicy() string {
	if a.Team == "platform" {
		return "platform-team"
	}
	return a.Team
}

// Declared returns the first *.hcl files of the config repo, by path from its root.
func (a *Answers) Declared() []File {
	defaults, team := &writer{}, &writer{}
	defaults.line("# Defaults of every certificate in this directory and below. A team's own defaults and")
	defaults.line("# the certificate override them. The issuer and dns blocks are in certroll.hcl.")
	defaults.line("defaults {\nissuer = issuer.%s\ndns = dns.%s\n}", a.CA.name(), a.DNS.name())
	name := certificateName(a.Domain)
	team.line("# The certificates of the team %s. docs/spec.md describes the language.", a.Team)
	team.line("defaults {\nvault {\nprefix = %s\n}\n}\n", quote("tls/"+a.Team+"/"))
	team.line("certificate %s {", quote(name))
	team.line("domains = %s\n}", list([]string{a.Domain}))
	return []File{
		{path.Join(a.Repo.Directory, "platform.hcl"), defaults.format()},
		{path.Join(a.Repo.Directory, "teams", a.Team, a.Team+".hcl"), team.format()},
	}
}
