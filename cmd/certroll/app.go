package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/proposal"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/cmd/certroll/wiring"
	"certroll/gitsync"
	"certroll/spec"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// app is the program without its process: streams, flags and shared settings.
type app struct {
	console.Console

	configFile string
	configDir  string
	logLevel   string
	leaseLog   *slog.Logger // logs changes of the lease; nil: no logging
	// redact knows every secret that a reference yielded; logs and the ledger pass
	// through it.
	redact redact.Redactor

	// patience are the waits between tries within one attempt; nil: the defaults of
	// packages attempt and acme.
	patience []time.Duration
	// leaseTTL is how long a killed certroll's lease lasts; 0: one minute.
	leaseTTL time.Duration
}

// plan makes a plan for a command.
func (a *app) plan(ctx context.Context, in proposal.Input) (*proposal.Proposal, error) {
	p := &proposal.Planner{
		Console: &a.Console, ConfigFile: a.configFile, ConfigDir: a.configDir, LogLevel: a.logLevel,
		Version: version(), Release: release, Settings: a.settings, Logger: a.logger, Connect: a.connect,
	}
	return p.Propose(ctx, in)
}

// configDirFlag adds the --config-dir flag.
func (a *app) configDirFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.configDir, "config-dir", a.Getenv("CERTROLL_CONFIG_DIR"),
		"read the certificates from this directory instead of repo.url (env CERTROLL_CONFIG_DIR)")
	defaultsOfEnvironment(c.Flags(), "config-dir")
}

// defaultsOfEnvironment removes the present value of an environment variable from the
// help. The help names the variable and the default without it.
func defaultsOfEnvironment(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		flags.Lookup(name).DefValue = ""
	}
}

// settings loads certroll.hcl and displays its diagnostics.
func (a *app) settings() (*settings.Settings, error) {
	s, files, diags, err := settings.Load(a.configFile)
	if err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		view.Diagnostics(a.Err, a.Palette(), files, diags)
		return nil, console.ErrShown
	}
	for _, d := range diags {
		if d.Summary == settings.FoundElsewhere {
			fmt.Fprintf(a.Err, "Warning: %s\n", text.Line(d.Detail))
		}
	}
	if a.logLevel != "" {
		s.Log.Level = a.logLevel
	}
	return s, nil
}

// decode decodes the head of the config repo and displays the diagnostics.
func (a *app) decode(ctx context.Context, s *settings.Settings, rev *gitsync.Revision, show func(io.Writer, view.Palette, []spec.File, hcl.Diagnostics)) (*spec.Spec, error) {
	desired, all, diags := configrepo.DecodeHead(ctx, s, a.configDir, rev)
	show(a.Err, a.Palette(), all, diags)
	if diags.HasErrors() {
		return nil, console.ErrShown
	}
	configrepo.NoteUnread(desired, rev)
	return desired, nil
}

// begin loads the settings and makes their logger.
func (a *app) begin() (*settings.Settings, *slog.Logger, error) {
	s, err := a.settings()
	if err != nil {
		return nil, nil, err
	}
	log, err := a.logger(s)
	s.Logger = log
	return s, log, err
}

func (a *app) logger(s *settings.Settings) (*slog.Logger, error) {
	return s.Log.Logger(a.redact.Writer(a.Err))
}

// leaseTTL is how long a killed certroll's lease lasts. Others wait half as long again.
const leaseTTL = time.Minute

func (a *app) ttl() time.Duration { return cmp.Or(a.leaseTTL, leaseTTL) }

// connect logs in to Vault and opens the ledger, for writing if writing is set.
func (a *app) connect(ctx context.Context, s *settings.Settings, log *slog.Logger, writing bool, progress func(string, string, string)) (*wiring.Parts, error) {
	return wiring.Connect(ctx, s, log, wiring.Options{
		Getenv: a.Getenv, Version: version(), Redact: &a.redact, Patience: a.patience, LeaseTTL: a.ttl(), LeaseLog: a.leaseLog,
		Writing: writing, Progress: progress,
	})
}
