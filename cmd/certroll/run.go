package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/metrics"
	"certroll/cmd/certroll/page"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/cmd/certroll/wiring"
	"certroll/gitsync"
	"certroll/gitsync/fault"
	"certroll/reconcile"
	"certroll/reconcile/acme/dnsprovider"
	"certroll/spec"
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

// daemon is what run keeps between its passes.
type daemon struct {
	*app
	*wiring.Parts
	settings *settings.Settings
	log      *slog.Logger
	say      *decisions
	source   *gitsync.Source
	files    *watch
	metrics  *metrics.Metrics
	health   *health
	page     *page.Server
	shelf    opened // the ledger, as the page reads it
	lookout  *reconcile.Lookout
	notices  notices
	reload   reloading
	good     *gitsync.Revision // the last revision without a mistake
	takenAt  time.Time         // when it was taken
	onDisk   bool              // it is in the state directory
	unkept   error             // why it is not
	instead  reconcile.Taken   // what the head that was held back last does not descend from
	traced   bool              // what the ledger says was taken last is known to be followed
	desired  *spec.Spec
	warned   map[string]bool // what was said of mounts
	refused  string          // the revision that was refused last, and why
	withheld string          // the one that was held back last, and why
	newest   *page.NotTaken  // the newest revision, where it is not in force
	job      *decoding       // the revision that is being decoded, nil: none
	rejected *decoding       // the last revision that was rejected
	// triedGood: the last good revision on the disk was read while another one
	// was being decoded.
	triedGood bool
	pulled    error // how the last pull ended
	untaken   bool  // the ledger may say that a revision is not in force
}

func (a *app) run(ctx context.Context) error {
	s, log, err := a.begin()
	if err != nil {
		return err
	}
	if err := a.enough(s, log); err != nil {
		return err
	}
	if err := dnsprovider.CheckProgram(ctx, nil, release); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d := &daemon{app: a, settings: s, log: log, say: newDecisions(log), metrics: metrics.New(version()), health: newHealth(s.Interval),
		warned: map[string]bool{}, untaken: true, reload: reloading{asked: make(chan struct{}, 1), at: time.Now()}}
	a.leaseLog = log
	log.Info("started", "version", version(), "interval", s.Interval.String(), "state_dir", s.StateDir)
	progress := func(certificate, step, detail string) {
		d.health.turn()
		log.Debug("progress", "certificate", certificate, "step", step, "detail", detail)
	}
	if d.files, err = newWatch(log); err != nil {
		return err
	}
	defer d.files.Close()
	d.awaitReloads(ctx)
	d.page = page.NewServer(ctx, &d.shelf, time.Now)
	// Served from the start, so that who watches sees that Vault is waited for.
	served, err := d.serve(ctx)
	if err != nil {
		return err
	}
	if d.Parts, err = d.awaitVault(ctx, progress); d.Parts == nil {
		return err
	}
	defer d.Close()
	d.metrics.Connected(d.Client.TokenLease)
	defer d.page.Wait()
	d.shelf.ledger.Store(d.Parts.Ledger)
	d.page.Watch(func() []page.Work { return page.Works(d.Reconciler.AtWork()) })
	d.health.connected(func(ctx context.Context) error { return d.KV.Reach(ctx, s.Vault.Mount) })
	if a.configDir != "" && s.Verify != nil {
		log.Warn("verify in certroll.hcl checks commits only; certroll verifies no signature with --config-dir", "directory", a.configDir)
	}
	if a.configDir == "" {
		if d.source, err = s.Source(); err != nil {
			return err
		}
	}
	defer d.stopDecoding()
	d.newLookout()
	var beside sync.WaitGroup
	beside.Go(func() { d.Client.Keep(ctx) })
	d.notices.start = func(s *settings.Settings) {
		d.notices.run(ctx, &beside, d.notifier(s, d.Parts, log, d.metrics, d.reload.at))
	}
	d.notices.start(s)
	beside.Go(func() { d.lookout.Run(ctx) })
	d.reload.loop = reconcile.NewLoop(d.Reconciler, d, reconcile.LoopOptions{
		Interval: s.Interval, Nudge: d.files.changed, Planned: d.say.plan, Passed: d.passed, Ended: d.ended, Told: d.told, Daily: d.examine,
	})
	d.reload.loop.Run(ctx)
	log.Info("stopped")
	beside.Wait()
	<-served
	return nil
}

