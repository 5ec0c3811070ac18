package vault

import (
	"context"
	"errors"
	"io/fs"
)

// Anchor is one secret that is replaced by check-and-set alone: it keeps how
// far something had come, where whoever can rewrite that cannot reach.
type Anchor struct {
	kv          *KV
	mount, path string
}

// NewAnchor makes an anchor at a path of a mount.
func NewAnchor(kv *KV, mount, path string) *Anchor { return &Anchor{kv: kv, mount: mount, path: path} }

// String is its path, for messages.
func (a *Anchor) String() string { return a.mount + "/" + a.path }

// Load returns what is kept, nil for nothing, and the version to follow.
func (a *Anchor) Load(ctx context.Context) (fields map[string]string, version int, err error) {
	fields, version, err = a.kv.Read(ctx, a.mount, a.path)
	if !errors.Is(err, fs.ErrNotExist) {
		return fields, version, err
	}
	// One that was deleted leaves a version, which check-and-set must follow.
	version, _, _, err = a.kv.ReadMetadata(ctx, a.mount, a.path)
	return nil, version, err
}

// Store replaces what is kept; the error has Conflict() true where another did
// so since the version was read.
func (a *Anchor) Store(ctx context.Context, fields map[string]string, version int) error {
	_, err := a.kv.Write(ctx, a.mount, a.path, fields, version)
	return err
}
