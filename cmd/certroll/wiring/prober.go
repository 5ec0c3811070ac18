package wiring

import (
	"context"
	"crypto/x509"
	"sync/atomic"

	"certroll/reconcile/probe"
	"certroll/spec"
)

// CurrentProber asks by the settings that were read last.
type CurrentProber struct{ atomic.Pointer[probe.Prober] }

// NewCurrentProber asks by these settings until others are stored.
func NewCurrentProber(p *probe.Prober) *CurrentProber {
	n := &CurrentProber{}
	n.Store(p)
	return n
}

// Served asks an endpoint for the certificates that it serves.
func (p *CurrentProber) Served(ctx context.Context, at spec.Probe, algorithm spec.Algorithm) (map[string][]*x509.Certificate, error) {
	return p.Load().Served(ctx, at, algorithm)
}

// CRL fetches a list of what a CA revoked.
func (p *CurrentProber) CRL(ctx context.Context, url string) ([]byte, error) {
	return p.Load().CRL(ctx, url)
}
