package daemon

import (
	"context"
	"log/slog"

	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
)

// newLookout makes what looks at endpoints beside the loop, and follows it.
func (d *daemon) newLookout() {
	say := newDecisions(d.log) // its own: it is asked by another goroutine than the loop
	d.lookout = monitor.New(d.Reconciler, d.Prober, monitor.Options{
		Interval: d.settings.Probe.Interval, After: d.settings.Probe.After, Told: d.toldOfProbe,
		Telling: func(err error) { say.trouble("served", err) },
	})
	d.metrics.Look(d.lookout.Results)
}

// toldOfProbe logs what came or is gone.
func (d *daemon) toldOfProbe(e ledger.Event) {
	level := slog.LevelInfo
	if e.Status == ledger.Failed {
		level = slog.LevelError
	}
	d.log.Log(context.Background(), level, "probe", "certificate", e.Certificate, "endpoint", e.Endpoint,
		"status", string(e.Status), "class", string(e.Class), "severity", e.Severity, "message", e.Message, "detail", e.Detail)
}
