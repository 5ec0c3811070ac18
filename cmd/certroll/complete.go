package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"certroll/reconcile"
)

// completionTime bounds what a person who pressed Tab waits for the ledger.
const completionTime = 3 * time.Second

// completing gives a command and those below it what a shell completes their
// arguments with, by how their use is written.
func (a *app) completing(c *cobra.Command) {
	for _, below := range c.Commands() {
		a.completing(below)
	}
	switch use := c.Use; {
	case c.HasSubCommands() || strings.Contains(use, "FILE") || c.ValidArgsFunction != nil:
	case c.Parent() != nil && c.Parent().Name() == "notify":
		c.ValidArgsFunction = a.completeWith(func(_ context.Context, s *settings) []string {
			var names []string
			for _, n := range s.Notify {
				names = append(names, n.Name)
			}
			return names
		})
	case strings.Contains(use, "NAME"):
		c.ValidArgsFunction = a.completeWith(inLedger)
	case strings.Contains(use, "DIR"):
		c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
	default:
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
}

// completeWith offers names that are not there yet. Without settings or ledger
// it offers nothing: nobody reads an error in the middle of a line.
func (a *app) completeWith(names func(context.Context, *settings) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 && !strings.Contains(cmd.Use, "...") {
			return nil, directive
		}
		s, _, diags, err := loadSettings(a.configFile)
		if err != nil || diags.HasErrors() {
			return nil, directive
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		return slices.DeleteFunc(names(ctx, s), func(n string) bool { return slices.Contains(args, n) }), directive
	}
}

// inLedger is the names of all certificates that the ledger knows.
func inLedger(ctx context.Context, s *settings) []string {
	tree, err := s.ledgerTree(ctx)
	if err != nil {
		return nil
	}
	records, err := reconcile.ReadRecords(tree)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(records))
}
