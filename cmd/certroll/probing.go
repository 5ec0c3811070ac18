package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile"
	"certroll/reconcile/probe"
	"certroll/spec"
)

// probeSettings say where certroll looks at what is served, how often, and how
// long a consumer may take.
type probeSettings struct {
	Allow    []string `hcl:"allow,optional"`
	Interval string   `hcl:"interval,optional"`
	After    string   `hcl:"after,optional"`
	Timeout  string   `hcl:"timeout,optional"`

	rules                    spec.ProbeRules
	interval, after, timeout time.Duration // 0: the default
}

// complete checks and reads them.
func (p *probeSettings) complete(where hcl.Range) (diags hcl.Diagnostics) {
	fault := func(summary, format string, args ...any) {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Subject: &where, Detail: fmt.Sprintf(format, args...)})
	}
	var why string
	if p.rules, why = spec.ParseProbeRules(p.Allow); why != "" {
		fault("Invalid endpoint", "probe.allow has %s.", why)
	}
	for _, d := range []struct {
		name, text  string
		least, most time.Duration
		to          *time.Duration
	}{
		{"interval", p.Interval, time.Second, 24 * time.Hour, &p.interval},
		{"after", p.After, time.Second, 30 * 24 * time.Hour, &p.after},
		{"timeout", p.Timeout, 100 * time.Millisecond, time.Minute, &p.timeout},
	} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil || v < d.least || v > d.most {
			fault("Invalid duration", "probe.%s = %q is no duration from %s to %s; write it like \"15m\".", d.name, d.text, d.least, d.most)
		}
		*d.to = v
	}
	return diags
}

func (s *settings) prober() *probe.Prober {
	return probe.New(probe.Options{Rules: s.Probe.rules, Timeout: s.Probe.timeout})
}

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
		Interval: d.settings.Probe.interval, After: d.settings.Probe.after, Told: d.toldOfProbe,
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
