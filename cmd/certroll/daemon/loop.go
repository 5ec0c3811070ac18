package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"certroll/cmd/certroll/metrics"
	"certroll/cmd/certroll/notifier"
	"certroll/cmd/certroll/page"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/wiring"
	"certroll/reconcile"
	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/attempt"
	"certroll/reconcile/doctor"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/await"
)

// Run pulls and applies until ctx ends.
func Run(ctx context.Context, p Options, s *settings.Settings, log *slog.Logger) error {
	if err := enough(s, p.ConfigDir); err != nil {
		warnOfNoFile(s, log)
		return err
	}
	if err := dnsprovider.CheckProgram(ctx, nil, p.Release); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	started(p, s, log)
	d, err := newDaemon(p, s, log)
	if err != nil {
		return err
	}
	defer d.files.Close()
	progress := func(certificate, step, detail string) {
		d.health.turn()
		log.Debug("progress", "certificate", certificate, "step", step, "detail", detail)
	}
	d.awaitReloads(ctx)
	d.page = page.NewServer(ctx, &d.shelf, time.Now)
	// Serve from the start, so that a monitor sees that certroll is waiting for Vault.
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
	if p.ConfigDir != "" && s.Verify != nil {
		log.Warn("verify in certroll.hcl checks commits only; certroll verifies no signature with --config-dir", "directory", p.ConfigDir)
	}
	if err := d.repo.Begin(d.Parts.Ledger.Snapshot, d.Reconciler); err != nil {
		return err
	}
	defer d.repo.StopDecoding()
	d.newMonitor()
	var beside sync.WaitGroup
	beside.Go(func() { d.Client.Keep(ctx) })
	d.notices.start = func(s *settings.Settings) {
		d.notices.run(ctx, &beside, notifier.New(s, d.Parts, notifier.Options{Version: d.Version, LeaseTTL: d.LeaseTTL, Log: log, Metrics: d.metrics, Since: d.reload.at}))
	}
	d.notices.start(s)
	beside.Go(func() { d.monitor.Run(ctx) })
	d.reload.loop = reconcile.NewLoop(d.Reconciler, d, reconcile.LoopOptions{
		Interval: s.Interval, Nudge: d.files.changed, Planned: d.say.plan, Passed: d.passed, Ended: d.ended, Published: d.published, Daily: d.examine,
	})
	d.reload.loop.Run(ctx)
	log.Info("stopped")
	beside.Wait()
	<-served
	return nil
}

// started logs the start, before any part of run can log.
func started(p Options, s *settings.Settings, log *slog.Logger) {
	log.Info("started", "version", p.Version, "interval", s.Interval.String(), "state_dir", s.StateDir)
	warnOfNoFile(s, log)
}

// warnOfNoFile warns that run found no certroll.hcl.
func warnOfNoFile(s *settings.Settings, log *slog.Logger) {
	if s.File == nil {
		log.Warn("no certroll.hcl found; using flags and environment variables only", "looked_for", settings.DefaultFile+" "+settings.InstalledFile)
	}
}

// enough checks for settings without which run cannot start.
func enough(s *settings.Settings, configDir string) error {
	if configDir == "" && s.Repo.URL == "" {
		return s.Lacks("config repo", "set repo.url in certroll.hcl, or read a directory with --config-dir")
	}
	if s.Ledger.URL == "" {
		return s.Lacks("ledger", "set ledger.url (or repo.url, whose repository then keeps the ledger's branch) in certroll.hcl")
	}
	return nil
}

const (
	firstWait = time.Second // while Vault is unreachable at the start
	mostWait  = time.Minute
)

// awaitVault connects, and retries while Vault is down or sealed, as after a reboot. It
// returns nil and no error if ctx ends first.
func (d *daemon) awaitVault(ctx context.Context, progress func(string, string, string)) (*wiring.Parts, error) {
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		d.health.turn()
		p, err := d.Connect(ctx, d.settings, d.log, progress)
		stopped := ctx.Err() != nil
		if err == nil || !stopped && !isAway(err) {
			d.say.failing("vault", nil)
			return p, err
		}
		if !stopped {
			d.say.failing("vault", err)
		}
		if await.Sleep(ctx, wait) != nil {
			return nil, nil //nolint:nilerr // run was stopped, which is no error
		}
	}
}

// isAway reports whether Vault may recover without a change here.
func isAway(err error) bool {
	var away interface{ Away() bool }
	return errors.As(err, &away) && away.Away()
}

// passed logs and counts the result of a pass.
func (d *daemon) passed(p reconcile.Pass) {
	var revision metrics.Revision
	if d.repo.Good != nil {
		revision = metrics.Revision{Commit: d.repo.Good.Commit, At: d.repo.TakenAt}
	}
	now := time.Now()
	d.metrics.Passed(p, revision, now)
	d.page.Passed(d.shown(p, now))
	d.monitor.Follow(p.After.Actions, ledger.Revision{Commit: revision.Commit})
	d.say.pass(p)
	d.health.passed(p)
	d.published()
}

// ended logs and counts the result of an attempt.
func (d *daemon) ended(r attempt.Result) {
	if !d.metrics.Again(r) {
		d.metrics.Ended(r.Event)
	}
	d.say.ended(r)
	d.health.turn()
}

// published makes the notifier read the ledger's new events.
func (d *daemon) published() {
	d.notices.wake()
}

// examine is the daily examination; the ledger records its findings.
func (d *daemon) examine(ctx context.Context, desired *spec.Spec, rev ledger.Revision) {
	x, err := doctor.Doctor(ctx, d.Reconciler, desired, rev)
	switch {
	case err != nil && ctx.Err() == nil:
		d.log.Error("the daily examination failed", "error", err)
	case err == nil:
		d.log.Info("examined", "certificates", x.Certificates, "errors", x.Count(ledger.SeverityError), "warnings", x.Count(ledger.SeverityWarning))
	}
}

// Pull returns the spec in force for the loop, with the error that keeps a newer
// revision out of force.
func (d *daemon) Pull(ctx context.Context) (*spec.Spec, ledger.Revision, error) {
	err := d.pulled
	if d.takeReload(ctx) {
		err = d.repo.Pull(ctx)
		d.pulled = err
	}
	if d.repo.Good == nil {
		return nil, ledger.Revision{}, err
	}
	d.files.follow(credentialFiles(d.repo.Desired), d.ConfigDir)
	d.warnOfMounts(ctx)
	return d.repo.Desired, ledger.Revision{Commit: d.repo.Good.Commit, Author: d.repo.Good.Author}, err
}
