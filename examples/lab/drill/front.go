package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"certroll/examples/lab"
)

// front is a proxy between certroll and a server that reports the traffic to the book.
type front struct {
	addr   string // "127.0.0.1:port"
	root   string // PEM of its own root; empty: plain HTTP
	server *http.Server
	done   chan struct{}
}

// mostBody is the size limit of one request or answer, in bytes.
const mostBody = 16 << 20

// requestTime bounds a request to the server behind.
const requestTime = time.Minute

// startFront forwards requests to a server at a base URL.
func startFront(b *book, target, rootPEM string, handle func(h http.Handler) http.Handler, answer func(*http.Response) error) (*front, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		// The Host stays, because an ACME server builds its URLs from it.
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		Transport:      transport(rootPEM),
		ModifyResponse: answer,
		ErrorLog:       log.New(io.Discard, "", 0), // errors from killed clients
	}
	f := &front{done: make(chan struct{})}
	f.server = &http.Server{Handler: counted(b, handle(proxy)), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: requestTime}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a front of %s: %w", target, err)
	}
	f.addr = listener.Addr().String()
	if rootPEM != "" {
		if listener, err = f.secure(listener); err != nil {
			return nil, err
		}
	}
	go func() {
		defer close(f.done)
		_ = f.server.Serve(listener) // returns ErrServerClosed
	}()
	return f, nil
}

func transport(rootPEM string) *http.Transport {
	t := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: requestTime}
	if rootPEM != "" {
		t.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		t.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(rootPEM))
	}
	return t
}

func (f *front) secure(l net.Listener) (net.Listener, error) {
	cert, key, err := lab.SelfSigned("lab CA for the drill")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	f.root = string(cert)
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}), nil
}

func (f *front) close() error {
	if f == nil {
		return nil
	}
	err := f.server.Close()
	<-f.done
	return err
}

// counted counts requests. It completes a forwarded request even if the client is killed
// meanwhile, so that the book knows its outcome.
func counted(b *book, h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		defer b.begin()()
		body, err := io.ReadAll(http.MaxBytesReader(rw, req.Body, mostBody))
		if err != nil {
			return // the client was killed while sending
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), requestTime)
		defer cancel()
		req = req.WithContext(ctx)
		req.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(rw, req)
	})
}

// caFront is a front of Pebble that records its orders.
func caFront(b *book, ca *lab.Pebble) (*front, error) {
	pass := func(h http.Handler) http.Handler { return h }
	return startFront(b, strings.TrimSuffix(ca.Directory, "/dir"), ca.CABundle, pass, func(resp *http.Response) error {
		if resp.StatusCode != http.StatusCreated || !strings.HasSuffix(resp.Request.URL.Path, "/order-plz") {
			return nil
		}
		name, err := orderedName(resp)
		if err != nil {
			return err
		}
		b.made(resp.Header.Get("Location"), name)
		return nil
	})
}

// orderedName reads the name of an order, and restores the answer's body.
func orderedName(resp *http.Response) (string, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody))
	_ = resp.Body.Close() // the body was read completely, or the answer is dropped
	if err != nil {
		return "", err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var made struct {
		Identifiers []struct{ Value string }
	}
	if err := json.Unmarshal(body, &made); err != nil {
		return "", fmt.Errorf("reading an order of the CA: %w", err)
	}
	if len(made.Identifiers) != 1 {
		return "", errors.New("an order of the drill has one name")
	}
	return made.Identifiers[0].Value, nil
}

// storing is the context key for the order URL that a request stores.
type storing struct{}

// vaultFront is a front of Vault that records when an order's URL is stored.
func vaultFront(b *book, v *lab.Vault) (*front, error) {
	return startFront(b, v.Addr, "", noteOrderURL, func(resp *http.Response) error {
		if url, ok := resp.Request.Context().Value(storing{}).(string); ok && resp.StatusCode == http.StatusOK {
			b.stored(url)
		}
		return nil
	})
}

// noteOrderURL finds the order URL in a write of a pending secret. It does not read the
// private key next to it.
func noteOrderURL(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && strings.HasPrefix(req.URL.Path, "/v1/secret/data/certroll/pending/") {
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			req.Body = io.NopCloser(bytes.NewReader(body))
			var secret struct {
				Data struct {
					OrderURL string `json:"order_url"`
				} `json:"data"`
			}
			if json.Unmarshal(body, &secret) == nil && secret.Data.OrderURL != "" {
				req = req.WithContext(context.WithValue(req.Context(), storing{}, secret.Data.OrderURL))
			}
		}
		h.ServeHTTP(rw, req)
	})
}
