package session

import (
	"context"
	"crypto"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/go-acme/lego/v4/acme/api"
	"github.com/go-jose/go-jose/v4"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Session is one account at one CA during the life of the process.
//
//	session ── ca.CA: connections and directory, shared by the CA's accounts
//	   ├── lane: a lego core (its nonces, its http.Client), lent to one call
//	   ├── lane
//	   └── lane
//
// lego's calls take no context and return no headers. A lane therefore serves one call
// at a time: meanwhile its RoundTripper uses that call's context, and its recorded
// answer belongs to that call.
type Session struct {
	accounts  *Accounts
	ca        *ca.CA
	issuer    *spec.Issuer
	accountID string
	key       crypto.Signer
	terms     string // URL of the terms of service agreed to in a registration by this session; else ""

	mu    sync.Mutex
	kid   string  // the account's URL
	lanes []*lane // idle; the last one has the newest nonces

	requests    chan struct{} // one element per request in progress
	registering chan struct{} // held by the call in registerAgain
}

// lane is one of a session's lego cores.
type lane struct {
	session *Session
	core    *api.Core
	kid     string
	born    time.Time
	ctx     context.Context // of the present call
	seen    ca.Answer
}

const (
	// laneAge, with ca's directoryAge, bounds the time until a change of the CA's
	// directory takes effect: a lego core keeps the directory that it began with.
	laneAge = time.Hour
)

func (a *Accounts) newSession(issuer *spec.Issuer) (*Session, error) {
	u, err := a.cas.Of(issuer)
	if err != nil {
		return nil, err
	}
	return &Session{
		accounts: a, ca: u, issuer: issuer,
		registering: make(chan struct{}, 1), requests: make(chan struct{}, ca.RequestsAtOnce),
	}, nil
}

// Call runs fn, which makes one of lego's requests, on a lane of its own, and returns
// the CA's answer. On a refusal that may concern the account, Call also checks the
// account.
func (s *Session) Call(ctx context.Context, doing string, fn func(*api.Core) error) (ca.Answer, error) {
	kid := s.AccountURL()
	seen, err := s.callAs(ctx, kid, doing, fn)
	if err != nil && mayBeAccount(err) {
		if dead := s.checkAccount(ctx); problem.IsOfAccount(dead) {
			return seen, dead
		}
	}
	if err == nil || !problem.Is(err, "accountDoesNotExist") {
		return seen, err
	}
	// The CA has lost the account. Register the same key again, once.
	if err := s.registerAgain(ctx, kid); err != nil {
		return seen, err
	}
	return s.callAs(ctx, s.AccountURL(), doing, fn)
}

// callAs is Call with a given account URL ("" for requests signed with the key itself,
// as in a registration), without the checks of the account.
func (s *Session) callAs(ctx context.Context, kid, doing string, fn func(*api.Core) error) (ca.Answer, error) {
	select {
	case s.requests <- struct{}{}:
		defer func() { <-s.requests }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return ca.Answer{}, problem.Interrupted(ctx, doing)
	}
	l := s.borrow(kid)
	l.ctx, l.seen = ctx, ca.Answer{}
	err := l.run(fn)
	seen := l.seen
	s.giveBack(l)
	if err != nil {
		return seen, ca.Explain(ctx, doing, err, seen, s.accounts.opts.Now())
	}
	return seen, nil
}

// run creates the lane's core at first use: creation fetches the directory and so needs
// the call's context.
func (l *lane) run(fn func(*api.Core) error) error {
	if l.core == nil {
		// A client of its own: lego v4 wraps the transport of a given client again each
		// time.
		httpClient := &http.Client{Transport: l, CheckRedirect: ca.CheckRedirect}
		core, err := api.New(httpClient, l.session.accounts.opts.UserAgent, l.session.ca.Directory, l.kid, l.session.key)
		if err != nil {
			return err
		}
		l.core = core
	}
	return fn(l.core)
}

// RoundTrip sends one of lego's requests for the call that has borrowed the lane.
func (l *lane) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, seen, err := l.session.ca.RoundTrip(l.ctx, req)
	l.seen = seen
	return resp, err
}

// borrow takes the most recently used lane of this account URL, or makes one. It drops
// old lanes, whose core has an outdated directory.
func (s *Session) borrow(kid string) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.lanes) > 0 {
		l := s.lanes[len(s.lanes)-1]
		s.lanes = s.lanes[:len(s.lanes)-1]
		if l.kid == kid && s.accounts.opts.Now().Sub(l.born) < laneAge {
			return l
		}
	}
	return &lane{session: s, kid: kid, born: s.accounts.opts.Now()}
}

// giveBack returns a lane to the idle ones, if it is still usable.
func (s *Session) giveBack(l *lane) {
	l.ctx = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	// A lego core keeps its account URL: after a new registration the lane is useless.
	if l.core != nil && l.kid == s.kid && l.kid != "" {
		s.lanes = append(s.lanes, l)
	}
}

// AccountURL returns the account's URL at the CA.
func (s *Session) AccountURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kid
}

func (s *Session) setAccountURL(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kid = url
}

// KeyAuthorization returns the key authorization of a challenge's token (RFC 8555
// section 8.1). It asks nobody: callers may hold a lock.
func (s *Session) KeyAuthorization(token string) (string, error) {
	thumbprint, err := (&jose.JSONWebKey{Key: s.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", &problem.Error{OfClass: ledger.ClassInternal, Doing: "computing a key authorization", Said: err.Error(), Cause: err}
	}
	return token + "." + base64.RawURLEncoding.EncodeToString(thumbprint), nil
}
