package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/completion"
	"certroll/spec/text"
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
	suggestInHelp(root)
	exemplify(root)
	completion.Add(root, &a.configFile, &a.configDir)
	return root
}

// suggestInHelp makes help reject an unknown name as the program itself does.
func suggestInHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		show := c.Run
		c.Run, c.RunE = nil, func(c *cobra.Command, args []string) error {
			found, rest, _ := root.Find(args)
			if len(rest) > 0 && found.HasSubCommands() {
				return unknownCommand(found, rest[0])
			}
			show(c, args)
			return nil
		}
	}
}

// unknownCommand returns the error for an unknown name in place of a subcommand's. It
// suggests the commands and help topics with a similar name, in the form of cobra's own
// error.
func unknownCommand(c *cobra.Command, typed string) error {
	c.SuggestionsMinimumDistance = 2
	near := c.SuggestionsFor(typed)
	for _, topic := range c.Commands() {
		if topic.IsAdditionalHelpTopicCommand() && text.Nearest(typed, []string{topic.Name()}) != "" {
			near = append(near, topic.Name())
		}
	}
	use := ""
	if c.HasParent() {
		use = fmt.Sprintf(": write %s (see %s --help)", strings.TrimSuffix(c.UseLine(), " [flags]"), c.CommandPath())
	}
	if len(near) > 0 {
		use += "\n\nDid you mean this?\n\t" + strings.Join(near, "\n\t") + "\n"
	}
	return fmt.Errorf("unknown command %q for %q%s", typed, c.CommandPath(), use)
}

// showUse adds a command's usage line to errors about its arguments, also in
// subcommands.
func showUse(c *cobra.Command) {
	if c.HasParent() && c.HasSubCommands() {
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(c, args[0])
			}
			return nil
		}
	} else if check := c.Args; check != nil {
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
