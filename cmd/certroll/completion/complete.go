package completion

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/settings"
	"certroll/gitsync"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// completionTime bounds the ledger's fetch after a person pressed Tab.
const completionTime = 3 * time.Second

// completer completes with the given flags.
type completer struct{ configFile, configDir *string }

// Add adds shell completion to a command, its subcommands and their flags.
func Add(root *cobra.Command, configFile, configDir *string) {
	p := &completer{configFile, configDir}
	p.completing(root)
	completingFlags(root, p.values())
}

// completing adds completion of arguments to a command and its subcommands, according to
// their usage lines.
func (p *completer) completing(c *cobra.Command) {
	for _, below := range c.Commands() {
		p.completing(below)
	}
	switch use := c.Use; {
	case c.HasSubCommands() || strings.Contains(use, "FILE") || c.ValidArgsFunction != nil:
	case c.Parent() != nil && c.Parent().Name() == "notify":
		c.ValidArgsFunction = p.completeWith(func(_ context.Context, s *settings.Settings) []string {
			var names []string
			for _, n := range s.Notify {
				names = append(names, n.Name)
			}
			return names
		})
	case strings.Contains(use, "NAME"):
		c.ValidArgsFunction = p.completeWith(p.certificates)
	case strings.Contains(use, "DIR"):
		c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
	default:
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
}

// completeWith offers names that the line does not have yet. Without settings or ledger
// it offers nothing: an error would disturb the line that the person is typing.
func (p *completer) completeWith(names func(context.Context, *settings.Settings) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 && !strings.Contains(cmd.Use, "...") {
			return nil, directive
		}
		s, _, diags, err := settings.Load(*p.configFile)
		if err != nil || diags.HasErrors() {
			return nil, directive
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		return slices.DeleteFunc(names(ctx, s), func(n string) bool { return slices.Contains(args, n) }), directive
	}
}

// inLedger returns the names of all certificates in the ledger.
func inLedger(ctx context.Context, s *settings.Settings) []string {
	return slices.Sorted(maps.Keys(recordsInLedger(ctx, s)))
}

// recordsInLedger returns the ledger's records; none if it cannot be read.
func recordsInLedger(ctx context.Context, s *settings.Settings) map[string]*ledger.Record {
	tree, err := s.LedgerTree(ctx)
	if err != nil {
		return nil
	}
	records, err := archive.ReadRecords(tree)
	if err != nil {
		return nil
	}
	return records
}

// values returns the completion of flags with few values, by the flag's name: a flag has
// the same values in every command.
func (p *completer) values() map[string]cobra.CompletionFunc {
	several := func(texts ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(texts, cobra.ShellCompDirectiveNoFileComp)
	}
	return map[string]cobra.CompletionFunc{
		"base": p.completeRefs, "ref": p.completeRefs,
		"certificate": p.completeWith(p.certificates),
		"ci":          several("github", "gitlab", "none"),
		"class":       several(append(wordsOf(ledger.Classes), wordsOf(ledger.ServedClasses)...)...),
		"code":        several(spec.RevocationReasons()...),
		"config":      cobra.FixedCompletions([]string{"hcl"}, cobra.ShellCompDirectiveFilterFileExt),
		"config-dir":  cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"dir":         cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"html":        cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"issuer":      p.completeWith(issuersInLedger),
		"log-level":   several("debug", "info", "warn", "error"),
		"operation":   several(wordsOf(ledger.Operations)...),
		"service":     several("systemd", "kubernetes", "compose"),
		"severity":    several(ledger.SeverityPage),
		"status":      several(wordsOf([]ledger.Status{ledger.Success, ledger.Failed, ledger.Held, ledger.Denied, ledger.StatusError})...),
		"vault-auth":  several("approle", "jwt", "kubernetes", "token-file", "token"),
	}
}

func wordsOf[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// completingFlags adds completion to the flags of a command and its subcommands.
func completingFlags(c *cobra.Command, values map[string]cobra.CompletionFunc) {
	c.Flags().VisitAll(func(f *pflag.Flag) { registerValues(c, f, values) })
	c.PersistentFlags().VisitAll(func(f *pflag.Flag) { registerValues(c, f, values) })
	for _, below := range c.Commands() {
		completingFlags(below, values)
	}
}

func registerValues(c *cobra.Command, f *pflag.Flag, values map[string]cobra.CompletionFunc) {
	if complete := values[f.Name]; complete != nil && f.Value.Type() != "bool" {
		_ = c.RegisterFlagCompletionFunc(f.Name, complete) // fails if the flag already has completion
	}
}

// completeRefs offers the branches and tags of --config-dir's checkout, else of
// repo.url.
func (p *completer) completeRefs(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if *p.configDir != "" {
		checkout, err := gitsync.OpenCheckout(*p.configDir)
		if err != nil {
			return nil, directive
		}
		names, _ := checkout.Names()
		return names, directive
	}
	s, _, diags, err := settings.Load(*p.configFile)
	if err != nil || diags.HasErrors() {
		return nil, directive
	}
	source, err := s.Source()
	if err != nil {
		return nil, directive
	}
	defer func() { _ = source.Close() }()
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	names, _ := source.Names(ctx)
	return names, directive
}

// certificates returns the names in the ledger, and with --config-dir those of
// certificates not yet issued.
func (p *completer) certificates(ctx context.Context, s *settings.Settings) []string {
	names := inLedger(ctx, s)
	if *p.configDir == "" {
		return names
	}
	rev, err := configrepo.ReadDir(*p.configDir, s)
	if err != nil {
		return names
	}
	desired, _, _ := configrepo.Decode(ctx, s, rev.Files)
	if desired == nil {
		return names
	}
	for _, c := range desired.Certificates {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// issuersInLedger returns the issuers in the records.
func issuersInLedger(ctx context.Context, s *settings.Settings) []string {
	var names []string
	for _, r := range recordsInLedger(ctx, s) {
		if r.Live != nil && r.Live.Issuer != "" {
			names = append(names, r.Live.Issuer)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
