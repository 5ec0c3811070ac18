package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"certroll/examples/lab"
)

const (
	zone   = "lab.test"
	ledger = "certroll/status"
	// proposed is the branch of the demo's pull request.
	proposed = "one-more-name"
)

// stage is the lab, and a directory with a certroll.hcl for it.
type stage struct {
	program   string // certroll
	configDir string // directory of the pushed files
	dir       string
	repo      string // path of the bare repository
	listen    string // address of certroll run in a lab that stays; else empty
	free      func() // releases listen

	vault  *lab.Vault
	pebble *lab.Pebble
	dns    *lab.DNS
}

func newStage(ctx context.Context, program, config string, keep bool) (_ *stage, err error) {
	s := &stage{free: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	if s.configDir, err = filepath.Abs(config); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "certroll-demo-"); err != nil {
		return nil, err
	}
	if keep {
		if s.listen, s.free, err = lab.ReserveAddr(); err != nil {
			return nil, err
		}
	}
	if err = s.start(ctx); err != nil {
		return nil, err
	}
	if s.repo, err = lab.CreateBare(s.dir, "certificates"); err != nil {
		return nil, err
	}
	files, err := readAll(s.configDir)
	if err != nil {
		return nil, fmt.Errorf("reading the config repo to push: %w", err)
	}
	if err = lab.Push(ctx, s.repo, "main", files, "Declare certificates"); err != nil {
		return nil, err
	}
	return s, s.writeSettings()
}

func (s *stage) start(ctx context.Context) (err error) {
	if s.dns, err = lab.StartDNS(ctx, lab.DNSOptions{Zones: []string{zone}}); err != nil {
		return err
	}
	if s.pebble, err = lab.StartPebble(ctx, lab.PebbleOptions{DNS: s.dns.Addr}); err != nil {
		return err
	}
	s.vault, err = lab.StartVault(ctx, lab.VaultOptions{})
	return err
}

func (s *stage) close() error {
	var errs []error
	s.free()
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

// readAll reads the files below a directory, by relative path.
func readAll(dir string) (map[string]string, error) {
	files := map[string]string{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, path)
		files[path] = string(content)
		return err
	})
	return files, err
}

// settings is certroll.hcl: the servers, and the trust settings for the config repo. The
// TSIG secret comes from the environment.
var settings = template.Must(template.New("certroll.hcl").Parse(`state_dir = "{{.Dir}}/state"
{{- with .Listen}}
interval  = "5s"
listen    = "{{.}}"
{{- end}}

repo {
  url = "{{.Repo}}"
  ref = "main"
}

ledger {
  branch = "{{.Ledger}}"
}

vault {
  address = "{{.Vault.Addr}}"
}

trust {
  env = ["CERTROLL_DNS_"]
}

issuer "pebble" {
  directory               = "{{.Pebble.Directory}}"
  email                   = "ops@example.com"
  terms_of_service_agreed = true
  ca_bundle               = <<-PEM
{{.Pebble.CABundle}}  PEM
}

dns "lab" {
  provider = "rfc2136"
  credentials = {
    RFC2136_NAMESERVER     = "{{.DNS.Addr}}"
    RFC2136_TSIG_KEY       = "{{.DNS.KeyName}}"
    RFC2136_TSIG_ALGORITHM = "{{.DNS.Algorithm}}"
    RFC2136_TSIG_SECRET    = env("CERTROLL_DNS_TSIG_SECRET")
    RFC2136_TTL            = 1 # the two challenges of lab.test use one name, one after the other
  }
  propagation {
    nameservers = ["{{.DNS.Addr}}"]
  }
}
`))

func (s *stage) settingsFile() string { return filepath.Join(s.dir, "certroll.hcl") }

func (s *stage) writeSettings() error {
	var text strings.Builder
	err := settings.Execute(&text, map[string]any{
		"Dir": s.dir, "Listen": s.listen, "Repo": s.repo, "Ledger": ledger, "Vault": s.vault, "Pebble": s.pebble, "DNS": s.dns,
	})
	if err != nil {
		return fmt.Errorf("writing certroll.hcl: %w", err)
	}
	return os.WriteFile(s.settingsFile(), []byte(text.String()), 0o600)
}

// literalDomains matches a list of domains without expressions.
var literalDomains = regexp.MustCompile(`(domains\s*=\s*\["[^"$]+"(?:,\s*"[^"$]+")*)\]`)

// addName commits an additional name, for the first certificate with a literal list of
// names, to a new branch off main.
func (s *stage) addName(ctx context.Context, branch string) error {
	const file, name = "certificates.hcl", "new." + zone
	text, err := lab.Show(ctx, s.repo, "main", file)
	if err != nil {
		return err
	}
	at := literalDomains.FindStringSubmatchIndex(text)
	if at == nil {
		return fmt.Errorf("%s lists no certificate's domains plainly", file)
	}
	changed := text[:at[3]] + `, "` + name + `"` + text[at[3]:] + "\n"
	if _, err := lab.Git(ctx, s.repo, "branch", branch, "main"); err != nil {
		return err
	}
	return lab.Push(ctx, s.repo, branch, map[string]string{file: changed}, "Serve "+name+" as well")
}
