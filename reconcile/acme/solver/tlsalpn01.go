package solver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-acme/lego/v4/challenge/tlsalpn01"
	"github.com/miekg/dns"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/publish"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// alpn is the protocol name of RFC 8737 section 6.2.
const alpn = "acme-tls/1"

// viaTLS answers tls-alpn-01 challenges. A server name can have one answer at a time, so
// orders for the same name take turns.
func (s *solving) viaTLS(ctx context.Context, account *spec.DNSAccount, challenges []challenge) error {
	for _, ch := range challenges {
		if err := s.viaTLSAlone(ctx, account, ch); err != nil {
			return err
		}
	}
	return nil
}

// viaTLSAlone answers one challenge while it holds the lock on the address and server
// name.
func (s *solving) viaTLSAlone(ctx context.Context, account *spec.DNSAccount, ch challenge) error {
	name := serverName(ch.domain())
	unlock, err := publish.InTurn(s.Report, "waiting for another certificate's challenge for "+ch.name(), func(waiting func()) (func(), error) {
		return s.Solver.turns.Take(ctx, strings.ToLower(account.Listen+" "+name), s.Order, waiting)
	})
	if err != nil {
		return problem.Interrupted(ctx, s.Doing)
	}
	defer unlock()
	s.Report("tls", "answering at "+account.Listen+" for "+ch.name())
	cert, err := tlsalpn01.ChallengeCert(ch.domain(), ch.keyAuth)
	if err != nil {
		return &problem.Error{OfClass: ledger.ClassInternal, Doing: "making the tls-alpn-01 certificate for " + ch.name(), Said: err.Error(), Cause: err}
	}
	l, leave, err := s.Solver.servers.use(ctx, spec.TLSALPN01, account.Listen, serveTLS)
	if err != nil {
		return listenFailure(account, err)
	}
	defer leave()
	defer put(l, l.certs, name, cert)()
	return s.askAll(ctx, []challenge{ch})
}

// serverName returns the SNI of the CA's request: the name, or for an address its name
// in the reverse tree (RFC 8738 section 6).
func serverName(identifier string) string {
	if reverse, err := dns.ReverseAddr(identifier); err == nil {
		return strings.TrimSuffix(reverse, ".")
	}
	return strings.ToLower(identifier)
}

// serveTLS accepts connections and presents the certificate for their SNI. stop waits
// for all handshakes.
func serveTLS(l *listening, ln net.Listener) (stop func()) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{alpn},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := l.certificate(strings.ToLower(hello.ServerName)); cert != nil {
				return cert, nil
			}
			return nil, errors.New("no challenge for this name")
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // closed by stop
			}
			serving.Go(func() { handshake(ctx, conn, config) })
		}
	})
	return func() {
		_ = ln.Close()
		cancel() // a client may be connected and send nothing
		serving.Wait()
	}
}

// handshake does the TLS handshake only: its certificate is the answer (RFC 8737 section
// 3).
func handshake(ctx context.Context, conn net.Conn, config *tls.Config) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(connTimeout))
	_ = tls.Server(conn, config).HandshakeContext(ctx) // a failure comes from another client, not the CA
}
