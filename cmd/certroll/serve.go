package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serve answers on the address of certroll.hcl's listen until ctx ends; no
// address is no server. It returns once it listens, with what ends when it has
// stopped.
func (d *daemon) serve(ctx context.Context) (stopped <-chan struct{}, err error) {
	hooks, err := d.webhooks(d.files.changed)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	if d.settings.Listen == "" {
		close(done)
		return done, nil
	}
	l, err := net.Listen("tcp", d.settings.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w; mend listen in certroll.hcl", d.settings.Listen, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics, promhttp.HandlerOpts{Registry: d.metrics}))
	for path, h := range hooks {
		mux.Handle(path, h)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute}
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
			d.log.Error("serving", "address", l.Addr().String(), "error", err)
		}
	}()
	d.log.Info("listening", "address", l.Addr().String())
	return done, nil
}
