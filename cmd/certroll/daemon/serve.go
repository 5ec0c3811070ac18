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

// serve answers on the address of certroll.hcl's listen until ctx ends; no
// address is no server. It returns once it listens, with what ends when it has
// stopped.
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
		_ = server.Shutdown(end) // what is being answered is, for as long as that
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

// newServer is a server whose requests may take no longer than deliveryTime to
// arrive, header and body together. What has no body is answered for longer.
func newServer(ctx context.Context, routes http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			if !strings.HasPrefix(req.URL.Path, "/webhooks/") {
				// The server takes an end of reading for the client's going away.
				_ = http.NewResponseController(rw).SetReadDeadline(time.Now().Add(30 * time.Second))
			}
			routes.ServeHTTP(rw, req)
		}),
		ReadHeaderTimeout: deliveryTime, ReadTimeout: deliveryTime, WriteTimeout: time.Minute, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 32 << 10,                                          // an address is said again in many links of the page
		BaseContext:    func(net.Listener) context.Context { return ctx }, // what is answered for long ends with it
		ErrorLog:       log.New(serverLog{logger}, "", 0),
	}
}

// serverLog puts what the server complains of into the log: its own lines would
// be none of ours.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Write(line []byte) (int, error) {
	l.log.Error("serving HTTP failed", "error", strings.TrimSpace(string(line)))
	return len(line), nil
}

// listen takes the address; nil and no error where there is none to take. One
// that nobody chose may be another's, as of a second daemon on this machine:
// that is no reason to let certificates expire. needed tells that somebody
// relies on it all the same.
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

// warnOfOpen warns of an address that others than this machine reach, without a token.
func warnOfOpen(s *settings.Settings, log *slog.Logger, address net.Addr) {
	if !isLoopback(address) && !s.HasToken() {
		log.Warn("the status page is served without authentication on a non-loopback address; set listen_token_file or put an authenticating proxy in front", "address", s.ListenAddress())
	}
}

// routes are what is served. Open to anybody is what tells nothing, and the
// webhooks, which have secrets of their own; the rest is behind the guard.
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

// swappedHandler answers by the handler that was stored last.
type swappedHandler struct{ now atomic.Pointer[http.Handler] }

func (s *swappedHandler) store(h http.Handler) { s.now.Store(&h) }

func (s *swappedHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.now.Load()).ServeHTTP(w, r)
}