// enough says what is missing before anything is begun, where that is plain from
// certroll.hcl.
func (a *app) enough(s *settings.Settings, log *slog.Logger) error {
	if s.File == nil {
		log.Warn("no certroll.hcl found; using flags and environment variables only", "looked_for", settings.DefaultFile+" "+settings.InstalledFile)
	}
	if a.configDir == "" && s.Repo.URL == "" {
		return s.Lacks("config repo", "set repo.url in certroll.hcl, or read a directory with --config-dir")
	}
	if s.Ledger.URL == "" {
		return s.Lacks("ledger", "set ledger.url (or repo.url, whose repository then keeps the ledger's branch) in certroll.hcl")
	}
	return nil
}

const (
	firstWait = time.Second // for a Vault that is away at the start
	mostWait  = time.Minute
)

// awaitVault connects. After a reboot Vault may come up later, or wait to be
// unsealed: that is waited for; nil and no error where ctx ends before.
func (d *daemon) awaitVault(ctx context.Context, progress func(string, string, string)) (*wiring.Parts, error) {
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		d.health.turn()
		p, err := d.connect(ctx, d.settings, d.log, true, progress)
		stopped := ctx.Err() != nil
		if err == nil || !stopped && !isAway(err) {
			d.say.trouble("vault", nil)
			return p, err
		}
		if !stopped {
			d.say.trouble("vault", err)
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(wait):
		}
	}
}

// isAway tells whether Vault may be back without anybody's doing here.
func isAway(err error) bool {
	var away interface{ Away() bool }
	return errors.As(err, &away) && away.Away()
}

// passed logs and counts how a pass ended.
func (d *daemon) passed(p reconcile.Pass) {
	var revision metrics.Revision
	if d.good != nil {
		revision = metrics.Revision{Commit: d.good.Commit, At: d.takenAt}
	}
	now := time.Now()
	d.metrics.Passed(p, revision, now)
	d.page.Passed(d.shown(p, now))
	d.lookout.Follow(p.Standing, reconcile.Revision{Commit: revision.Commit})
	d.say.pass(p)
	d.health.passed(p)
	d.told()
}

// ended logs and counts how an attempt ended.
func (d *daemon) ended(r reconcile.Result) {
	if !d.metrics.Again(r) {
		d.metrics.Ended(r.Event)
	}
	d.say.ended(r)
	d.health.turn()
}

// told has the destinations read what the ledger has new.
func (d *daemon) told() {
	d.notices.wake()
}

// examine is the doctor's daily visit: what it finds is in the ledger.
func (d *daemon) examine(ctx context.Context, desired *spec.Spec, rev reconcile.Revision) {
	x, err := reconcile.Doctor(ctx, d.Reconciler, desired, rev)
	switch {
	case err != nil && ctx.Err() == nil:
		d.log.Error("the daily examination failed", "error", err)
	case err == nil:
		d.log.Info("examined", "certificates", x.Certificates, "errors", x.Count(reconcile.SeverityError), "warnings", x.Count(reconcile.SeverityWarning))
	}
}

// Pull is the loop's way to the config repo: the spec in force, and what keeps
// a newer one from being so.
func (d *daemon) Pull(ctx context.Context) (*spec.Spec, reconcile.Revision, error) {
	err := d.pulled
	if d.takeReload(ctx) {
		err = d.pull(ctx)
		d.pulled = err
	}
	if d.good == nil {
		return nil, reconcile.Revision{}, err
	}
	d.files.follow(credentialFiles(d.desired), d.configDir)
	d.warnOfMounts(ctx)
	return d.desired, reconcile.Revision{Commit: d.good.Commit, Author: d.good.Author}, err
}

