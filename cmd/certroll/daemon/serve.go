package daemon

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"certroll/cmd/certroll/settings"
)

// serve serves the listen address until ctx ends; without an address it serves nothing.
// It returns once it listens. stopped is closed when the server has stopped.
func (d *daemon) serve(ctx context.Context) (stopped <-chan struct{}, err error) {
	hooks, err := webhooks(d.settings, d.files.changed, d.log)
	if err != nil {
		return nil, err
	}
	if _, err := d.settings.ListenToken(); err != nil {
		return nil, err
	}
	warnOfSecrets(d.settings, d.log)
	done := make(chan struct{})
	l, err := d.listen(len(hooks) > 0)
	if l == nil {
		close(done)
		return done, err
	}
	d.reload.address = l.Addr()
	d.reload.front.store(d.routes(d.settings, hooks, l.Addr()))
	server := newServer(ctx, &d.reload.front, d.log)
	served := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(end) // gives requests in progress five seconds
		<-served
	}()
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("serving HTTP failed", "address", l.Addr().String(), "error", err)
		}
	}()
	d.log.Info("listening", "address", l.Addr().String())
	return done, nil
}

// newServer makes a server whose requests must arrive within deliveryTime, header and
// body together. Answers to requests without a body may take longer.
func newServer(ctx context.Context, routes http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			if !strings.HasPrefix(req.URL.Path, "/webhooks/") {
				// The server treats an expired read deadline as the client's disconnect.
				_ = http.NewResponseController(rw).SetReadDeadline(time.Now().Add(30 * time.Second))
			}
			routes.ServeHTTP(rw, req)
		}),
		ReadHeaderTimeout: deliveryTime, ReadTimeout: deliveryTime, WriteTimeout: time.Minute, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 32 << 10,                                          // the page repeats the request's address in many links
		BaseContext:    func(net.Listener) context.Context { return ctx }, // long answers end with ctx
		ErrorLog:       log.New(serverLog{logger}, "", 0),
	}
}

// serverLog writes the server's errors to certroll's log.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Write(line []byte) (int, error) {
	l.log.Error("serving HTTP failed", "error", strings.TrimSpace(string(line)))
	return len(line), nil
}

// listen opens the address; nil and no error if there is none to open. The default
// address may be in use, for example by a second certroll on this machine. That is only
// a warning, because certificates must not expire for it, unless needed: webhooks depend
// on it.
func (d *daemon) listen(needed bool) (net.Listener, error) {
	address := d.settings.ListenAddress()
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		warnOfOpen(d.settings, d.log, l.Addr())
		return l, nil
	case d.settings.Listen == nil && !needed:
		d.log.Warn("nothing is served: cannot listen on the default address; set listen in certroll.hcl to another address, or to \"\"", "address", address, "error", err)
		return nil, nil
	}
	return nil, fmt.Errorf("listening on %s: %w; stop the other certroll run if one is up, or change listen in certroll.hcl", address, err)
}

// warnOfOpen warns about a non-loopback address without a token.
func warnOfOpen(s *settings.Settings, log *slog.Logger, address net.Addr) {
	if !isLoopback(address) && !s.HasToken() {
		log.Warn("the status page is served without authentication on a non-loopback address; set listen_token_file or put an authenticating proxy in front", "address", s.ListenAddress())
	}
}

// routes returns the handler of everything served. The health checks reveal nothing, and
// webhooks have their own secrets, so these are open; the guard protects the rest.
func (d *daemon) routes(s *settings.Settings, hooks map[string]http.Handler, address net.Addr) http.Handler {
	guarded := http.NewServeMux()
	guarded.Handle("GET /metrics", promhttp.HandlerFor(d.metrics, promhttp.HandlerOpts{Registry: d.metrics}))
	guarded.Handle("/", d.page)

	open := http.NewServeMux()
	open.HandleFunc("GET /healthz", d.health.alive)
	open.HandleFunc("GET /readyz", d.health.ready)
	for path, h := range hooks {
		open.Handle(path, h)
	}
	open.Handle("/", &guard{settings: s, loopback: isLoopback(address), log: d.log, next: guarded})
	return open
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// swappedHandler serves with the handler that was stored last.
type swappedHandler struct{ now atomic.Pointer[http.Handler] }

func (s *swappedHandler) store(h http.Handler) { s.now.Store(&h) }

// ServeHTTP implements http.Handler.
func (s *swappedHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.now.Load()).ServeHTTP(w, r)
}
