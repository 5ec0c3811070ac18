package daemon

import (
	"context"
	"log/slog"

	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
)

// newMonitor makes the monitor of endpoints, which runs beside the loop.
func (d *daemon) newMonitor() {
	say := newDecisions(d.log) // a separate log state: the monitor runs in another goroutine
	d.monitor = monitor.New(d.Reconciler, d.Prober, monitor.Options{
		Interval: d.settings.Probe.Interval, After: d.settings.Probe.After, Recorded: d.probeRecorded,
		Telling: func(err error) { say.failing("served", err) },
	})
	d.metrics.Look(d.monitor.Results)
}

// probeRecorded logs the beginning and end of a probe's problem.
func (d *daemon) probeRecorded(e ledger.Event) {
	level := slog.LevelInfo
	if e.Status == ledger.Failed {
		level = slog.LevelError
	}
	d.log.Log(context.Background(), level, "probe", "certificate", e.Certificate, "endpoint", e.Endpoint,
		"status", string(e.Status), "class", string(e.Class), "severity", e.Severity, "message", e.Message, "detail", e.Detail)
}
