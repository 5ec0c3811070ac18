package initialize

import (
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"certroll/spec"
	"certroll/spec/providers"
)

// Answers are the user's decisions. They contain no secrets, only the places of secrets.
type Answers struct {
	Repo  Repo
	Vault Vault
	CA    CA
	DNS   DNS

	Team   string // the team of the first directory and policy
	Domain string // the first name of the team's first certificate
	CI     string // GitHub, GitLab or NoCI; "": by the host of Repo.URL
}

// Repo is the config repo, and certroll's login to it.
type Repo struct {
	URL, Ref, Directory    string
	Username               string
	TokenEnv, TokenFile    string // one of them for HTTPS
	SSHKeyFile, KnownHosts string
	CABundle               string // a file
}

// Vault is the Vault for certificates, and certroll's login to it.
type Vault struct {
	Address, Namespace, Mount, Prefix, CACert string
	Auth                                      string // "token", "token-file", "approle", "jwt" or "kubernetes"
	AuthMount, Role, RoleID                   string
	SecretIDFile, TokenFile                   string
	JWTFile, JWTEnv                           string
}

// CA is the first issuer.
type CA struct {
	Directory string // a name of spec.Directories, or an https:// URL
	Email     string
	Bundle    string // PEM of the certificates that sign the CA's own server; "": the system's
	AgreeTOS  bool
	EABKeyID  string
	EABHMAC   string // a reference; "": a field in Vault
}

// DNS is the validation method.
type DNS struct {
	Provider string // lego's code, or HTTP01
	// Variables are the provider's, by name: values, and references to secrets.
	Variables map[string]string
	// Nameservers are queried for the TXT record, for zones that are not on the
	// Internet.
	Nameservers []string
}

// The values of Answers.CI.
const (
	GitHub = "github"
	GitLab = "gitlab"
	NoCI   = "none"
)

// HTTP01 in place of a provider lets the CA connect to certroll's machine.
const HTTP01 = "http-01"

// Problem is a missing or invalid answer, with its flag.
type Problem struct {
	Flag    string // "repo-url"
	Missing bool   // not given; else invalid
	Text    string // the question, or the error
}

// Fill sets defaults, and derives answers from others.
func (a *Answers) Fill() {
	fill(&a.Repo.Ref, "main")
	fill(&a.Repo.Directory, "certs")
	a.Repo.Directory = strings.Trim(a.Repo.Directory, "/")
	fill(&a.Vault.Mount, "secret")
	fill(&a.Vault.Prefix, "certroll")
	a.Vault.Mount, a.Vault.Prefix = strings.Trim(a.Vault.Mount, "/"), strings.Trim(a.Vault.Prefix, "/")
	fill(&a.Vault.Auth, "approle")
	fill(&a.Vault.Role, "certroll")
	if a.Vault.Auth == "approle" {
		fill(&a.Vault.RoleID, a.Vault.Role)
		fill(&a.Vault.SecretIDFile, "vault-secret-id")
	}
	fill(&a.Team, "apps")
	fill(&a.CI, a.host())
	if a.CI == GitHub {
		fill(&a.Repo.Username, "x-access-token")
	}
	a.fillReferences()
}

func fill(what *string, with string) {
	if *what == "" {
		*what = with
	}
}

// host returns the pipeline of the repository's host.
func (a *Answers) host() string {
	switch host := hostOf(a.Repo.URL); {
	case host == "github.com":
		return GitHub
	case host == "gitlab.com", strings.HasPrefix(host, "gitlab."):
		return GitLab
	}
	return NoCI
}

var scpLike = regexp.MustCompile(`^(?:[^/@:]+@)?([^/:\[]+):.+$`)

// hostOf returns the host of a repository; "" for a path.
func hostOf(repo string) string {
	if u, err := url.Parse(repo); err == nil && u.Host != "" {
		return strings.ToLower(u.Hostname())
	}
	if m := scpLike.FindStringSubmatch(repo); m != nil && !strings.Contains(repo, "://") {
		return strings.ToLower(m[1])
	}
	return ""
}

// fillReferences gives each secret a field in Vault.
func (a *Answers) fillReferences() {
	if a.CA.needsBinding() || a.CA.EABKeyID != "" {
		fill(&a.CA.EABHMAC, fmt.Sprintf("vault:%s/dns/%s-eab#hmac", a.Vault.Mount, a.CA.name()))
	}
	if a.DNS.Variables == nil {
		a.DNS.Variables = map[string]string{}
	}
	for _, name := range a.DNS.required() {
		if providers.IsSecret(name) && a.DNS.Variables[name] == "" {
			a.DNS.Variables[name] = fmt.Sprintf("vault:%s/dns/%s#%s", a.Vault.Mount, a.DNS.Provider, name)
		}
	}
}

// required returns the variables that init asks for.
func (d *DNS) required() []string {
	if d.Provider == HTTP01 {
		return nil
	}
	return providers.Required(d.Provider)
}

// name returns the name of the issuer block.
func (c *CA) name() string {
	if _, known := spec.Directories()[c.Directory]; known {
		return c.Directory
	}
	return "ca"
}

