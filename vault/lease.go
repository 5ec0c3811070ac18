package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// Lease lets one writer in at a time. It is a secret that each writer replaces
// by check-and-set: whoever holds it renews it, and where it is not renewed in
// time another may take it. It is safe for concurrent use.
//
//	holder A   ├─ acquire ─ renew ─ renew ─ killed
//	           until ─────────────────────────────┤ skew ├
//	holder B                waits ······················ ├─ acquire
//
// The moment it ends is the holder's clock's, so that one clock may be behind
// another by at most skew. An end that is far away is the word of a clock that
// ran ahead: then it counts how long nobody has renewed it.
type Lease struct {
	kv          *KV
	mount, path string
	holder      string
	ttl         time.Duration
	now         func() time.Time
	token       string // tells two processes of one name apart

	mu      sync.Mutex
	version int // the version this process wrote; 0: it holds nothing
	seen    int // the version of another's that was seen last
	seenAt  time.Time
}

// skew is how far two replicas' clocks may be apart.
const skew = 5 * time.Second

// mostTTLs is how many times its life ahead the end of a lease is believed.
const mostTTLs = 10

// The fields of the lease's secret.
const (
	leaseHolder = "holder"
	leaseToken  = "token"
	leaseUntil  = "until"
)

// NewLease makes a lease at a path of a mount. holder is told to others.
func NewLease(kv *KV, mount, path, holder string, ttl time.Duration) *Lease {
	return &Lease{kv: kv, mount: mount, path: path, holder: holder, ttl: ttl, now: time.Now, token: rand.Text()}
}

// Acquire takes the lease, or renews it where this process holds it already.
// Where another holds it, by says who and until when at the latest.
func (l *Lease) Acquire(ctx context.Context) (held bool, by string, until time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version > 0 {
		until, err = l.write(ctx, l.version)
		if !isConflict(err) {
			return err == nil, l.holder, until, err
		}
		l.version = 0 // it ended unrenewed, and another took it
	}
	// Whoever loses the race against another's write looks once more.
	for range 2 {
		var version int
		version, by, until, err = l.look(ctx)
		if err != nil || until.After(l.now()) {
			return false, by, until, err
		}
		if until, err = l.write(ctx, version); !isConflict(err) {
			return err == nil, l.holder, until, err
		}
	}
	return false, by, until, err
}

// look reads who holds the lease; until is zero where nobody does.
func (l *Lease) look(ctx context.Context) (version int, by string, until time.Time, err error) {
	// A lease that was deleted by hand leaves a version to follow. The version
	// is read first: one that another writes in between must not be followed.
	version, live, _, err := l.kv.ReadMetadata(ctx, l.mount, l.path)
	if err != nil || !live {
		return version, "", time.Time{}, err
	}
	data, version, err := l.kv.Read(ctx, l.mount, l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return version, "", time.Time{}, nil // deleted just now: the write after this one tells
	}
	if err != nil || data[leaseHolder] == "" {
		return version, "", time.Time{}, err
	}
	if until, err = time.Parse(time.RFC3339Nano, data[leaseUntil]); err != nil {
		return 0, "", time.Time{}, &Error{doing: "reading the lease " + l.mount + "/" + l.path, said: fmt.Sprintf("its end %q is no RFC 3339 time", data[leaseUntil]),
			advice: "remove it where no certroll runs: vault kv metadata delete " + l.mount + "/" + l.path}
	}
	return version, data[leaseHolder], l.endOf(version, until), nil
}

// endOf is when another's lease ends at the latest.
func (l *Lease) endOf(version int, until time.Time) time.Time {
	if l.seen != version {
		l.seen, l.seenAt = version, l.now()
	}
	if until.Sub(l.now()) > mostTTLs*l.ttl {
		until = l.seenAt.Add(l.ttl)
	}
	return until.Add(skew)
}

// write takes or renews the lease, following a version.
func (l *Lease) write(ctx context.Context, version int) (until time.Time, err error) {
	until = l.now().Add(l.ttl)
	version, err = l.kv.Write(ctx, l.mount, l.path, map[string]string{
		leaseHolder: l.holder, leaseToken: l.token, leaseUntil: until.UTC().Format(time.RFC3339Nano),
	}, version)
	if err != nil {
		return time.Time{}, err
	}
	l.version = version
	return until, nil
}

// Release gives the lease back, so that nobody has to wait for its end.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version == 0 {
		return nil
	}
	_, err := l.kv.Write(ctx, l.mount, l.path, map[string]string{leaseHolder: "", leaseUntil: ""}, l.version)
	l.version = 0
	if isConflict(err) {
		return nil // it ended, and another has it
	}
	return err
}
