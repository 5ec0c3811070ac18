package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"certroll/examples/lab"
)

// Where Pebble has its resources.
const (
	newOrder     = "/order-plz"
	newAccount   = "/sign-me-up"
	finalization = "/finalize-order/"
	validation   = "/chalZ/"
	permission   = "/authZ/"
)

// fault may answer a request in the CA's place; false lets the CA answer.
type fault func(rw http.ResponseWriter, req *http.Request) bool

// front stands between certroll and a CA. It notes what comes by and goes
// wrong in the ways it is told.
type front struct {
	t    testing.TB
	addr string
	ca   http.Handler

	mu      sync.Mutex
	server  *httptest.Server
	release func() // of the port, where it refuses
	fault   fault
	edit    func(*http.Response) error
	asked   []asked
	made    int // orders that the CA made
	failed  int // orders that it failed over by itself: see orders
	// refused counts what the CA called a bad request, a nonce for one.
	refused int
}

// asked is a request that came by.
type asked struct {
	path string
	at   time.Time
}

func newFront(t testing.TB, ca *lab.Pebble) *front {
	t.Helper()
	f := &front{t: t, release: func() {}}
	f.ca = reverse(t, strings.TrimSuffix(ca.Directory, "/dir"), ca.CABundle, f.answered)
	f.server = httptest.NewUnstartedServer(f)
	f.server.StartTLS()
	f.addr = f.server.Listener.Addr().String()
	t.Cleanup(f.end)
	return f
}

// ServeHTTP is http.Handler's.
func (f *front) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, asked{req.URL.Path, time.Now()})
	wrong := f.fault
	f.mu.Unlock()
	if wrong == nil || !wrong(rw, req) {
		f.ca.ServeHTTP(rw, req)
	}
}

// answered sees what the CA answers.
func (f *front) answered(resp *http.Response) error {
	f.mu.Lock()
	if madeOrder(resp) {
		f.made++
	}
	if resp.StatusCode == http.StatusBadRequest {
		f.refused++
	}
	if failedOrder(resp) {
		f.failed++
	}
	edit := f.edit
	f.mu.Unlock()
	if edit == nil {
		return nil
	}
	return edit(resp)
}

// breaks lets the CA fail from now on.
func (f *front) breaks(wrong fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = wrong
}

// edits changes the CA's answers from now on.
func (f *front) edits(edit func(*http.Response) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.edit = edit
}

func (f *front) mend() {
	f.breaks(nil)
	f.edits(nil)
}

// end gives the port back.
func (f *front) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		f.server.CloseClientConnections()
		f.server.Close()
		f.server = nil
	}
	f.release()
	f.release = func() {}
}

// close has its port refuse connections. The port stays bound meanwhile, since another
// test could listen there else.
func (f *front) close() {
	f.t.Helper()
	f.end()
	at := netip.MustParseAddrPort(f.addr)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.release = func() { _ = syscall.Close(fd) }
}

// reopen listens at the same address again.
func (f *front) reopen() {
	f.t.Helper()
	f.end()
	s := httptest.NewUnstartedServer(f)
	_ = s.Listener.Close()
	var err error
	for range 100 {
		if s.Listener, err = net.Listen("tcp", f.addr); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond) // somebody may have the port for a moment
	}
	if err != nil {
		f.t.Fatal(err)
	}
	s.StartTLS()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server = s
}

// times are when a resource was asked for.
func (f *front) times(path string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var times []time.Time
	for _, a := range f.asked {
		if strings.HasPrefix(a.path, path) {
			times = append(times, a.at)
		}
	}
	return times
}

func (f *front) count(path string) int { return len(f.times(path)) }

// answers are how many orders the CA made, and what it refused.
func (f *front) answers() (made, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made, f.refused
}

// orders demands that the CA was asked for so many orders and made so many. Pebble
// itself answers an order with 500 where the serial in its replaces field begins
// with a zero byte, one in 256, and is then asked again without: that is not counted.
func (f *front) orders(askedFor, made int) {
	f.t.Helper()
	got, _ := f.answers()
	f.mu.Lock()
	failed := f.failed
	f.mu.Unlock()
	if n := f.count(newOrder) - failed; n != askedFor || got != made {
		f.t.Errorf("the CA was asked for %d orders and made %d, want %d and %d", n, got, askedFor, made)
	}
}

// at goes wrong for requests to one resource.
func at(path string, answer http.HandlerFunc) fault {
	return func(rw http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, path) {
			return false
		}
		answer(rw, req)
		return true
	}
}

// before does something once, before the first request to a resource passes.
func before(path string, do func()) fault {
	var once sync.Once
	return func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, path) {
			once.Do(do)
		}
		return false
	}
}

// problem answers with a problem document (RFC 7807) of an ACME type.
func problem(status int, kind, detail string, header ...string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			rw.Header().Set(header[i], header[i+1])
		}
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": status})
	}
}

// editJSON changes the JSON object in an answer.
func editJSON(resp *http.Response, edit func(map[string]any)) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	object := map[string]any{}
	if err := json.Unmarshal(body, &object); err != nil {
		return err
	}
	edit(object)
	if body, err = json.Marshal(object); err != nil {
		return err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return nil
}
