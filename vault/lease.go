package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/semaphore"
)

// Lease lets one certroll write at a time. It is a secret that each process replaces with
// check-and-set. The holder renews it; if it does not, another process may take it after
// it has expired. It is safe for concurrent use.
//
//	holder A   ├─ acquire ─ renew ─ renew ─ killed
//	           until ─────────────────────────────┤ skew ├
//	holder B                waits ······················ ├─ acquire
//
// The expiry is a time of the holder's clock, so that clocks may differ by up to skew. An
// expiry far in the future comes from a fast clock. The other process then counts one TTL
// from when it first saw this version.
type Lease struct {
	kv          *KV
	mount, path string
	holder      string
	ttl         time.Duration
	now         func() time.Time
	token       string // distinguishes processes with the same holder name

	turn    *semaphore.Weighted // guards all below; it is held while Vault is asked
	version int                 // version that this process wrote; 0: it does not hold the lease
	seen    int                 // last version seen of another holder
	seenAt  time.Time
}

// skew is how far the clocks of two replicas may differ.
const skew = 5 * time.Second

// mostTTLs bounds a credible expiry: at most this many TTLs ahead.
const mostTTLs = 10

// The fields of the lease's secret.
const (
	leaseHolder = "holder"
	leaseToken  = "token"
	leaseUntil  = "until"
)

// NewLease returns a lease at a path of a mount. holder names this process to the others.
func NewLease(kv *KV, mount, path, holder string, ttl time.Duration) *Lease {
	return &Lease{kv: kv, mount: mount, path: path, holder: holder, ttl: ttl, now: time.Now, token: rand.Text(), turn: semaphore.NewWeighted(1)}
}

// Acquire takes the lease, or renews it if this process holds it. If another process
// holds it, by names the holder, and until is the latest expiry.
func (l *Lease) Acquire(ctx context.Context) (held bool, by string, until time.Time, err error) {
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return false, "", time.Time{}, err
	}
	defer l.turn.Release(1)
	if l.version > 0 {
		until, err = l.write(ctx, l.version)
		if !isConflict(err) {
			return err == nil, l.holder, until, err
		}
		l.version = 0 // it expired, and another process took it
	}
	// If another process wins the race, look returns it in the second round.
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

// look reads the current holder; until is zero if there is none.
func (l *Lease) look(ctx context.Context) (version int, by string, until time.Time, err error) {
	// A lease deleted by hand still has a version number for check-and-set. It is read
	// first: if another process writes in between, the number is outdated and
	// check-and-set fails.
	version, live, _, err := l.kv.ReadMetadata(ctx, l.mount, l.path)
	if err != nil || !live {
		return version, "", time.Time{}, err
	}
	data, version, err := l.kv.Read(ctx, l.mount, l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return version, "", time.Time{}, nil // deleted just now: check-and-set decides
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

// endOf returns the latest expiry of another holder's lease.
func (l *Lease) endOf(version int, until time.Time) time.Time {
	if l.seen != version {
		l.seen, l.seenAt = version, l.now()
	}
	if until.Sub(l.now()) > mostTTLs*l.ttl {
		until = l.seenAt.Add(l.ttl)
	}
	return until.Add(skew)
}

// write takes or renews the lease with check-and-set on a version. It computes the expiry
// before the request, so that a slow answer cannot extend it.
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

// Release gives the lease up, so that no other process has to wait for its expiry.
func (l *Lease) Release(ctx context.Context) error {
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer l.turn.Release(1)
	if l.version == 0 {
		return nil
	}
	_, err := l.kv.Write(ctx, l.mount, l.path, map[string]string{leaseHolder: "", leaseUntil: ""}, l.version)
	l.version = 0
	if isConflict(err) {
		return nil // it expired, and another process holds it
	}
	return err
}
