package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Documents are secrets below one path that are known by an id and created
// once, whoever comes first.
type Documents struct {
	kv            *KV
	mount, prefix string
}

// NewDocuments makes Documents below a path of a mount.
func NewDocuments(kv *KV, mount, prefix string) *Documents {
	return &Documents{kv: kv, mount: mount, prefix: prefix}
}

func (d *Documents) path(id string) string { return d.prefix + "/" + id }

// DeleteCommand is the command line by which a person deletes a document with
// all its versions.
func (d *Documents) DeleteCommand(id string) string {
	return "vault kv metadata delete -mount=" + d.mount + " " + d.path(id)
}

// SetCommand is the command line by which a person sets one field of a document and
// leaves the others; "" where value cannot stand on a command line.
func (d *Documents) SetCommand(id, field, value string) string {
	if len(value) > 500 || strings.ContainsFunc(value, func(r rune) bool { return r == '\'' || r <= ' ' || r > '~' }) {
		return ""
	}
	return "vault kv patch -mount=" + d.mount + " " + d.path(id) + " " + field + "='" + value + "'"
}

// List names the documents that there are, or were.
func (d *Documents) List(ctx context.Context) ([]string, error) {
	return d.kv.List(ctx, d.mount, d.prefix)
}

// Load returns a document; fs.ErrNotExist where there is none.
func (d *Documents) Load(ctx context.Context, id string) (map[string]string, error) {
	data, _, err := d.kv.Read(ctx, d.mount, d.path(id))
	return data, err
}

// Create stores a document where there is none, and returns the one that is
// there then.
func (d *Documents) Create(ctx context.Context, id string, data map[string]string) (map[string]string, error) {
	// A document that was deleted leaves a version, which check-and-set must follow.
	current, live, _, err := d.kv.ReadMetadata(ctx, d.mount, d.path(id))
	if err != nil {
		return nil, err
	}
	if !live {
		if _, err = d.kv.Write(ctx, d.mount, d.path(id), data, current); err == nil {
			return data, nil
		}
		if !isConflict(err) {
			return nil, err
		}
	}
	return d.Load(ctx, id)
}

// maxUpdates bounds how often Update follows a version that moved on.
const maxUpdates = 5

// Update replaces a document.
func (d *Documents) Update(ctx context.Context, id string, data map[string]string) error {
	var err error
	for range maxUpdates {
		var version int
		if _, version, err = d.kv.Read(ctx, d.mount, d.path(id)); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("replacing it: %w", err)
			}
			return err
		}
		if _, err = d.kv.Write(ctx, d.mount, d.path(id), data, version); !isConflict(err) {
			return err
		}
	}
	return err
}
