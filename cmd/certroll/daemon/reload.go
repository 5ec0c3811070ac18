package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/spec"
)

// reloadJob reads certroll.hcl again, in its own goroutine, without changing anything.
type reloadJob struct {
	done     chan struct{} // closed once the fields below are set
	settings *settings.Settings
	desired  *spec.Spec // the revision in force, decoded with the new settings
	files    []spec.File
	diags    hcl.Diagnostics
	restart  []string
	outside  bool // the file has not changed
	hooks    map[string]http.Handler
	err      error
}

// awaitReloads requests a reload on each SIGHUP until ctx ends. Signals in quick
// succession count as one.
func (d *daemon) awaitReloads(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				d.askReload()
			}
		}
	}()
}

// askReload requests a reload and wakes the loop.
func (d *daemon) askReload() {
	select {
	case d.reload.asked <- struct{}{}:
	default: // a reload is already pending
	}
	d.files.nudge()
}

// takeReload reloads certroll.hcl if requested. The loop calls it between passes. If
// reading is slow it returns false: the revision in force stays so, and no other one is
// decoded meanwhile.
func (d *daemon) takeReload(ctx context.Context) (done bool) {
	if d.reload.job == nil {
		select {
		case <-d.reload.asked:
			d.repo.StopDecoding()
			d.reload.job = d.beginReload(ctx)
		default:
			d.noteChangedSettings()
			return true
		}
	}
	job := d.reload.job
	if !configrepo.DoneWithin(ctx, job.done, configrepo.Grace) && d.repo.Good != nil {
		return false
	}
	<-job.done // ends by decode_timeout
	d.reload.job = nil
	if ctx.Err() != nil {
		return false
	}
	if job.err == nil {
		job.err = d.swap(job)
	}
	if d.reload.refused, d.reload.outside = job.err, job.outside; job.err != nil {
		d.showReloadRefused(job)
	}
	d.noteChangedSettings()
	return true
}

// beginReload starts a reloadJob beside the loop.
func (d *daemon) beginReload(ctx context.Context) *reloadJob {
	ctx, cancel := context.WithCancel(ctx)
	j := &reloadJob{done: make(chan struct{})}
	good, old := d.repo.Good, d.settings
	go func() {
		defer cancel()
		j.err = d.readAgain(ctx, j, old, good)
		close(j.done)
		d.files.nudge()
	}()
	return j
}

// readAgain reads certroll.hcl and decodes everything that depends on it: the file
// applies as a whole or not at all.
func (d *daemon) readAgain(ctx context.Context, j *reloadJob, old *settings.Settings, good *gitsync.Revision) error {
	s, err := d.parseAgain(j, old)
	if err != nil {
		return err
	}
	j.settings, j.restart = s, s.KeepFixed(old)
	if _, err := s.Repo.Auth.Auth(); err != nil && d.ConfigDir == "" {
		return err
	}
	if len(s.Webhooks) > 0 && d.reload.address == nil {
		return errors.New("it has webhook blocks, and certroll run has served nothing since it started: set listen in certroll.hcl to an address that is free, and restart certroll run")
	}
	if j.hooks, err = webhooks(s, d.files.changed, d.log); err != nil {
		return err
	}
	if _, err := s.ListenToken(); err != nil || good == nil {
		return err
	}
	if j.desired, j.files, j.diags = configrepo.DecodeInForce(ctx, s, good.Files); j.diags.HasErrors() {
		return fmt.Errorf("it rejects the revision in force, %s: %s; correct the config repo first, or allow what it has in certroll.hcl", configrepo.Named(good.Commit), view.OneLine(j.diags))
	}
	configrepo.NoteUnread(j.desired, good)
	return nil
}

// parseAgain reads the file alone.
func (d *daemon) parseAgain(j *reloadJob, old *settings.Settings) (*settings.Settings, error) {
	s, files, diags, err := settings.Load(d.ConfigFile)
	j.outside = old.IsOf(files)
	switch {
	case err != nil:
		return nil, err
	case diags.HasErrors():
		j.files, j.diags = files, diags
		return nil, errors.New(view.OneLine(diags))
	case s.File == nil && old.File != nil:
		return nil, fmt.Errorf("%s is not there any more", old.File.Path)
	}
	s.Logger = d.log
	if d.LogLevel != "" {
		s.Log.Level = d.LogLevel
	}
	_, err = s.Log.Parsed()
	return s, err
}

// swap replaces the settings. The steps that can fail come first.
func (d *daemon) swap(j *reloadJob) error {
	old, s := d.settings, j.settings
	if err := d.repo.UseSettings(s, j.desired); err != nil {
		return err
	}
	d.settings, d.reload.at, d.reload.restart = s, time.Now(), j.restart
	old.Log.PassOn(s.Log)
	d.health.expect(s.Interval)
	if d.reload.loop != nil {
		d.reload.loop.SetInterval(s.Interval)
	}
	if d.Parts != nil {
		d.Prober.Store(s.Prober())
	}
	if d.monitor != nil {
		d.monitor.SetTimes(s.Probe.Interval, s.Probe.After)
	}
	if d.reload.address != nil {
		d.reload.front.store(d.routes(s, j.hooks, d.reload.address))
		warnOfOpen(s, d.log, d.reload.address)
	}
	warnOfSecrets(s, d.log)
	if d.notices.start != nil && !settings.SameDestinations(old.Notify, s.Notify) {
		d.notices.start(s)
	}
	d.log.Info("certroll.hcl was read again", "file", s.Path(), "restart_for", strings.Join(j.restart, ","))
	return nil
}

// showReloadRefused displays why certroll.hcl was rejected, as at the start.
func (d *daemon) showReloadRefused(j *reloadJob) {
	if d.settings.Log.Format != "json" && j.diags.HasErrors() {
		view.Diagnostics(d.Err, d.Palette(), j.files, j.diags)
	}
	d.log.Error("certroll.hcl was not reloaded; the earlier settings stay in use", "file", d.settings.Path(), "error", j.err)
}

// noteChangedSettings compares certroll.hcl with the settings in use, and logs a
// difference once.
func (d *daemon) noteChangedSettings() {
	d.reload.changed = d.settings.ChangedSince(d.reload.at)
	if d.reload.changed == nil && !d.reload.outside {
		d.reload.refused = nil // the file is back to the settings in use
	}
	if d.reload.refused == nil { // otherwise showReloadRefused has logged it
		d.say.failing("settings", d.reload.changed)
	}
}

// notes returns the status page's sentences about certroll.hcl. They are not faults:
// the settings in use work.
func (r *reloading) notes() []string {
	said := []string{}
	switch {
	case r.refused != nil:
		said = append(said, "certroll.hcl was not reloaded, and what was read at "+r.at.UTC().Format(time.RFC3339)+" is in use: "+r.refused.Error())
	case r.changed != nil:
		said = append(said, r.changed.Error())
	}
	if len(r.restart) > 0 {
		said = append(said, "certroll.hcl has changed, and certroll run needs a restart for "+strings.Join(r.restart, ", "))
	}
	return said
}

// advice is added to the errors of a revision that a newer certroll.hcl may allow.
func (r *reloading) advice() string {
	if r.changed == nil {
		return ""
	}
	return "; certroll.hcl is newer than what certroll run has read of it: reload it (SIGHUP)"
}
