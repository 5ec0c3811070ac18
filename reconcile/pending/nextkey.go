package pending

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/times"
)

// StagedKey is the key of the next renewal.
type StagedKey struct {
	Key    crypto.Signer
	Digest string
	Shape  string
	Since  time.Time // zero: not staged yet
}

// NewStaged generates a key that is not staged yet.
func NewStaged(shape string) (*StagedKey, error) {
	key, err := keypair.NewKey(shape)
	if err != nil {
		return nil, err
	}
	digest, err := keypair.KeyDigest(key.Public())
	return &StagedKey{Key: key, Digest: digest, Shape: shape}, err
}

func readStaged(text string) (*StagedKey, error) {
	key, err := keypair.DecodeKey(text)
	if err != nil {
		return nil, err
	}
	digest, err := keypair.KeyDigest(key.Public())
	return &StagedKey{Key: key, Digest: digest, Shape: keypair.KeyShape(key.Public())}, err
}

// Supersedes reports whether a pending secret is void because its key is not the staged
// one: the published key has to be the one that is used.
func Supersedes(n *StagedKey, d *Secret) bool { return n != nil && n.Digest != d.KeyDigest }

// NextKeys stores staged keys.
type NextKeys struct {
	Secrets KV
	Mount   string
	Prefix  string
	Ledger  string // identifies the ledger that owns them
}

// Load returns the staged key of a certificate; nil if there is none or if the stored
// text is not a key. Such a text is useless, so the next plan stages another key.
func (s *NextKeys) Load(ctx context.Context, name string) (*StagedKey, error) {
	at := observe.NextPath(s.Prefix, name)
	data, _, err := s.Secrets.Read(ctx, s.Mount, at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if data["schema"] != "1" {
		return nil, fmt.Errorf("reading the staged key %s/%s: its schema is %q, this certroll reads 1: use the certroll that wrote it, or delete it", s.Mount, at, data["schema"])
	}
	n, err := readStaged(data["key"])
	if err != nil {
		return nil, nil //nolint:nilerr // counts as missing
	}
	// A missing time becomes zero, which counts as staged long ago.
	n.Since, _ = time.Parse(time.RFC3339, data["since"])
	return n, nil
}

// Replace stages a key. It destroys the previous key with all its versions first. The
// metadata with digest and shape, which Plan may read without reading keys, is written
// before the key, so that every staged key has it.
func (s *NextKeys) Replace(ctx context.Context, name string, n *StagedKey, now time.Time) error {
	n.Since = now.UTC().Truncate(time.Second)
	return s.Put(ctx, name, n)
}

// Put is Replace with a key that was published before, under another name: it keeps the
// time of that.
func (s *NextKeys) Put(ctx context.Context, name string, n *StagedKey) error {
	at := observe.NextPath(s.Prefix, name)
	text, err := keypair.EncodeKey(n.Key)
	if err != nil {
		return err
	}
	// Destroy removes all versions: a replaced key must not be readable in the history.
	if err := s.Drop(ctx, name); err != nil {
		return err
	}
	meta := map[string]string{observe.MetaKey: n.Digest, observe.MetaShape: n.Shape, observe.MetaStarted: n.Since.Format(time.RFC3339)}
	if err := s.Secrets.WriteMetadata(ctx, s.Mount, at, observe.StateMeta(meta, s.Ledger)); err != nil {
		return err
	}
	_, err = s.Secrets.Write(ctx, s.Mount, at, map[string]string{"schema": "1", "key": text, "since": n.Since.Format(time.RFC3339)}, 0)
	return err
}

// Drop destroys the staged key; a missing one is no error.
func (s *NextKeys) Drop(ctx context.Context, name string) error {
	err := s.Secrets.Destroy(ctx, s.Mount, observe.NextPath(s.Prefix, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// PublishNext sets the next key's digest in Live, from which consumers can publish it.
func PublishNext(l *ledger.Live, n *StagedKey) {
	l.NextKeyDigest, l.NextKeyShape, l.NextKeySince = n.Digest, n.Shape, times.Optional(n.Since)
}
