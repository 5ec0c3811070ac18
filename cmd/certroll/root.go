package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/completion"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "certroll",
		Short: "Issue and renew TLS certificates as declared in a Git repository",
		Long: `certroll keeps the TLS certificates that a Git repository declares in HCL: it issues
and renews them by ACME, writes them to HashiCorp Vault KV v2, and commits their
status and an audit log back to Git.

Its own settings are in certroll.hcl: see certroll help certroll.hcl. Commands exit
0 on success and 1 after an error; certroll help exit-codes lists the commands with
further codes.`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("certroll {{.Version}}\n")
	root.SetIn(a.In)
	root.SetOut(a.Data())
	root.SetErr(a.Err)
	f := root.PersistentFlags()
	f.StringVar(&a.configFile, "config", a.Getenv("CERTROLL_CONFIG"), "file of certroll's own settings (default certroll.hcl, then /etc/certroll/certroll.hcl; env CERTROLL_CONFIG)")
	f.BoolVar(&a.NoColor, "no-color", a.Getenv("NO_COLOR") != "", "print without colours (env NO_COLOR)")
	f.StringVar(&a.logLevel, "log-level", a.Getenv("CERTROLL_LOG_LEVEL"), "log level: debug, info, warn or error (env CERTROLL_LOG_LEVEL)")
	defaultsOfEnvironment(f, "config", "no-color", "log-level")
	a.addCommands(root)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (%s --help lists those there are)", err, c.CommandPath())
	})
	showUse(root)
	exemplify(root)
	completion.Add(root, &a.configFile, &a.configDir)
	return root
}

// showUse adds a command's usage line to errors about its arguments, also in
// subcommands.
func showUse(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return fmt.Errorf("%w: write %s (see %s --help)", err, strings.TrimSuffix(c.UseLine(), " [flags]"), c.CommandPath())
			}
			return nil
		}
	}
	for _, below := range c.Commands() {
		showUse(below)
	}
}
