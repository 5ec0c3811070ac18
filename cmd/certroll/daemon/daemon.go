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

// daemon is what run keeps between its passes.
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
	shelf    opened // the ledger, as the page reads it
	lookout  *monitor.Monitor
	notices  notices
	reload   reloading
	warned   map[string]bool // what was said of mounts
	pulled   error           // how the last pull ended
}

// Options are what of the program the daemon works with.
type Options struct {
	*console.Console

	ConfigFile, LogLevel string
	// ConfigDir is the directory that stands in for the config repo; "": there is none.
	ConfigDir string

	Version, Release string
	LeaseTTL         time.Duration // how long a lease outlives a reconciler that was killed
	// Connect logs in to Vault and opens the ledger, to write it.
	Connect func(ctx context.Context, s *settings.Settings, log *slog.Logger, progress func(string, string, string)) (*wiring.Parts, error)
}

// newDaemon makes one that is not at work yet.
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
		Trouble:       func(what string, err error) { d.say.trouble(what, err) },
		Hold:          d.metrics.Hold,
		DecodingSince: d.health.decoding,
		Nudge:         d.files.nudge,
		Show:          func(files []spec.File, diags hcl.Diagnostics) { view.Diagnostics(d.Err, d.Palette(), files, diags) },
		Advice:        func() string { return d.reload.advice() },
	})
	return d, nil
}

// reloading is what run knows of certroll.hcl besides the settings in use.
type reloading struct {
	asked   chan struct{}  // SIGHUP came, and was not taken up yet
	job     *reloadJob     // certroll.hcl is being read again; nil: it is not
	at      time.Time      // when the settings in use were read
	refused error          // why the last reload changed nothing; nil: it did not fail
	outside bool           // the cause of refused is none of the file: it was as it is in use
	changed error          // certroll.hcl is otherwise by now than what was read
	restart []string       // settings whose change waits for a restart
	address net.Addr       // where run serves; nil: nowhere
	front   swappedHandler // what it serves there
	loop    *reconcile.Loop
}

// warnOfMounts logs each such sentence once.
func (d *daemon) warnOfMounts(ctx context.Context) {
	for _, w := range retention.Warnings(ctx, d.KV, d.repo.Desired, d.log) {
		if !d.warned[w] {
			d.warned[w] = true
			d.log.Warn("Vault deletes secret versions too soon", "problem", w)
		}
	}
}
