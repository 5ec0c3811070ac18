package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/reconcile"
	"certroll/spec"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// app is the program apart from the process around it.
type app struct {
	console.Console

	configFile string
	configDir  string
	logLevel   string
	leaseLog   *slog.Logger // that is told of the lease; nil: none
	// redact knows every secret that a reference led to; logs and the ledger
	// pass through it.
	redact redact.Redactor

	// patience are the waits between the tries within one attempt; nil: those
	// of packages reconcile and acme.
	patience []time.Duration
	// leaseTTL is how long a lease outlives a reconciler that was killed; 0: a
	// minute.
	leaseTTL time.Duration
}

// plan plans with what of the program that takes.
func (a *app) plan(ctx context.Context, in planInput) (*proposal, error) {
	p := &planner{
		Console: &a.Console, configFile: a.configFile, configDir: a.configDir, logLevel: a.logLevel,
		version: version(), release: release, settings: a.settings, logger: a.logger, connect: a.connect,
	}
	return p.plan(ctx, in)
}

// configDirFlag adds the flag of the commands that read the config repo.
func (a *app) configDirFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.configDir, "config-dir", a.Getenv("CERTROLL_CONFIG_DIR"),
		"read the certificates from this directory instead of repo.url (env CERTROLL_CONFIG_DIR)")
	defaultsOfEnvironment(c.Flags(), "config-dir")
}

// defaultsOfEnvironment keeps the present value of a variable out of the help, which
// names the variable and what holds without it.
func defaultsOfEnvironment(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		flags.Lookup(name).DefValue = ""
	}
}

// settings loads certroll.hcl and shows what is wrong with it.
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

// decode turns the head of the config repo into a spec, and shows what was found.
func (a *app) decode(ctx context.Context, s *settings.Settings, rev *gitsync.Revision, show func(io.Writer, view.Palette, []spec.File, hcl.Diagnostics)) (*spec.Spec, error) {
	desired, all, diags := decodeHead(ctx, s, a.configDir, rev)
	show(a.Err, a.Palette(), all, diags)
	if diags.HasErrors() {
		return nil, console.ErrShown
	}
	withUnread(desired, rev)
	return desired, nil
}

// decodeFiles decodes a revision, for as long as certroll.hcl lets that take.
func decodeFiles(ctx context.Context, s *settings.Settings, files []gitsync.File) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	return decodeWith(ctx, s, files, s.SpecTrust())
}

// decodeChange decodes a revision that is a change of another one; nil: of none that is
// known.
func decodeChange(ctx context.Context, s *settings.Settings, files []gitsync.File, of *gitsync.Revision) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	trust := s.SpecTrust()
	if of != nil {
		trust.Before = specFiles(of.Files)
	}
	return decodeWith(ctx, s, files, trust)
}

func decodeWith(ctx context.Context, s *settings.Settings, files []gitsync.File, trust spec.Trust) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	ctx, cancel := context.WithTimeout(ctx, s.DecodeTimeout)
	defer cancel()
	in := specFiles(files)
	desired, diags := spec.Decode(ctx, in, trust)
	return desired, slices.Concat(in, trust.Files), diags
}

func specFiles(files []gitsync.File) []spec.File {
	in := make([]spec.File, len(files))
	for i, f := range files {
		in[i] = spec.File{Path: f.Path, Bytes: f.Bytes}
	}
	return in
}

// begin loads the settings and makes the logger that they ask for.
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

// revision reads the config repo: a plain directory where one is given, else
// the branch, whose head must follow on what the ledger says was taken last.
func revision(ctx context.Context, s *settings.Settings, dir string) (*gitsync.Revision, error) {
	if dir != "" {
		return readDir(dir, s)
	}
	src, err := s.Source()
	if err != nil {
		return nil, err
	}
	rev, err := src.Fetch(ctx)
	if err != nil || s.Repo.AllowRewrites {
		return rev, err
	}
	tree, err := s.LedgerTree(ctx)
	if err != nil {
		return nil, err
	}
	last, err := reconcile.LastTaken(tree)
	if err != nil {
		return nil, err
	}
	return rev, src.Follows(ctx, rev, last.Commit)
}

// readDir reads the directory that stands in for the config repo. One without a
// file is not taken for a repo that wants no certificates: it may be a mount
// that is not there, or a step too far up or down.
func readDir(dir string, s *settings.Settings) (*gitsync.Revision, error) {
	rev, err := gitsync.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(rev.Files) == 0 {
		return nil, fmt.Errorf("reading the directory %s: it has no *.hcl file, and all certificates would be retired; see that it is the right one and that it is mounted", dir)
	}
	rev.Files = settings.WithoutOwn(rev.Files, s)
	return rev, nil
}

// leaseTTL is how long a lease outlives a reconciler that was killed. Half as
// much again is waited for one.
const leaseTTL = time.Minute

func (a *app) ttl() time.Duration { return cmp.Or(a.leaseTTL, leaseTTL) }

// connect logs in to Vault and opens the ledger, to write it where writing.
func (a *app) connect(ctx context.Context, s *settings.Settings, log *slog.Logger, writing bool, progress func(string, string, string)) (*parts, error) {
	return connect(ctx, s, log, wiring{
		getenv: a.Getenv, version: version(), redact: &a.redact, patience: a.patience, leaseTTL: a.ttl(), leaseLog: a.leaseLog,
		writing: writing, progress: progress,
	})
}
