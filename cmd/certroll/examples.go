package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples has each command's examples, for the help and the man page.
var examples = map[string][]string{
	"certroll": {"certroll init", "certroll validate certs", "certroll plan", "certroll apply", "certroll run --config /etc/certroll/certroll.hcl"},
	"accept":   {"certroll accept 5ad8f67c560523c935454493a6e0215aaba8e92d"},
	"apply":    {"certroll apply", "certroll apply --auto-approve --json", "certroll plan --out plan.json", "certroll apply plan.json"},
	"audit":    {"certroll audit --since 7d --status error", "certroll audit verify --anchor"},
	"audit verify": {
		"certroll audit verify",
	},
	"disable":  {`certroll disable api --reason "moves to another zone" --until 2026-12-31`},
	"doctor":   {"certroll doctor", "certroll doctor api --no-canary"},
	"enable":   {`certroll enable api --reason "the zone has moved"`},
	"expiring": {"certroll expiring", "certroll expiring 30"},
	"explain":  {"certroll explain api"},
	"fmt":      {"certroll fmt certs", "certroll fmt --check certs"},
	"import":   {"certroll import certbot /etc/letsencrypt", "certroll import vault secret/web/*"},
	"init": {
		"certroll init",
		"certroll init --repo-url https://github.com/example/certificates.git --git-token-file git-token --vault-address https://vault.example.com:8200 --setup-vault --ca letsencrypt --agree-tos --dns cloudflare --domain app.example.com",
	},
	"man":    {"certroll man /usr/local/share/man/man1"},
	"notify": {"certroll notify test"},
	"plan": {
		"certroll plan", "certroll plan --config-dir certs --base origin/main", "certroll plan --ref add-api --base main",
		"certroll plan --config-dir certs --base origin/main --offline --markdown", "certroll plan --detailed-exitcode",
	},
	"probe":    {"certroll probe", "certroll probe api --json"},
	"retry":    {`certroll retry api --reason "the token was replaced"`},
	"rotate":   {`certroll rotate api --reason "a laptop was lost" --revoke --code keyCompromise --force`},
	"run":      {"certroll run", "certroll run --config-dir certs --log-level debug"},
	"status":   {"certroll status", "certroll status api"},
	"validate": {"certroll validate", "certroll validate certs"},
	"version":  {"certroll version"},
}

// exemplify sets the examples of a command and its subcommands.
func exemplify(c *cobra.Command) {
	path := strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
	if lines := examples[path]; len(lines) > 0 {
		c.Example = "  " + strings.Join(lines, "\n  ")
	}
	for _, below := range c.Commands() {
		exemplify(below)
	}
}
