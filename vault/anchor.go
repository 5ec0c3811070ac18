package vault

import (
	"context"
	"errors"
	"io/fs"
)

// Anchor is one secret that is written only with check-and-set. It stores a position in
// another system, out of reach of those who can rewrite that system.
type Anchor struct {
	kv          *KV
	mount, path string
}

// NewAnchor returns an anchor at a path of a mount.
func NewAnchor(kv *KV, mount, path string) *Anchor { return &Anchor{kv: kv, mount: mount, path: path} }

// String returns the anchor's path, for messages.
func (a *Anchor) String() string { return a.mount + "/" + a.path }

// Load returns the stored fields (nil if there are none) and the version for Store.
func (a *Anchor) Load(ctx context.Context) (fields map[string]string, version int, err error) {
	fields, version, err = a.kv.Read(ctx, a.mount, a.path)
	if !errors.Is(err, fs.ErrNotExist) {
		return fields, version, err
	}
	// KV v2 counts deleted versions too: check-and-set has to name the last one.
	version, _, _, err = a.kv.ReadMetadata(ctx, a.mount, a.path)
	return nil, version, err
}

// Store replaces the stored fields. Its error has Conflict() true if another client wrote
// since the version was read.
func (a *Anchor) Store(ctx context.Context, fields map[string]string, version int) error {
	_, err := a.kv.Write(ctx, a.mount, a.path, fields, version)
	return err
}
