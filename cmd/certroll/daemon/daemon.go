package daemon

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/metrics"
	"certroll/cmd/certroll/page"
	"certroll/cmd/certroll/retention"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/cmd/certroll/wiring"
	"certroll/reconcile"
	"certroll/reconcile/monitor"
	"certroll/spec"
)

// daemon is the state of certroll run between passes.
type daemon struct {
	Options
	*wiring.Parts
	settings *settings.Settings
	log      *slog.Logger
	repo     *configrepo.Follower
	say      *decisions
	files    *watch
	metrics  *metrics.Metrics
	health   *health
	page     *page.Server
	shelf    opened // the ledger for the status page
	monitor  *monitor.Monitor
	notices  notices
	reload   reloading
	warned   map[string]bool // logged warnings about mounts
	pulled   error           // result of the last pull
}

// Options are the parts of the program that the daemon needs.
type Options struct {
	*console.Console

	ConfigFile, LogLevel string
	// ConfigDir is the directory used in place of the config repo; "": none.
	ConfigDir string

	Version, Release string
	LeaseTTL         time.Duration // how long a killed certroll's lease lasts
	// Connect logs in to Vault and opens the ledger for writing.
	Connect func(ctx context.Context, s *settings.Settings, log *slog.Logger, progress func(string, string, string)) (*wiring.Parts, error)
}

// newDaemon makes a daemon that is not running yet.
func newDaemon(p Options, s *settings.Settings, log *slog.Logger) (*daemon, error) {
	d := &daemon{
		Options: p, settings: s, log: log, say: newDecisions(log), metrics: metrics.New(p.Version), health: newHealth(s.Interval), warned: map[string]bool{},
		reload: reloading{asked: make(chan struct{}, 1), at: time.Now()},
	}
	var err error
	if d.files, err = newWatch(log); err != nil {
		return nil, err
	}
	d.repo = configrepo.Follow(s, p.ConfigDir, log, configrepo.Observers{
		Retried:       func(what string, err error) { d.say.failing(what, err) },
		Hold:          d.metrics.Hold,
		DecodingSince: d.health.decoding,
		Nudge:         d.files.nudge,
		Show:          func(files []spec.File, diags hcl.Diagnostics) { view.Diagnostics(d.Err, d.Palette(), files, diags) },
		Advice:        func() string { return d.reload.advice() },
	})
	return d, nil
}

// reloading is the state of certroll.hcl's reload.
type reloading struct {
	asked   chan struct{}  // a SIGHUP is pending
	job     *reloadJob     // the reload in progress; nil: none
	at      time.Time      // when the current settings were read
	refused error          // why the last reload failed; nil: it did not
	outside bool           // refused has a cause outside the file, which had not changed
	changed error          // why the file differs from the current settings; nil: it does not
	restart []string       // changed settings that need a restart
	address net.Addr       // where run serves; nil: nowhere
	front   swappedHandler // what it serves there
	loop    *reconcile.Loop
}

// warnOfMounts logs each warning once.
func (d *daemon) warnOfMounts(ctx context.Context) {
	for _, w := range retention.Warnings(ctx, d.KV, d.repo.Desired, d.log) {
		if !d.warned[w] {
			d.warned[w] = true
			d.log.Warn("Vault deletes secret versions too soon", "problem", w)
		}
	}
}
