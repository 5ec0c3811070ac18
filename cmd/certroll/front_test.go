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

// Where Pebble has its resources.
const (
	newOrder     = "/order-plz"
	newAccount   = "/sign-me-up"
	finalization = "/finalize-order/"
	validation   = "/chalZ/"
	permission   = "/authZ/"
)

// caFault may answer a request in the CA's place; false lets the CA answer.
type caFault func(rw http.ResponseWriter, req *http.Request) bool

// front stands between certroll and a CA. It notes what comes by and goes
// wrong in the ways it is told.
type front struct {
	t    testing.TB
	addr string
	ca   http.Handler

	mu     sync.Mutex
	server *httptest.Server
	hold   int // a socket that keeps the port until the test ends: it never listens
	fault  caFault
	edit   func(*http.Response) error
	asked  []asked
	made   int // orders that the CA made
	failed int // orders that it failed over by itself: see orders
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

// shared lets several sockets of this user have one port (SO_REUSEPORT, socket(7)), and
// nobody else: a port that is closed and opened again is never another test's meanwhile.
func shared(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
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
func (f *front) breaks(wrong caFault) {
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

// close has its port refuse connections.
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
func at(path string, answer http.HandlerFunc) caFault {
	return func(rw http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, path) {
			return false
		}
		answer(rw, req)
		return true
	}
}

// before does something once, before the first request to a resource passes.
func before(path string, do func()) caFault {
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
