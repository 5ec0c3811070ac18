package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// tokenVariable names the environment variable with the root token, the same as for
// Vault's dev server. Every user of the machine can read a process's arguments, so the
// token is not among them.
const tokenVariable = "VAULT_DEV_ROOT_TOKEN_ID"

func main() {
	log.SetFlags(log.LUTC | log.Ltime | log.Lmicroseconds)
	listen := flag.String("listen", "127.0.0.1:8200", "the loopback address to serve at")
	verbose := flag.Bool("verbose", false, "log every request")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, os.Getenv(tokenVariable), *verbose); err != nil {
		log.Fatalf("labvault: %v", err)
	}
}

func run(ctx context.Context, listen, token string, verbose bool) error {
	if token == "" {
		return fmt.Errorf("%s is empty: set it to the root token", tokenVariable)
	}
	if err := loopbackOnly(listen); err != nil {
		return err
	}
	f, err := newFront(ctx, token)
	if err != nil {
		return err
	}
	f.verbose = verbose
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", listen, err)
	}
	mux := http.NewServeMux() // redirects a path with dots or double slashes to a clean one, like Vault's does
	mux.Handle(prefix, f)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	// Vault's dev server prints the same two lines.
	fmt.Printf("Unseal Key: %s\nRoot Token: (the one in %s)\n\nlabvault serves Vault's KV engine at http://%s, in memory\n", f.unsealKey, tokenVariable, l.Addr())
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// loopbackOnly rejects an address that other machines can reach, because every token may
// do everything here.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-listen %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("-listen %q: labvault serves on loopback alone, as 127.0.0.1:8200", addr)
	}
	return nil
}
