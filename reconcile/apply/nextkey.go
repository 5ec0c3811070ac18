package apply

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

// StagedKey is a next key itself.
type StagedKey struct {
	key    crypto.Signer
	Digest string
	Shape  string
	Since  time.Time // zero: not staged yet
}

func newStaged(shape string) (*StagedKey, error) {
	key, err := keypair.NewKey(shape)
	if err != nil {
		return nil, err
	}
	digest, err := keypair.KeyDigest(key.Public())
	return &StagedKey{key: key, Digest: digest, Shape: shape}, err
}

func readStaged(text string) (*StagedKey, error) {
	key, err := keypair.DecodeKey(text)
	if err != nil {
		return nil, err
	}
	digest, err := keypair.KeyDigest(key.Public())
	return &StagedKey{key: key, Digest: digest, Shape: keypair.KeyShape(key.Public())}, err
}

// supersedes tells that a pending secret is not to be taken up, because its key
// is not the one that was staged.
func supersedes(n *StagedKey, d *Draft) bool { return n != nil && n.Digest != d.KeyDigest }

// nextKeys keeps staged keys.
type nextKeys struct {
	secrets Secrets
	mount   string
	prefix  string
	ledger  string // whose they are
}

// Load reads the staged key of a certificate; nil where there is none, or none
// that can be read as a key, which nobody can use any more.
func (s *nextKeys) Load(ctx context.Context, name string) (*StagedKey, error) {
	at := observe.NextPath(s.prefix, name)
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
	n.Since, _ = time.Parse(time.RFC3339, data["since"])
	return n, nil
}

// replace stages a key in place of the one there is, of which no version stays.
// Digest and shape stand in the metadata, where Plan may read them; they are
// written first, so that no staged key is ever without.
func (s *nextKeys) replace(ctx context.Context, name string, n *StagedKey, now time.Time) error {
	at := observe.NextPath(s.prefix, name)
	text, err := keypair.EncodeKey(n.key)
	if err != nil {
		return err
	}
	if err := s.drop(ctx, name); err != nil {
		return err
	}
	n.Since = now.UTC().Truncate(time.Second)
	meta := map[string]string{observe.MetaKey: n.Digest, observe.MetaShape: n.Shape, observe.MetaStarted: n.Since.Format(time.RFC3339)}
	if err := s.secrets.WriteMetadata(ctx, s.mount, at, observe.StateMeta(meta, s.ledger)); err != nil {
		return err
	}
	_, err = s.secrets.Write(ctx, s.mount, at, map[string]string{"schema": "1", "key": text, "since": n.Since.Format(time.RFC3339)}, 0)
	return err
}

func (s *nextKeys) drop(ctx context.Context, name string) error {
	err := s.secrets.Destroy(ctx, s.mount, observe.NextPath(s.prefix, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func publishNext(l *ledger.Live, n *StagedKey) {
	l.NextKeyDigest, l.NextKeyShape, l.NextKeySince = n.Digest, n.Shape, times.Optional(n.Since)
}