// needsBinding reports whether the CA is known to require an external account binding.
func (c *CA) needsBinding() bool { return spec.Directories()[c.Directory] }

// name returns the name of the dns block.
func (d *DNS) name() string {
	if d.Provider == HTTP01 {
		return "http"
	}
	return d.Provider
}

// https reports whether the repository's URL is HTTP or HTTPS, which needs a token.
func (r *Repo) https() bool {
	return strings.HasPrefix(r.URL, "https://") || strings.HasPrefix(r.URL, "http://")
}

// Questions returns the answers missing before Fill, in the order of asking.
func (a *Answers) Questions() []Problem {
	var out []Problem
	ask := func(missing bool, flag, text string) {
		if missing {
			out = append(out, Problem{flag, true, text})
		}
	}
	ask(a.Repo.URL == "", "repo-url", "the config repo: https://HOST/PATH, ssh://git@HOST/PATH, or a path")
	ask(a.Repo.https() && a.Repo.TokenEnv == "" && a.Repo.TokenFile == "", "git-token-file", "a file that holds the token for Git (or --git-token-env NAME)")
	ask(a.Vault.Address == "", "vault-address", "Vault's address, as in https://vault.example.com:8200 (or set VAULT_ADDR)")
	ask(a.Vault.Auth == "jwt" && a.Vault.JWTFile == "" && a.Vault.JWTEnv == "", "vault-jwt-env", "the variable that holds the JWT for Vault (or --vault-jwt-file FILE)")
	ask(a.Vault.Auth == "token-file" && a.Vault.TokenFile == "", "vault-token-file", "the file that holds the Vault token")
	ask(a.CA.Directory == "", "ca", "the CA: "+names(spec.Directories())+", or the https:// URL of its ACME directory")
	ask(!a.CA.AgreeTOS, "agree-tos", "yes, once you have read the CA's terms of service and agree to them")
	ask(a.CA.needsBinding() && a.CA.EABKeyID == "", "eab-key-id", "the key id of the external account binding, from the CA's console")
	ask(a.DNS.Provider == "", "dns", "the DNS provider by its code at https://go-acme.github.io/lego/dns/, as in cloudflare, or http-01")
	for _, name := range a.DNS.required() {
		ask(!providers.IsSecret(name) && a.DNS.Variables[name] == "", "dns-var "+name, name+" of the provider "+a.DNS.Provider)
	}
	ask(a.Domain == "", "domain", "the first name of the first certificate, as in app.example.com")
	return out
}

func names[V any](of map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(of)), ", ")
}

// Check returns all errors in answers that Fill has completed. It never quotes a value,
// which may be a secret by mistake.
func (a *Answers) Check() []Problem {
	c := &checker{}
	c.repo(&a.Repo)
	c.vault(&a.Vault)
	c.ca(&a.CA, a.Vault.Mount)
	c.dns(&a.DNS, a.Vault.Mount)
	c.wrong(!teamName.MatchString(a.Team), "team", "use up to 40 of a-z, 0-9, - and _, beginning with a letter")
	c.wrong(certificateName(a.Domain) == "", "domain", "give one name, as in app.example.com")
	c.wrong(!slices.Contains([]string{GitHub, GitLab, NoCI}, a.CI), "ci", "use github, gitlab or none")
	return c.found
}

var (
	teamName     = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	pathName     = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
	domainName   = regexp.MustCompile(`^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$`)
)

// certificateName returns the name of the first certificate, derived from its domain; ""
// for an invalid domain.
func certificateName(domain string) string {
	if len(domain) > 253 || !domainName.MatchString(domain) {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(domain, "*."), ".")
	return first
}

type checker struct{ found []Problem }

func (c *checker) wrong(is bool, flag, text string) {
	if is {
		c.found = append(c.found, Problem{flag, false, text})
	}
}

// plain reports whether a text is one line that a file can contain.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == 0xfffd })
}

func (c *checker) lines(flags map[string]string) {
	for _, flag := range slices.Sorted(maps.Keys(flags)) {
		c.wrong(!plain(flags[flag]), flag, "it must be a single line of text")
	}
}

func (c *checker) repo(r *Repo) {
	c.lines(map[string]string{"repo-url": r.URL, "repo-ref": r.Ref, "git-username": r.Username, "git-token-file": r.TokenFile,
		"git-ssh-key": r.SSHKeyFile, "git-known-hosts": r.KnownHosts, "git-ca": r.CABundle})
	u, err := url.Parse(r.URL)
	_, password := "", false
	if err == nil && u.User != nil {
		_, password = u.User.Password()
	}
	c.wrong(password || strings.Contains(r.URL, "://") && err != nil, "repo-url",
		"leave the password or token out of the URL: name the file or the variable that holds it with --git-token-file or --git-token-env")
	c.wrong(r.Directory == "." || !pathName.MatchString(r.Directory) || strings.Contains("/"+r.Directory+"/", "/../"), "repo-dir", "give a directory of the repository, as in certs")
	c.wrong(r.TokenEnv != "" && !variableName.MatchString(r.TokenEnv), "git-token-env", "give the name of a variable, not its value")
	c.wrong(r.TokenEnv != "" && r.TokenFile != "", "git-token-env", "set --git-token-env or --git-token-file, not both")
}

