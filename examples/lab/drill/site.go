package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"certroll/examples/lab"
)

const (
	zone   = "lab.test"
	ledger = "certroll/status"
)

// site is the servers of one part, with the book between them and certroll.
type site struct {
	*book
	dir     string
	program string // certroll, in the drill's own directory
	child   string // certroll-dns in the same directory
	repo    string // path of the bare repository
	count   int    // number of certificates
	round   int    // 0 issues, later rounds rotate

	vault      *lab.Vault
	pebble     *lab.Pebble
	dns        *lab.DNS
	ca, secret *front
}

// openSite starts the servers. life is the lifetime of the CA's certificates; 0 means 90
// days.
func openSite(ctx context.Context, o options, life time.Duration) (_ *site, err error) {
	s := &site{book: newBook(), count: o.certificates}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "certroll-drill-"); err != nil {
		return nil, err
	}
	if err = s.install(o.certroll); err != nil {
		return nil, err
	}
	if err = s.serve(ctx, life); err != nil {
		return nil, err
	}
	if s.repo, err = lab.CreateBare(s.dir, "certificates"); err != nil {
		return nil, err
	}
	return s, s.declare(ctx)
}

// install copies the programs into the site's directory, so that their processes are
// distinguishable from others.
func (s *site) install(program string) error {
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return err
	}
	s.program, s.child = filepath.Join(bin, "certroll"), filepath.Join(bin, "certroll-dns")
	for to, from := range map[string]string{s.program: program, s.child: filepath.Join(filepath.Dir(program), "certroll-dns")} {
		content, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("copying the program to drill: %w", err)
		}
		if err := lab.WriteProgram(to, content); err != nil {
			return fmt.Errorf("copying the program to drill: %w", err)
		}
	}
	return nil
}

func (s *site) serve(ctx context.Context, life time.Duration) (err error) {
	if s.dns, err = lab.StartDNS(ctx, lab.DNSOptions{Zones: []string{zone}}); err != nil {
		return err
	}
	o := lab.PebbleOptions{DNS: s.dns.Addr}
	if life > 0 {
		o.Profiles = map[string]uint64{"default": uint64(life / time.Second)}
	}
	if s.pebble, err = lab.StartPebble(ctx, o); err != nil {
		return err
	}
	if s.vault, err = lab.StartVault(ctx, lab.VaultOptions{}); err != nil {
		return err
	}
	if s.ca, err = caFront(s.book, s.pebble); err != nil {
		return err
	}
	s.secret, err = vaultFront(s.book, s.vault)
	return err
}

func (s *site) close() error {
	errs := []error{s.ca.close(), s.secret.close()}
	if s.vault != nil {
		errs = append(errs, s.vault.Close())
	}
	if s.pebble != nil {
		errs = append(errs, s.pebble.Close())
	}
	if s.dns != nil {
		errs = append(errs, s.dns.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// closing closes a site and joins the errors.
func closing(err error, s *site) error { return errors.Join(err, s.close()) }

// names returns the names of the certificates.
func (s *site) names() []string {
	names := make([]string, s.count)
	for i := range names {
		names[i] = fmt.Sprintf("c%03d", i)
	}
	return names
}

func host(name string) string { return name + "." + zone }

// declare pushes the certificates, each with the rotation of this round.
func (s *site) declare(ctx context.Context) error {
	rotate := ""
	if s.round > 0 {
		rotate = fmt.Sprintf("  rotate  = \"round %d\"\n", s.round)
	}
	var text strings.Builder
	for _, name := range s.names() {
		fmt.Fprintf(&text, "certificate %q {\n  domains = [%q]\n  issuer  = issuer.pebble\n  dns     = dns.lab\n%s}\n", name, host(name), rotate)
	}
	return lab.Push(ctx, s.repo, "main", map[string]string{"certificates.hcl": text.String()}, fmt.Sprintf("Round %d", s.round))
}

// rotate begins the next round.
func (s *site) rotate(ctx context.Context) error {
	s.round++
	return s.declare(ctx)
}

// machine is one certroll with its settings, state and processes.
type machine struct {
	*site
	dir string
}

var settings = template.Must(template.New("certroll.hcl").Parse(`state_dir = "{{.Dir}}/state"
interval  = "{{.Interval}}"
listen    = ""

repo {
  url = "{{.Repo}}"
  ref = "main"
}

ledger {
  branch = "{{.Ledger}}"
}

vault {
  address = "http://{{.VaultAddr}}"
}

trust {
  env = ["CERTROLL_DNS_"]
}

issuer "pebble" {
  directory               = "https://{{.CA}}/dir"
  email                   = "ops@example.com"
  terms_of_service_agreed = true
  ca_bundle               = <<-PEM
{{.Root}}  PEM
}

dns "lab" {
  provider = "rfc2136"
  credentials = {
    RFC2136_NAMESERVER     = "{{.DNS.Addr}}"
    RFC2136_TSIG_KEY       = "{{.DNS.KeyName}}"
    RFC2136_TSIG_ALGORITHM = "{{.DNS.Algorithm}}"
    RFC2136_TSIG_SECRET    = env("CERTROLL_DNS_TSIG_SECRET")
    RFC2136_TTL            = 1
  }
  propagation {
    nameservers = ["{{.DNS.Addr}}"]
  }
}
`))

// machine creates a certroll that reaches Vault at an address.
func (s *site) machine(name, vault string, interval time.Duration) (*machine, error) {
	m := &machine{site: s, dir: filepath.Join(s.dir, name)}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		return nil, err
	}
	var text strings.Builder
	err := settings.Execute(&text, map[string]any{
		"Dir": m.dir, "Interval": interval, "Repo": s.repo, "Ledger": ledger, "VaultAddr": vault,
		"CA": s.ca.addr, "Root": s.ca.root, "DNS": s.dns,
	})
	if err != nil {
		return nil, fmt.Errorf("writing certroll.hcl: %w", err)
	}
	return m, os.WriteFile(filepath.Join(m.dir, "certroll.hcl"), []byte(text.String()), 0o600)
}

// start starts certroll; it ends with this process at the latest.
func (m *machine) start(args ...string) (*lab.Process, error) {
	env := []string{"VAULT_TOKEN=" + m.vault.Token, "CERTROLL_DNS_TSIG_SECRET=" + m.dns.Secret}
	return lab.StartProgram(m.dir, env, m.program, args...)
}

// ends runs certroll to its end, within a limit, and returns its exit code and output.
func (m *machine) ends(ctx context.Context, limit time.Duration, args ...string) (code int, out string, err error) {
	p, err := m.start(args...)
	if err != nil {
		return 0, "", err
	}
	select {
	case <-p.Done():
		return p.ExitCode(), p.Logs(), nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(limit):
		err = fmt.Errorf("certroll %s has not ended after %s; its output ends:\n%s", strings.Join(args, " "), limit, end(p.Logs()))
	}
	p.Kill()
	return 0, "", err
}

// end returns the last lines of an output.
func end(out string) string {
	const keep = 20
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-keep):], "\n")
}

// until waits for a condition, which it checks several times per second.
func until(ctx context.Context, limit time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}
