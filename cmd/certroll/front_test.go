package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"certroll/examples/lab"
)

// The paths of Pebble's resources.
const (
	newOrder     = "/order-plz"
	newAccount   = "/sign-me-up"
	finalization = "/finalize-order/"
	validation   = "/chalZ/"
	permission   = "/authZ/"
)

// caFault may respond instead of the CA; false passes the request on.
type caFault func(rw http.ResponseWriter, req *http.Request) bool

// front is a proxy between certroll and a CA. It records requests and can fail in the ways that a test sets.
type front struct {
	t    testing.TB
	addr string
	ca   http.Handler

	mu     sync.Mutex
	server *httptest.Server
	hold   int // a socket that reserves the port until the test ends, without listening
	fault  caFault
	edit   func(*http.Response) error
	asked  []asked
	made   int // orders that the CA created
	failed int // orders that failed because of the CA itself; see orders
	// refused counts the requests that the CA rejected as malformed, for example for a bad nonce.
	refused int
}

// asked is a request to the CA.
type asked struct {
	path string
	at   time.Time
}

func newFront(t testing.TB, ca *lab.Pebble) *front {
	t.Helper()
	f := &front{t: t}
	f.ca = reverse(t, strings.TrimSuffix(ca.Directory, "/dir"), ca.CABundle, f.answered)
	var err error
	if f.hold, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err == nil {
		t.Cleanup(func() { _ = syscall.Close(f.hold) })
		err = errors.Join(shared(uintptr(f.hold)), syscall.Bind(f.hold, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	}
	if err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(f.hold)
	if err != nil {
		t.Fatal(err)
	}
	f.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(at.(*syscall.SockaddrInet4).Port))
	f.reopen()
	t.Cleanup(f.close)
	return f
}

// shared lets several sockets of this user share a port (SO_REUSEPORT, socket(7)), so that no other test takes the port
// between its closing and reopening.
func shared(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, asked{req.URL.Path, time.Now()})
	wrong := f.fault
	f.mu.Unlock()
	if wrong == nil || !wrong(rw, req) {
		f.ca.ServeHTTP(rw, req)
	}
}

// answered inspects the CA's responses.
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

// breaks makes the CA fail from now on.
func (f *front) breaks(wrong caFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = wrong
}

// edits changes the CA's responses from now on.
func (f *front) edits(edit func(*http.Response) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.edit = edit
}

func (f *front) mend() {
	f.breaks(nil)
	f.edits(nil)
}

// close makes the port refuse connections.
func (f *front) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		f.server.CloseClientConnections()
		f.server.Close()
		f.server = nil
	}
}

// reopen listens at the same address again.
func (f *front) reopen() {
	f.t.Helper()
	f.close()
	listens := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = shared(fd) }), err)
	}}
	s := httptest.NewUnstartedServer(f)
	_ = s.Listener.Close()
	var err error
	if s.Listener, err = listens.Listen(context.Background(), "tcp", f.addr); err != nil {
		f.t.Fatal(err)
	}
	s.StartTLS()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server = s
}

// times returns the times of the requests to a resource.
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

// answers returns the number of orders that the CA created and of requests that it rejected.
func (f *front) answers() (made, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made, f.refused
}

// orders requires the numbers of requested and of created orders. Pebble itself answers an order with 500 if the serial
// in its replaces field begins with a zero byte, one in 256; certroll then orders again without that field. Such
// failures are not counted.
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

// at returns a fault for requests to one resource.
func at(path string, answer http.HandlerFunc) caFault {
	return func(rw http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, path) {
			return false
		}
		answer(rw, req)
		return true
	}
}

// before calls do once, before it passes the first request to a resource on.
func before(path string, do func()) caFault {
	var once sync.Once
	return func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, path) {
			once.Do(do)
		}
		return false
	}
}

// problem responds with a problem document (RFC 7807) of an ACME type.
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

// editJSON changes the JSON object in a response.
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
