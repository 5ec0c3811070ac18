package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"certroll/reconcile/reach"
	"certroll/spec"
)

const (
	// maxAddresses is the number of addresses of one host that certroll checks.
	maxAddresses = 8
	// atOnce is the number of concurrent connections of a Prober.
	atOnce         = 16
	defaultTimeout = 10 * time.Second
)

// Options are a Prober's settings. The zero value is usable.
type Options struct {
	Rules   spec.ProbeRules // allowed addresses besides public ones
	Timeout time.Duration   // for resolving, and for each address; 0: ten seconds
	// Lookup resolves a host; nil uses the system's resolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Prober fetches the certificates of servers.
type Prober struct {
	o    Options
	room chan struct{}
}

// New returns a Prober.
func New(o Options) *Prober {
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	if o.Lookup == nil {
		o.Lookup = net.DefaultResolver.LookupNetIP
	}
	return &Prober{o: o, room: make(chan struct{}, atOnce)}
}

// DeniedError reports that the rules allow no address of a host.
type DeniedError = reach.DeniedError

// allow names, for errors, the setting that allows addresses to probes.
const allow = "probe in certroll.hcl"

// Served returns the certificates at all addresses of an endpoint, leaf first, by
// address. It returns an error only if no address answered. If a server has certificates
// of several key algorithms, Served prefers the one of algorithm.
func (p *Prober) Served(ctx context.Context, at spec.Probe, algorithm spec.Algorithm) (map[string][]*x509.Certificate, error) {
	addrs, err := p.addresses(ctx, at)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	served := map[string][]*x509.Certificate{}
	failed := make([]error, len(addrs))
	for i, addr := range addrs {
		wg.Go(func() {
			chain, err := p.ask(ctx, addr, at, algorithm)
			if failed[i] = err; err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			served[addr.Addr().String()] = chain
		})
	}
	wg.Wait()
	if len(served) > 0 {
		return served, nil
	}
	return nil, failed[0]
}

// addresses returns the allowed addresses of the host, sorted, so that each probe checks
// the same ones.
func (p *Prober) addresses(ctx context.Context, at spec.Probe) ([]netip.AddrPort, error) {
	found, err := p.resolve(ctx, at.Host)
	var dns *net.DNSError
	if errors.As(err, &dns) {
		err = errors.New(dns.Err) // leaves out the resolver's own address
	}
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", at.Host, err)
	}
	var list []netip.AddrPort
	for _, addr := range found {
		if to := netip.AddrPortFrom(addr.Unmap(), at.Port); p.o.Rules.Dials(to) {
			list = append(list, to)
		}
	}
	if len(list) == 0 {
		return nil, &DeniedError{Host: at.Host, Allow: allow}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	list = slices.Compact(list)
	return list[:min(len(list), maxAddresses)], nil
}

func (p *Prober) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	return p.o.Lookup(ctx, "ip", host)
}

// ask does one handshake with an address, and a second one if the server showed a
// certificate of the other key algorithm.
func (p *Prober) ask(ctx context.Context, to netip.AddrPort, at spec.Probe, algorithm spec.Algorithm) ([]*x509.Certificate, error) {
	select {
	case p.room <- struct{}{}:
		defer func() { <-p.room }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	chain, err := p.handshake(ctx, to, at, nil)
	if err != nil || suites[algorithm] == nil || chain[0].PublicKeyAlgorithm == algorithms[algorithm] {
		return chain, err
	}
	// In TLS 1.3 crypto/tls cannot select the algorithm, so the second handshake is TLS
	// 1.2.
	if other, err := p.handshake(ctx, to, at, suites[algorithm]); err == nil && other[0].PublicKeyAlgorithm == algorithms[algorithm] {
		return other, nil
	}
	return chain, nil
}

var algorithms = map[spec.Algorithm]x509.PublicKeyAlgorithm{spec.RSA: x509.RSA, spec.ECDSA: x509.ECDSA}

// suites are the TLS 1.2 cipher suites that require a certificate of the algorithm.
var suites = map[spec.Algorithm][]uint16{
	spec.RSA: {
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	},
	spec.ECDSA: {
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	},
}

// handshake connects and returns the server's certificates. If only is set, the handshake
// is TLS 1.2 with these suites.
func (p *Prober) handshake(ctx context.Context, to netip.AddrPort, at spec.Probe, only []uint16) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	conn, err := (&reach.Dialer{Dials: p.o.Rules.Dials, Allow: allow, Timeout: p.o.Timeout}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", at.Endpoint(), err)
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a connection that supports no deadline fails by itself
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := startTLS(conn, at.Protocol); err != nil {
		return nil, fmt.Errorf("asking %s for TLS: %w", at.Endpoint(), err)
	}
	var shown []*x509.Certificate
	config := &tls.Config{
		ServerName: at.ServerName, MinVersion: tls.VersionTLS12, CipherSuites: only,
		// The probe reports any served certificate, whoever signed it, and sends no data.
		InsecureSkipVerify: true,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			for _, der := range raw {
				cert, err := x509.ParseCertificate(der)
				if err != nil {
					return err
				}
				shown = append(shown, cert)
			}
			return nil
		},
	}
	if only != nil {
		config.MaxVersion = tls.VersionTLS12
	}
	err = tls.Client(conn, config).HandshakeContext(ctx)
	if len(shown) > 0 && (err == nil || refusedUs(err)) {
		return shown, nil
	}
	if err == nil {
		err = errors.New("it showed no certificate")
	}
	return nil, fmt.Errorf("shaking hands with %s: %w", at.Endpoint(), err)
}

// refusedUs reports whether the server ended the handshake, as a server does that demands
// a client certificate.
func refusedUs(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
