package gitsync

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"certroll/gitsync/remote"
)

// proxy is a TLS proxy in front of the lab's Git server over HTTP. It records requests, and a test can make it
// misbehave.
type proxy struct {
	place
	origin   http.Handler
	mu       sync.Mutex
	requests []string                                                  // "GET /info/refs" and so on
	pushed   []pack                                                    // the packs sent in pushes
	meddle   func(w http.ResponseWriter, r *http.Request, pass func()) // nil: pass everything on
}

// pack is the size of a pack in a push.
type pack struct{ objects, bytes int }

func newProxy(t testing.TB) *proxy {
	p := &proxy{place: transports["http"](t)}
	origin, err := url.Parse(p.url)
	must(t, err)
	p.origin = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: origin.Scheme, Host: origin.Host})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next := func() { p.origin.ServeHTTP(w, r) }
		if meddle := p.note(t, r); meddle != nil {
			meddle(w, r, next)
			return
		}
		next()
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // hides handshakes that a test breaks off
	server.StartTLS()
	t.Cleanup(server.Close)
	p.url = server.URL + origin.Path
	p.auth.CABundle = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return p
}

func (p *proxy) note(t testing.TB, r *http.Request) func(http.ResponseWriter, *http.Request, func()) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("reading a request: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.mu.Lock()
	defer p.mu.Unlock()
	_, what, _ := strings.Cut(r.URL.Path, ".git/")
	p.requests = append(p.requests, what+r.URL.RawQuery)
	if i := bytes.Index(body, []byte("PACK\x00\x00\x00\x02")); what == "git-receive-pack" && i >= 0 {
		p.pushed = append(p.pushed, pack{objects: int(binary.BigEndian.Uint32(body[i+8:])), bytes: len(body) - i})
	}
	return p.meddle
}

// set replaces the proxy's meddle function.
func (p *proxy) set(meddle func(w http.ResponseWriter, r *http.Request, pass func())) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meddle = meddle
}

// take returns the requests since the last call.
func (p *proxy) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.requests
	p.requests = nil
	return list
}

func (p *proxy) lastPack() pack {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pushed[len(p.pushed)-1]
}

// hangUp closes the connection without a response.
func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// passQuietly forwards the request to the origin and discards the response.
func passQuietly(p *proxy, r *http.Request) {
	p.origin.ServeHTTP(httptest.NewRecorder(), r)
}

// TestEndlessRefs: certroll cuts off an endless list of refs.
func TestEndlessRefs(t *testing.T) {
	p := newProxy(t)
	p.set(func(w http.ResponseWriter, _ *http.Request, _ func()) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		first := "\x00" // an empty list of capabilities follows
		_, err := io.WriteString(w, "001e# service=git-upload-pack\n0000")
		for i := 0; err == nil && i < 2*remote.MaxRefs; {
			line := fmt.Sprintf("%040x refs/heads/%0100d%s\n", i+1, i, first)
			first = ""
			_, err = fmt.Fprintf(w, "%04x%s", len(line)+4, line)
			i += len(line)
		}
	})
	_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d bytes", remote.MaxRefs)) {
		t.Errorf("got %v", err)
	}
}
