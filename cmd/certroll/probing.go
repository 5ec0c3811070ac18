package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"sync/atomic"

	"certroll/reconcile"
	"certroll/reconcile/probe"
	"certroll/spec"
)

// proberNow asks by the settings that were read last.
type proberNow struct{ atomic.Pointer[probe.Prober] }

func newProberNow(p *probe.Prober) *proberNow {
	n := &proberNow{}
	n.Store(p)
	return n
}

// Served asks an endpoint for the certificates that it serves.
func (p *proberNow) Served(ctx context.Context, at spec.Probe, algorithm spec.Algorithm) (map[string][]*x509.Certificate, error) {
	return p.Load().Served(ctx, at, algorithm)
}

// CRL fetches a list of what a CA revoked.
func (p *proberNow) CRL(ctx context.Context, url string) ([]byte, error) {
	return p.Load().CRL(ctx, url)
}

// newLookout makes what looks at endpoints beside the loop, and follows it.
func (d *daemon) newLookout() {
	say := newDecisions(d.log) // its own: it is asked by another goroutine than the loop
	d.lookout = reconcile.NewLookout(d.reconciler, d.prober, reconcile.LookoutOptions{
		Interval: d.settings.Probe.Interval, After: d.settings.Probe.After, Told: d.toldOfProbe,
		Telling: func(err error) { say.trouble("served", err) },
	})
	d.metrics.look(d.lookout.Looks)
}

// toldOfProbe logs what came or is gone.
func (d *daemon) toldOfProbe(e reconcile.Event) {
	level := slog.LevelInfo
	if e.Status == reconcile.Failed {
		level = slog.LevelError
	}
	d.log.Log(context.Background(), level, "probe", "certificate", e.Certificate, "endpoint", e.Endpoint,
		"status", string(e.Status), "class", string(e.Class), "severity", e.Severity, "message", e.Message, "detail", e.Detail)
}