// pull fetches the config repo. Where that fails, or its head has a mistake,
// the last good revision stays in force, also over a restart.
func (d *daemon) pull(ctx context.Context) error {
	rev, err := d.fetch(ctx)
	var held *fault.Error
	if errors.As(err, &held) && held.Held != nil {
		d.say.trouble("pull", nil)
		return d.withhold(ctx, held)
	}
	if err != nil {
		d.say.trouble("pull", err)
		return errors.Join(err, d.fallBack(ctx))
	}
	d.say.trouble("pull", nil)
	if d.inForce(rev) {
		d.followed()
		d.taken(ctx, rev)
		d.keepGood()
		return nil
	}
	job := d.decode(ctx, rev)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case job == nil: // the last good one goes on meanwhile
		return nil
	}
	desired, files, diags := job.desired, job.files, job.diags
	if diags.HasErrors() {
		d.metrics.Hold(reconcile.ReasonRefused)
		d.untaken = true
		said := view.OneLine(diags) + d.reload.advice()
		d.newest = &page.NotTaken{Commit: rev.Commit, Author: rev.Author, Reason: reconcile.ReasonRefused, Message: said}
		d.showRefused(rev, files, diags)
		d.say.trouble("telling", d.Reconciler.Refuse(ctx, reconcile.Revision{Commit: rev.Commit, Author: rev.Author}, said))
		return d.fallBack(ctx)
	}
	d.log.Info("revision", "revision", rev.Commit, "author", rev.Author, "certificates", len(desired.Certificates))
	d.followed()
	d.logChanges(desired)
	d.warnOfHolds(desired)
	d.good, d.desired, d.takenAt, d.onDisk = rev, desired, time.Now(), false
	d.taken(ctx, rev)
	d.keepGood()
	return nil
}

// decodeNewest decodes a revision that was fetched. After an upgrade of certroll
// it may be the one that was in force before: new rules hold what they concern
// in it, instead of rejecting it.
func (d *daemon) decodeNewest(ctx context.Context, rev, good *gitsync.Revision) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	desired, files, diags := configrepo.DecodeChange(ctx, d.settings, rev.Files, good)
	if !spec.OnlyNewRules(diags) {
		return desired, files, diags
	}
	k, err := d.readGood()
	before := err == nil && configrepo.SameRevision(rev, k.Revision)
	if errors.Is(err, fs.ErrNotExist) { // a fresh disk: the ledger may know
		before = configrepo.WasInForce(ctx, d.settings, d.configDir, rev, diags)
	}
	if !before {
		return desired, files, diags
	}
	return configrepo.DecodeInForce(ctx, d.settings, rev.Files)
}

// warnOfHolds logs what new rules hold, once for each revision.
func (d *daemon) warnOfHolds(desired *spec.Spec) {
	for _, h := range desired.Holds() {
		d.log.Error("held by a new rule", "rule", h.Rule.Name, "subject", h.Subject, "certificates", len(h.Certificates),
			"message", h.Message, "allow", h.Rule.Allow.Lines())
	}
}

// followed is what there is once the newest revision is in force.
func (d *daemon) followed() {
	d.metrics.Hold("")
	d.refused, d.withheld, d.newest = "", "", nil
}

// taken tells the ledger that a revision is in force, where it may say of one
// before it that it is not.
func (d *daemon) taken(ctx context.Context, rev *gitsync.Revision) {
	if !d.untaken {
		return
	}
	if err := d.Reconciler.Taken(ctx, reconcile.Revision{Commit: rev.Commit, Author: rev.Author}); err != nil {
		d.log.Error("could not record in the ledger that the new revision is in force; will retry", "error", err)
		return
	}
	d.untaken = false
}

// showRefused shows the mistakes of a revision, once however often it is met.
func (d *daemon) showRefused(rev *gitsync.Revision, files []spec.File, diags hcl.Diagnostics) {
	said := view.OneLine(diags) + d.reload.advice()
	if d.refused == rev.Commit+said {
		return
	}
	d.refused = rev.Commit + said
	if d.settings.Log.Format != "json" {
		view.Diagnostics(d.Err, d.Palette(), files, diags)
	}
	d.log.Error("revision refused", "revision", rev.Commit, "mistakes", said)
}

// inForce tells whether a revision is the one that is in force. Its files are
// looked at too: a directory's changes have no commit of their own, and what
// was kept on the disk may be of another directory of the commit.
func (d *daemon) inForce(rev *gitsync.Revision) bool {
	return d.good != nil && configrepo.SameReading(rev, d.good)
}

func (d *daemon) fetch(ctx context.Context) (*gitsync.Revision, error) {
	if d.source == nil {
		return configrepo.ReadDir(d.configDir, d.settings)
	}
	rev, err := d.source.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	return rev, d.follows(ctx, rev)
}
