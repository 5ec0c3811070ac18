package solver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/wait"
	"certroll/reconcile/keylock"
	"certroll/spec"
)

// servers are the listeners for http-01 and tls-alpn-01 challenges: one per address,
// shared by all pending challenges there, and open only while there are any.
type servers struct {
	turns keylock.Locks // per listener, while it is opened or closed
	mu    sync.Mutex    // guards open
	open  map[string]*listening
}

func newServers() *servers { return &servers{open: map[string]*listening{}} }

// listening is one listener with its answers.
type listening struct {
	users   int // guarded by its turn
	stop    func()
	mu      sync.RWMutex
	answers map[string]string           // http-01: token to key authorization
	certs   map[string]*tls.Certificate // tls-alpn-01: server name to certificate
}

// use opens the listener for kind at an address, or joins the open one. The returned
// function ends the use.
func (s *servers) use(ctx context.Context, kind spec.Challenge, address string, serve func(*listening, net.Listener) func()) (*listening, func(), error) {
	key := string(kind) + " " + address
	// A second challenge waits for this listener and does not try to bind the same
	// address.
	done, err := s.turns.Take(ctx, key, nil)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	l := s.get(key)
	if l == nil {
		ln, err := wait.Listen(ctx, address)
		if err != nil {
			return nil, nil, err
		}
		l = &listening{answers: map[string]string{}, certs: map[string]*tls.Certificate{}}
		l.stop = serve(l, ln)
		s.set(key, l)
	}
	l.users++
	return l, func() { s.leave(key, l) }, nil
}

// leave ends a use, and closes the listener with the last one.
func (s *servers) leave(key string, l *listening) {
	// The wait ends: Listen and stop are short.
	done, err := s.turns.Take(context.Background(), key, nil)
	if err != nil {
		return
	}
	defer done()
	if l.users--; l.users == 0 {
		s.set(key, nil)
		l.stop()
	}
}

func (s *servers) get(key string) *listening {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[key]
}

// set stores the open listener; nil: none.
func (s *servers) set(key string, l *listening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key] = l; l == nil {
		delete(s.open, key)
	}
}

func (l *listening) answer(token string) (string, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	a, ok := l.answers[token]
	return a, ok
}

func (l *listening) certificate(name string) *tls.Certificate {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.certs[name]
}

// put sets one answer; the returned function removes it.
func put[V any](l *listening, m map[string]V, key string, v V) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	m[key] = v
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(m, key)
	}
}

// listenFailure returns the error for a listener that cannot be opened.
func listenFailure(account *spec.DNSAccount, err error) error {
	advice := "give the dns block a listen address that is free and may be bound"
	if errors.Is(err, context.Canceled) {
		advice = ""
	}
	return problem.NotPublished{Why: problem.Config("listening at "+account.Listen+" for the DNS account "+account.Name, err.Error(), advice)}
}

// connTimeout bounds a connection to a challenge listener. The CA makes one small
// request; no other client has business there.
const connTimeout = 10 * time.Second
