package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/credential"
)

// Store persists the documents of ACME accounts, including private keys.
type Store interface {
	// Load returns the document; the error matches fs.ErrNotExist if there is none.
	Load(ctx context.Context, id string) (map[string]string, error)
	// Create stores the document only if none exists under this id. It returns the
	// stored document: data, or the existing one.
	Create(ctx context.Context, id string, data map[string]string) (stored map[string]string, err error)
	// Update replaces the document.
	Update(ctx context.Context, id string, data map[string]string) error
}

// lister is a Store that can list its documents.
type lister interface {
	List(ctx context.Context) (ids []string, err error)
}

// placed is a Store with a command for deleting a document.
type placed interface {
	// DeleteCommand returns a command line for a person.
	DeleteCommand(id string) string
}

// labeled is a Store with a command for setting one field of a document.
type labeled interface {
	// SetCommand returns a command line for a person, with the value quoted for a shell;
	// "" if there is none.
	SetCommand(id, field, value string) string
}

// Options are the settings of Accounts. All are required.
type Options struct {
	UserAgent string
	Now       func() time.Time
	Logger    *slog.Logger
	// Credential reads a reference to a credential.
	Credential func(ctx context.Context, v spec.Value, form credential.Form) (string, error)
}

// Accounts holds the issuers' ACME accounts, whose keys are in the store.
type Accounts struct {
	store Store
	cas   *ca.Set
	opts  Options

	mu       sync.Mutex
	sessions map[string]*opening // by the issuer's fingerprint
}

// New makes Accounts that persist in store.
func New(store Store, cas *ca.Set, o Options) *Accounts {
	return &Accounts{store: store, cas: cas, opts: o, sessions: map[string]*opening{}}
}

// Close drops the sessions.
func (a *Accounts) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = map[string]*opening{}
}

// opening is a session, or the attempt in progress to open it.
type opening struct {
	done    chan struct{} // closed once session or err is set
	session *Session
	err     error
}

// Session returns the issuer's session, and opens it if there is none. Concurrent calls
// share one attempt and its failure, so that an unreachable CA gets one request and not
// one per certificate.
func (a *Accounts) Session(ctx context.Context, issuer *spec.Issuer) (*Session, error) {
	key := fingerprint(issuer)
	for {
		a.mu.Lock()
		o, ok := a.sessions[key]
		if !ok {
			o = &opening{done: make(chan struct{})}
			a.sessions[key] = o
		}
		a.mu.Unlock()
		if !ok {
			a.open(ctx, key, o, issuer)
			return o.session, o.err
		}
		select {
		case <-o.done:
		case <-ctx.Done():
			return nil, problem.Interrupted(ctx, "opening the account of issuer "+issuer.Name)
		}
		if o.err == nil || !isInterruption(o.err) {
			return o.session, o.err
		}
		// The opening call was interrupted by its own context; try again with this
		// one's.
	}
}

// open runs the attempt of an opening. It removes a failed one from the map before it
// wakes the waiters, so that the next call tries again.
func (a *Accounts) open(ctx context.Context, key string, o *opening, issuer *spec.Issuer) {
	o.session, o.err = a.openAccount(ctx, issuer)
	if o.err != nil {
		o.session = nil
		a.mu.Lock()
		delete(a.sessions, key)
		a.mu.Unlock()
	}
	close(o.done)
}

func isInterruption(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && problem.HasClass(err, ledger.ClassInternal)
}

// forget drops a session.
func (a *Accounts) forget(s *Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, o := range a.sessions {
		if o.session == s {
			delete(a.sessions, key)
		}
	}
}

// fingerprint is equal for issuers that may share a session. It covers every setting
// that opening the account uses; secrets enter as references.
func fingerprint(issuer *spec.Issuer) string {
	h := sha256.New()
	put := func(parts ...string) {
		for _, p := range parts {
			_, _ = io.WriteString(h, p+"\x00")
		}
	}
	put(issuer.Name, issuer.Directory, issuer.Account, issuer.Email, issuer.CABundle)
	if issuer.AgreeTOS {
		put("agreed")
	}
	if issuer.Reach.Anything {
		put("anything")
	}
	if issuer.EAB != nil {
		for _, v := range []spec.Value{issuer.EAB.KeyID, issuer.EAB.HMAC} {
			put(string(v.Source), v.Text, v.Path, v.Field, v.Name)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
