package setup

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/initialize"
	"certroll/cmd/certroll/settings"
	"certroll/spec/bounded"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// Init is the command init.
type Init struct {
	*console.Console
	Redact     *redact.Redactor
	ConfigFile *string                     // the flag --config
	Doctor     func(context.Context) error // prints its findings
}

// initFlags are the answers and the options of init.
type initFlags struct {
	initialize.Answers

	vars, nameservers []string
	bundle            string // a file with the CA's certificates
	dir, author       string
	service           string
	print, yes, setup bool
}

// Command returns the command init.
func (p *Init) Command() *cobra.Command {
	f := &initFlags{}
	c := &cobra.Command{
		Use:   "init",
		Short: "Create certroll.hcl, the first files of the config repo, and the setup of Vault",
		Long: `Create what certroll needs to start: certroll.hcl, the first files of the config
repo (one team, its policy, the pipeline of GitHub or GitLab), the policy for Vault
with the commands that an operator runs there, and the ledger's branch. On a
terminal, init asks for values that no flag gives.

init keeps existing files and your edits: a second run changes nothing. It checks
all answers, and decodes the files, before it writes anything. It asks for no
secret: name the place of a credential, as in vault:MOUNT/PATH#FIELD, env:NAME or
file:/PATH. With --setup-vault it creates the mount, the policy, AppRole and its
role with an operator's VAULT_TOKEN, and writes the secret id into a file that only
you may read. With --service it also creates the files of a service and prints the
commands that install it.

It ends with the findings of certroll doctor. See docs/getting-started.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.initialize(cmd.Context(), f) },
	}
	p.initRepoFlags(c, f)
	p.initVaultFlags(c, f)
	p.initCAFlags(c, f)
	return c
}

func (p *Init) initRepoFlags(c *cobra.Command, f *initFlags) {
	flags := c.Flags()
	flags.StringVar(&f.Repo.URL, "repo-url", "", "the config repo: https://HOST/PATH, ssh://git@HOST/PATH, or a path")
	flags.StringVar(&f.Repo.Ref, "repo-ref", "", "the config repo's branch (default main)")
	flags.StringVar(&f.Repo.Directory, "repo-dir", "", "the config repo's directory of certificates (default certs)")
	flags.StringVar(&f.Repo.Username, "git-username", "", "the user name for the Git token")
	flags.StringVar(&f.Repo.TokenFile, "git-token-file", "", "a file that holds the token for Git")
	flags.StringVar(&f.Repo.TokenEnv, "git-token-env", "", "the variable that holds the token for Git")
	flags.StringVar(&f.Repo.SSHKeyFile, "git-ssh-key", "", "the file of the SSH key for Git (default: the SSH agent)")
	flags.StringVar(&f.Repo.KnownHosts, "git-known-hosts", "", "the file with the SSH host keys (default ~/.ssh/known_hosts)")
	flags.StringVar(&f.Repo.CABundle, "git-ca", "", "a file with the certificates of the Git server's own CA")
	flags.StringVar(&f.Team, "team", "", "the first team, which gets a directory and a policy (default apps)")
	flags.StringVar(&f.Domain, "domain", "", "the first name of the first certificate, as in app.example.com")
	flags.StringVar(&f.CI, "ci", "", "the pipeline: github, gitlab or none (default: by the host of --repo-url)")
	flags.StringVar(&f.dir, "dir", "", "write the config repo's files into this directory, a clone, and push nothing")
	flags.StringVar(&f.author, "author", "", `author of the first commit, "Name <mail>" (default $GIT_AUTHOR_NAME and $GIT_AUTHOR_EMAIL, or git's global user.name and user.email)`)
	flags.StringVar(&f.service, "service", "", "also create the files of a service: systemd, kubernetes or compose")
	flags.BoolVar(&f.print, "print", false, "print all files and the commands for Vault; write nothing")
	flags.BoolVar(&f.yes, "auto-approve", false, "do not ask for approval before writing")
}

func (p *Init) initVaultFlags(c *cobra.Command, f *initFlags) {
	flags := c.Flags()
	flags.StringVar(&f.Vault.Address, "vault-address", "", "Vault's address (default $VAULT_ADDR)")
	flags.StringVar(&f.Vault.Namespace, "vault-namespace", "", "Vault's namespace (default $VAULT_NAMESPACE)")
	flags.StringVar(&f.Vault.Mount, "vault-mount", "", "the KV v2 mount (default secret)")
	flags.StringVar(&f.Vault.Prefix, "vault-prefix", "", "path of certroll's own state in the mount (default certroll)")
	flags.StringVar(&f.Vault.CACert, "vault-ca", "", "a file with the certificates of Vault's own CA (default $VAULT_CACERT)")
	flags.StringVar(&f.Vault.Auth, "vault-auth", "", "how certroll logs in: approle, jwt, kubernetes, token-file or token (default approle)")
	flags.StringVar(&f.Vault.AuthMount, "vault-auth-mount", "", "mount of the auth method, without auth/ (default: the method's usual mount)")
	flags.StringVar(&f.Vault.Role, "vault-role", "", "certroll's role of the auth method (default certroll)")
	flags.StringVar(&f.Vault.RoleID, "vault-role-id", "", "AppRole's role id (default: the role's name; init prints the command that sets it)")
	flags.StringVar(&f.Vault.SecretIDFile, "vault-secret-id-file", "", "the file with AppRole's secret id (default vault-secret-id beside certroll.hcl)")
	flags.StringVar(&f.Vault.TokenFile, "vault-token-file", "", "the file with the token, for --vault-auth token-file")
	flags.StringVar(&f.Vault.JWTFile, "vault-jwt-file", "", "the file with the JWT, for --vault-auth jwt and kubernetes")
	flags.StringVar(&f.Vault.JWTEnv, "vault-jwt-env", "", "the variable with the JWT, for --vault-auth jwt")
	flags.BoolVar(&f.setup, "setup-vault", false, "create the missing mount, policy and role in Vault, with an operator's VAULT_TOKEN")
}

func (p *Init) initCAFlags(c *cobra.Command, f *initFlags) {
	flags := c.Flags()
	flags.StringVar(&f.CA.Directory, "ca", "", "the CA: a known name such as letsencrypt, or the URL of its ACME directory")
	flags.StringVar(&f.bundle, "ca-bundle", "", "a file with the root certificates to trust for the ACME server")
	flags.StringVar(&f.CA.Email, "email", "", "contact address of the ACME account")
	flags.BoolVar(&f.CA.AgreeTOS, "agree-tos", false, "you have read the CA's terms of service and agree to them")
	flags.StringVar(&f.CA.EABKeyID, "eab-key-id", "", "the key id of the external account binding")
	flags.StringVar(&f.CA.EABHMAC, "eab-hmac", "", "reference to the HMAC key of the external account binding (default: a field in Vault)")
	flags.StringVar(&f.DNS.Provider, "dns", "", "the DNS provider by lego's code, as in cloudflare; or http-01")
	flags.StringArrayVar(&f.vars, "dns-var", nil, "a variable of the provider, NAME=VALUE; for a secret NAME=vault:MOUNT/PATH#FIELD, NAME=env:NAME or NAME=file:/PATH")
	flags.StringArrayVar(&f.nameservers, "dns-nameserver", nil, "HOST:PORT of a name server to check records at, for a zone that is not on the Internet")
}

// initialize collects answers, checks them, and writes.
func (p *Init) initialize(ctx context.Context, f *initFlags) error {
	if f.print && f.dir != "" {
		return errors.New("--print writes nothing, so there is no --dir: leave one of them out")
	}
	in := &initiation{app: p, f: f, file: cmp.Or(*p.ConfigFile, settings.DefaultFile)}
	if err := in.known(); err != nil {
		return err
	}
	if err := in.answer(); err != nil {
		return err
	}
	if err := in.prepare(ctx); err != nil {
		return err
	}
	if f.print {
		return in.show()
	}
	if err := in.confirm(); err != nil {
		return err
	}
	return in.carryOut(ctx)
}

// initiation is one run of init.
type initiation struct {
	app      *Init
	f        *initFlags
	file     string             // the path of certroll.hcl
	existing *settings.Settings // of an existing certroll.hcl; nil: none
	was      []byte             // its contents
	in       *bufio.Reader

	local, repo []initialize.File
	policy      []byte
	install     []string        // commands that install the service
	inVault     map[string]bool // paths of credentials that are in Vault already
}

// known collects the answers that existing files and the environment give.
func (i *initiation) known() error {
	f, getenv := i.f, i.app.Getenv
	f.Vault.Address = cmp.Or(f.Vault.Address, getenv("VAULT_ADDR"))
	f.Vault.Namespace = cmp.Or(f.Vault.Namespace, getenv("VAULT_NAMESPACE"))
	f.Vault.CACert = cmp.Or(f.Vault.CACert, getenv("VAULT_CACERT"))
	for _, v := range f.vars {
		if err := f.DNS.Set(v); err != nil {
			return err
		}
	}
	f.DNS.Nameservers = f.nameservers
	if f.bundle != "" {
		b, err := bounded.File(f.bundle, bounded.Named)
		if err != nil {
			return fmt.Errorf("reading --ca-bundle: %w", err)
		}
		f.CA.Bundle = string(b)
	}
	switch b, err := bounded.File(i.file, bounded.Named); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading certroll's own settings: %w", err)
	default:
		i.was = b
		return i.adopt()
	}
}

// answer asks for missing answers, and checks all.
func (i *initiation) answer() error {
	for range 100 { // more than the number of questions
		questions := i.questions()
		if len(questions) == 0 {
			break
		}
		if !i.app.Asks() {
			return missingAnswers(questions)
		}
		if err := i.ask(questions[0]); err != nil {
			return err
		}
	}
	if open := i.questions(); len(open) > 0 {
		return missingAnswers(open)
	}
	i.f.Fill()
	if i.f.setup && i.f.Vault.Auth != "approle" {
		return fmt.Errorf("--setup-vault sets up only AppRole, not a login by %s: create that role yourself (docs/certroll.md, examples/ci), or leave out --vault-auth", i.f.Vault.Auth)
	}
	found := i.check()
	if i.f.service != "" {
		found = append(found, i.f.CheckService(i.f.service)...)
	}
	if len(found) > 0 {
		return wrongAnswers(found)
	}
	return nil
}

// questions returns the open questions. An existing certroll.hcl answers those about
// issuer and DNS account.
func (i *initiation) questions() []initialize.Problem {
	open := i.f.Questions()
	if i.existing == nil {
		return open
	}
	return slices.DeleteFunc(open, func(p initialize.Problem) bool {
		return !strings.HasPrefix(p.Flag, "repo-") && !strings.HasPrefix(p.Flag, "vault-")
	})
}

func (i *initiation) check() []initialize.Problem {
	found := i.f.Check()
	if i.existing == nil || i.complete() {
		return found
	}
	return slices.DeleteFunc(found, func(p initialize.Problem) bool { return slices.Contains([]string{"ca", "dns", "domain"}, p.Flag) })
}

// complete reports whether the answers suffice for a new certroll.hcl.
func (i *initiation) complete() bool { return len(i.f.Questions()) == 0 }

func missingAnswers(open []initialize.Problem) error {
	return flagList("these flags are missing, and init got no answer on a terminal:", open)
}

func flagList(first string, open []initialize.Problem) error {
	var b strings.Builder
	b.WriteString(first)
	for _, p := range open {
		fmt.Fprintf(&b, "\n  --%s  %s", flagText(p.Flag), p.Text)
	}
	b.WriteString("\nNothing was written.")
	return errors.New(b.String())
}

func wrongAnswers(found []initialize.Problem) error {
	var b strings.Builder
	b.WriteString("these answers are wrong:")
	for _, p := range found {
		fmt.Fprintf(&b, "\n  --%s: %s", p.Flag, p.Text)
	}
	b.WriteString("\nNothing was written.")
	return errors.New(b.String())
}

// flagText formats a question's flag.
func flagText(flag string) string {
	if name, ok := strings.CutPrefix(flag, "dns-var "); ok {
		return "dns-var " + name + "=VALUE"
	}
	return flag
}

// longestAnswer bounds an answer, in bytes.
const longestAnswer = 4096

func (i *initiation) ask(p initialize.Problem) error {
	line, err := i.readLine(strings.ToUpper(p.Text[:1]) + p.Text[1:] + ":")
	if err != nil {
		return fmt.Errorf("asking for --%s: %w; nothing was written", p.Flag, err)
	}
	if line == "" {
		return nil // ask again
	}
	if err := i.f.Set(p.Flag, line); err != nil {
		return fmt.Errorf("%w; nothing was written", err)
	}
	return nil
}

func (i *initiation) readLine(question string) (string, error) {
	fmt.Fprintf(i.app.Err, "%s ", question)
	if i.in == nil {
		i.in = bufio.NewReaderSize(i.app.In, longestAnswer)
	}
	line, err := i.in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return "", errors.New("the input ended")
	case err != nil && !errors.Is(err, io.EOF):
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	return strings.TrimSpace(string(line)), nil
}

// confirm asks before the first write, if a person can answer.
func (i *initiation) confirm() error {
	if i.f.yes || !i.app.Asks() {
		return nil
	}
	for _, f := range i.local {
		fmt.Fprintf(i.app.Err, "  file         %s\n", text.Line(filepath.Join(filepath.Dir(i.file), f.Path)))
	}
	for _, f := range i.repo {
		fmt.Fprintf(i.app.Err, "  config repo  %s\n", f.Path)
	}
	line, err := i.readLine("init keeps existing files. Write the others? Type yes to continue:")
	if err != nil {
		return err
	}
	if line != "yes" {
		return errors.New("nothing was written")
	}
	return nil
}
