package wiring

import (
	"context"
	"crypto/x509"
	"sync/atomic"

	"certroll/reconcile/probe"
	"certroll/spec"
)

// CurrentProber probes with the settings of the last reload.
type CurrentProber struct{ atomic.Pointer[probe.Prober] }

// NewCurrentProber uses p until another one is stored.
func NewCurrentProber(p *probe.Prober) *CurrentProber {
	n := &CurrentProber{}
	n.Store(p)
	return n
}

// Served returns the certificates that an endpoint serves.
func (p *CurrentProber) Served(ctx context.Context, at spec.Probe, algorithm spec.Algorithm) (map[string][]*x509.Certificate, error) {
	return p.Load().Served(ctx, at, algorithm)
}

// CRL fetches a CA's certificate revocation list.
func (p *CurrentProber) CRL(ctx context.Context, url string) ([]byte, error) {
	return p.Load().CRL(ctx, url)
}
