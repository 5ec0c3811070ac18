package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/daemon"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/wiring"
)

func (a *app) runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Pull and apply continuously, until stopped",
		Long: `Pull the config repo and apply the plan, until stopped: every interval, whenever a
certificate becomes due, and when a webhook or a changed file announces a change.
certroll rejects a revision with a mistake as a whole and records that in the
ledger; the last good one stays in force.

On SIGHUP it reads certroll.hcl again, between two passes: policies, trust, issuers, DNS
accounts, notify, probe, verify, repo.auth, interval and the like. state_dir, parallel,
listen, the rest of repo, ledger, vault and log.format need a restart, and the log says
which changed. A file with a mistake, or one that rejects the revision in force, changes
nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context()) },
	}
	a.configDirFlag(c)
	return c
}

func (a *app) run(ctx context.Context) error {
	s, log, err := a.begin()
	if err != nil {
		return err
	}
	a.leaseLog = log
	p := daemon.Options{
		Console: &a.Console, ConfigFile: a.configFile, ConfigDir: a.configDir, LogLevel: a.logLevel, Version: version(), Release: release, LeaseTTL: a.ttl(),
		Connect: func(ctx context.Context, s *settings.Settings, log *slog.Logger, progress func(string, string, string)) (*wiring.Parts, error) {
			return a.connect(ctx, s, log, true, progress)
		},
	}
	return daemon.Run(ctx, p, s, log)
}
