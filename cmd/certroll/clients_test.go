package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// clients keep a server busy while its certificate changes. Some open a connection for each request, others keep
// theirs. All of them verify the server.
type clients struct {
	addr   string
	method string // of clients that keep their connections
	tls    *tls.Config
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	serials  []string // of new connections, in order
	reused   int      // requests on a connection that had carried another one
	failures []string
}

// busy starts the clients. If the connection turns out to be closed, HTTP clients retry a GET but not a POST.
func (w *world) busy(addr, method string) *clients {
	ctx, stop := context.WithCancel(w.t.Context())
	c := &clients{addr: addr, method: method, tls: w.trusting("api.lab.test"), stop: stop}
	for range 2 {
		c.wg.Go(func() { c.open(ctx) })
		c.wg.Go(func() { c.keep(ctx) })
	}
	w.t.Cleanup(c.end)
	return c
}

// trusting returns the TLS settings of a client that trusts only the lab's CA.
func (w *world) trusting(name string) *tls.Config {
	w.t.Helper()
	roots, err := w.pebble.Roots(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(roots))
	return &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}
}

func (c *clients) end() {
	c.stop()
	c.wg.Wait()
}

// open makes a new connection for each request.
func (c *clients) open(ctx context.Context) {
	transport := &http.Transport{TLSClientConfig: c.tls, DisableKeepAlives: true}
	c.each(ctx, func() error {
		state, err := c.ask(ctx, transport, http.MethodGet)
		if err != nil {
			return fmt.Errorf("a new connection: %w", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.serials = append(c.serials, state.PeerCertificates[0].SerialNumber.String())
		return nil
	})
}

// keep uses its connection for as long as the server permits.
func (c *clients) keep(ctx context.Context) {
	transport := &http.Transport{TLSClientConfig: c.tls}
	defer transport.CloseIdleConnections()
	var last *tls.ConnectionState
	c.each(ctx, func() error {
		state, err := c.ask(ctx, transport, c.method)
		if err != nil {
			return fmt.Errorf("a kept connection: %w", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if state == last { // one state for each connection
			c.reused++
		}
		last = state
		return nil
	})
}

// each calls do repeatedly, some hundred times per second.
func (c *clients) each(ctx context.Context, do func() error) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		if err := do(); err != nil && ctx.Err() == nil {
			c.mu.Lock()
			c.failures = append(c.failures, err.Error())
			c.mu.Unlock()
		}
	}
}

func (c *clients) ask(ctx context.Context, transport *http.Transport, method string) (*tls.ConnectionState, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.addr+"/", bytes.NewReader([]byte("x")))
	if err != nil {
		return nil, err
	}
	if method == http.MethodGet {
		req.Body, req.ContentLength = nil, 0
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	return resp.TLS, nil
}

// opened returns the serials that new connections received, and the number of requests on reused connections.
func (c *clients) opened() (serials []string, reused int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.serials...), c.reused
}

// unharmed requires that no request failed.
func (c *clients) unharmed(t *testing.T) {
	t.Helper()
	c.end()
	if n := len(c.failures); n > 0 {
		t.Errorf("%d of the requests failed, with %d handshakes and %d requests on kept connections that did not:\n%s",
			n, len(c.serials), c.reused, strings.Join(c.failures[:min(n, 10)], "\n"))
	}
}

// application is the program behind the server. It answers at once, except below /held, where it waits until released.
type application struct {
	*httptest.Server
	arrived, letGo chan struct{}
}

func newApplication(t *testing.T) *application {
	a := &application{arrived: make(chan struct{}), letGo: make(chan struct{})}
	a.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(a.arrived)
			select {
			case <-a.letGo:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(a.Server.Close)
	return a
}

// hold sends a request that stays open. The channel receives the result after the release.
func (w *world) hold(addr string, a *application) <-chan error {
	w.t.Helper()
	result := make(chan error, 1)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.trusting("api.lab.test"), DisableKeepAlives: true}}
	go func() {
		resp, err := client.Get("https://" + addr + "/held")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("the answer is %s", resp.Status)
			}
		}
		result <- err
	}()
	select {
	case <-a.arrived:
	case err := <-result:
		w.t.Fatalf("the request that was to be held: %v", err)
	}
	return result
}
