package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/notifier"
	"certroll/cmd/certroll/notify"
	"certroll/cmd/certroll/proposal"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
)

// notifyOnce sends the pending notifications at the end of a command. A failure is
// logged, and the next run retries.
func (a *app) notifyOnce(ctx context.Context, p *proposal.Proposal) {
	if n := notifier.New(p.Settings, p.Parts, notifier.Options{Version: version(), LeaseTTL: a.ttl(), Log: p.Log, Since: p.At}); n != nil {
		n.Once(ctx)
	}
}

func (a *app) notifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "notify",
		Short: "Test the destinations of notifications",
		Long: `Notifications go to the destinations of the notify blocks in certroll.hcl; certroll
run and certroll apply send them. See docs/notifications.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "test [NAME...]",
		Short: "Send a test message to all destinations, or to some",
		Long: `Send one test message to each destination, or to those named, and print each
answer. Exits 1 if a destination rejected it.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.notifyTest(cmd.Context(), args) },
	})
	return c
}

func (a *app) notifyTest(ctx context.Context, names []string) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	chosen, err := chosenDestinations(s, names)
	if err != nil {
		return err
	}
	failed := false
	for _, n := range chosen {
		err := notifier.Test(ctx, n, version(), time.Now())
		failed = failed || err != nil
		view.WriteNotifyTest(a.Out, a.Palette(), n.Name, err)
	}
	if failed {
		return console.ExitCode(console.ExitError)
	}
	return nil
}

// chosenDestinations returns the notify blocks with these names, or all.
func chosenDestinations(s *settings.Settings, names []string) ([]*settings.Notify, error) {
	if len(s.Notify) == 0 {
		return nil, fmt.Errorf("there is no notify block in certroll.hcl; docs/notifications.md shows how one is written")
	}
	if len(names) == 0 {
		return s.Notify, nil
	}
	byName := map[string]*settings.Notify{}
	for _, n := range s.Notify {
		byName[n.Name] = n
	}
	var chosen []*settings.Notify
	for _, name := range names {
		n := byName[name]
		if n == nil {
			return nil, fmt.Errorf("there is no notify block %q in certroll.hcl, which has %s", name, strings.Join(slices.Sorted(maps.Keys(byName)), ", "))
		}
		chosen = append(chosen, n)
	}
	return chosen, nil
}

func (a *app) notifyChildCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "notify-child",
		Hidden: true,
		Short:  "Send one message to services, both read from standard input",
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return notify.ServeChild(cmd.InOrStdin(), console.Unfiltered(a.Out))
		},
	}
}