func (c *checker) vault(v *Vault) {
	c.lines(map[string]string{"vault-namespace": v.Namespace, "vault-ca": v.CACert, "vault-role-id": v.RoleID,
		"vault-secret-id-file": v.SecretIDFile, "vault-token-file": v.TokenFile, "vault-jwt-file": v.JWTFile})
	u, err := url.Parse(v.Address)
	c.wrong(err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || !plain(v.Address), "vault-address", "write it as https://HOST:PORT, with no user in it")
	c.wrong(!pathName.MatchString(v.Mount), "vault-mount", "give the path of a KV v2 mount, as in secret")
	c.wrong(!pathName.MatchString(v.Prefix), "vault-prefix", "give a path in the mount, as in certroll")
	c.wrong(!slices.Contains([]string{"token", "token-file", "approle", "jwt", "kubernetes"}, v.Auth), "vault-auth", "use approle, jwt, kubernetes, token-file or token")
	c.wrong(!pathName.MatchString(v.Role), "vault-role", "give the name of a role, as in certroll")
	c.wrong(v.AuthMount != "" && !pathName.MatchString(v.AuthMount), "vault-auth-mount", "give the path of an auth method, without auth/")
	c.wrong(v.JWTEnv != "" && !variableName.MatchString(v.JWTEnv), "vault-jwt-env", "give the name of a variable, not its value")
}

func (c *checker) ca(ca *CA, mount string) {
	u, err := url.Parse(ca.Directory)
	_, known := spec.Directories()[ca.Directory]
	c.wrong(!known && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil), "ca", "give "+names(spec.Directories())+", or the https:// URL of an ACME directory")
	if ca.Email != "" {
		at, err := mail.ParseAddress(ca.Email)
		c.wrong(err != nil || at.Address != ca.Email, "email", "give one address, as in certs@example.com")
	}
	c.wrong(!plain(ca.EABKeyID), "eab-key-id", "it must be a single line of text")
	c.wrong(strings.Contains(ca.Bundle, "PRIVATE KEY"), "ca-bundle", "the file holds a private key: name one with the CA's certificates alone")
	if ca.EABHMAC != "" {
		c.reference("eab-hmac", ca.EABHMAC, mount)
	}
}

func (c *checker) dns(d *DNS, mount string) {
	if d.Provider == HTTP01 {
		c.wrong(len(d.Variables) > 0, "dns-var", "http-01 has no variables")
		return
	}
	refusal := providers.Refused()[d.Provider]
	c.wrong(refusal != "", "dns", refusal)
	c.wrong(refusal == "" && len(providers.Required(d.Provider)) == 0, "dns", "there is no such provider: see https://go-acme.github.io/lego/dns/ for the codes, or give http-01")
	known := providers.Variables(d.Provider)
	for _, name := range slices.Sorted(maps.Keys(d.Variables)) {
		flag, value := "dns-var "+name, d.Variables[name]
		if !slices.Contains(known, name) {
			c.wrong(refusal == "", flag, "the provider has no such variable: it has "+strings.Join(known, ", "))
			continue
		}
		c.wrong(!plain(value), flag, "it must be a single line of text")
		_, isReference := parseReference(value)
		switch {
		case isReference || providers.IsSecret(name):
			c.reference(flag, value, mount)
		default:
			_, secret := providers.LooksSecret(value)
			c.wrong(secret, flag, "the value looks like a secret, and certroll.hcl holds none: give "+howReferred)
		}
	}
	for _, server := range d.Nameservers {
		c.wrong(!plain(server) || strings.ContainsAny(server, " /"), "dns-nameserver", "give HOST:PORT")
	}
}

// reference checks the place of a secret. Any other text may be the secret itself.
func (c *checker) reference(flag, text, mount string) {
	r, ok := parseReference(text)
	c.wrong(!ok, flag, "its value is secret, and must be in no file and no command line: name its place, as "+howReferred)
	c.wrong(ok && r.kind == "vault" && !strings.HasPrefix(r.text, mount+"/"), flag,
		"name a secret in the mount "+mount+"/: certroll's policy allows no other mount")
	c.wrong(ok && r.kind == "vault" && (!pathName.MatchString(r.text) || !plain(r.field)), flag, "write the path of letters, digits, dots, _ and -")
	c.wrong(ok && r.kind == "env" && !variableName.MatchString(r.text), flag, "write the name of a variable after env:")
}

// stored returns all references to Vault: fields by path.
func (a *Answers) stored() map[string][]string {
	at := map[string][]string{}
	add := func(text string) {
		if r, ok := parseReference(text); ok && r.kind == "vault" {
			at[r.text] = append(at[r.text], r.field)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.DNS.Variables)) {
		add(a.DNS.Variables[name])
	}
	add(a.CA.EABHMAC)
	return at
}
