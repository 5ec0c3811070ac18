package reconcile

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// The next key (key.next) is the key that the next renewal will use, made
// ahead, so that TLSA records and pins can name it before it is live (RFC 7671
// section 8.1). It lives in Vault beside the pending secrets, where certroll
// alone reads; published is the digest of its public half: in the custom
// metadata of the secret, in the record and in the events.
//
//	issue ─ K1 live, K2 staged ─ renew ─ K2 live, K3 staged ─ ...
//	        K2 published ───────────────▶ used
//
// The pending secret of an order holds a copy of the key it uses and the one
// that is staged once the pair is live. What is staged is replaced only then:
// an order that comes to nothing leaves it as it was published.

// Staged is what the metadata of a staged key says.
type Staged struct {
	KeyDigest string // SHA-256 of its SubjectPublicKeyInfo, hex
	KeyShape  string
	Ours      bool      // it carries the mark of this ledger
	Since     time.Time // when it was staged; zero where that is not known
}

// stagedKey is a next key itself.
type stagedKey struct {
	key    crypto.Signer
	digest string
	shape  string
	since  time.Time // zero: not staged yet
}

func newStaged(shape string) (*stagedKey, error) {
	key, err := newKey(shape)
	if err != nil {
		return nil, err
	}
	digest, err := keyDigest(key.Public())
	return &stagedKey{key: key, digest: digest, shape: shape}, err
}

func readStaged(text string) (*stagedKey, error) {
	key, err := decodeKey(text)
	if err != nil {
		return nil, err
	}
	digest, err := keyDigest(key.Public())
	return &stagedKey{key: key, digest: digest, shape: KeyShape(key.Public())}, err
}

// supersedes tells that a pending secret is not to be taken up, because its key
// is not the one that was staged.
func supersedes(n *stagedKey, d *draft) bool { return n != nil && n.digest != d.KeyDigest }

// nextFolder is below the pending secrets, so that whoever may look at the
// metadata of those may look at these.
const nextFolder = "next"

// nextKeys keeps staged keys.
type nextKeys struct {
	secrets Secrets
	mount   string
	prefix  string
	ledger  string // whose they are
}

func nextPath(prefix, name string) string { return prefix + "/pending/" + nextFolder + "/" + name }

// load reads the staged key of a certificate; nil where there is none, or none
// that can be read as a key, which nobody can use any more.
func (s *nextKeys) load(ctx context.Context, name string) (*stagedKey, error) {
	at := nextPath(s.prefix, name)
	data, _, err := s.secrets.Read(ctx, s.mount, at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if data["schema"] != "1" {
		return nil, fmt.Errorf("reading the staged key %s/%s: its schema is %q, this certroll reads 1: use the certroll that wrote it, or delete it", s.mount, at, data["schema"])
	}
	n, err := readStaged(data["key"])
	if err != nil {
		return nil, nil //nolint:nilerr // told as a key that is not there
	}
	// Without its time it is taken for one that was staged long ago.
	n.since, _ = time.Parse(time.RFC3339, data["since"])
	return n, nil
}

// replace stages a key in place of the one there is, of which no version stays.
// Digest and shape stand in the metadata, where Plan may read them; they are
// written first, so that no staged key is ever without.
func (s *nextKeys) replace(ctx context.Context, name string, n *stagedKey, now time.Time) error {
	at := nextPath(s.prefix, name)
	text, err := encodeKey(n.key)
	if err != nil {
		return err
	}
	if err := s.drop(ctx, name); err != nil {
		return err
	}
	n.since = now.UTC().Truncate(time.Second)
	meta := map[string]string{metaKey: n.digest, metaShape: n.shape, metaStarted: n.since.Format(time.RFC3339)}
	if err := s.secrets.WriteMetadata(ctx, s.mount, at, stateMeta(meta, s.ledger)); err != nil {
		return err
	}
	_, err = s.secrets.Write(ctx, s.mount, at, map[string]string{"schema": "1", "key": text, "since": n.since.Format(time.RFC3339)}, 0)
	return err
}

func (s *nextKeys) drop(ctx context.Context, name string) error {
	err := s.secrets.Destroy(ctx, s.mount, nextPath(s.prefix, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// kept lists the certificates that have a pending secret, and those that have a
// staged key: one call where no key is staged, two where there are some.
func (o *Observer) kept(ctx context.Context) (pending, staged []string, err error) {
	at := o.StatePrefix + "/pending"
	if pending, err = o.Metadata.List(ctx, o.StateMount, at); err != nil {
		return nil, nil, err
	}
	if slices.Contains(pending, nextFolder+"/") {
		staged, err = o.Metadata.List(ctx, o.StateMount, at+"/"+nextFolder)
	}
	return slices.DeleteFunc(pending, func(name string) bool { return strings.HasSuffix(name, "/") }), staged, err
}

func (o *Observer) staged(ctx context.Context, name string) (Staged, bool, error) {
	current, live, custom, err := o.Metadata.ReadMetadata(ctx, o.StateMount, nextPath(o.StatePrefix, name))
	if err != nil || current == 0 || !live {
		return Staged{}, false, err
	}
	since, _ := time.Parse(time.RFC3339, custom[metaStarted])
	return Staged{KeyDigest: custom[metaKey], KeyShape: custom[metaShape], Ours: o.ours(custom), Since: since}, true, nil
}

// sameNext tells whether two speak of the same next key.
func (l *Live) sameNext(m *Live) bool {
	return l.NextKeyDigest == m.NextKeyDigest && l.NextKeyShape == m.NextKeyShape && sameTime(l.NextKeySince, m.NextKeySince)
}

// withoutNext is the same with no next key.
func (l *Live) withoutNext() *Live {
	c := *l
	c.NextKeyDigest, c.NextKeyShape, c.NextKeySince = "", "", nil
	return &c
}

func publishNext(l *Live, n *stagedKey) {
	l.NextKeyDigest, l.NextKeyShape, l.NextKeySince = n.digest, n.shape, optional(n.since)
}
