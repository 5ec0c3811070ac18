package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Documents are secrets below one path, identified by an ID. Each is created once; if
// several clients try, the first wins.
type Documents struct {
	kv            *KV
	mount, prefix string
}

// NewDocuments returns the documents below a path of a mount.
func NewDocuments(kv *KV, mount, prefix string) *Documents {
	return &Documents{kv: kv, mount: mount, prefix: prefix}
}

func (d *Documents) path(id string) string { return d.prefix + "/" + id }

// DeleteCommand returns the command line that deletes a document with all its versions.
func (d *Documents) DeleteCommand(id string) string {
	return "vault kv metadata delete -mount=" + d.mount + " " + d.path(id)
}

// SetCommand returns the command line that sets one field of a document and leaves the
// others; "" if the value is unsuitable for a command line.
func (d *Documents) SetCommand(id, field, value string) string {
	if len(value) > 500 || strings.ContainsFunc(value, func(r rune) bool { return r == '\'' || r <= ' ' || r > '~' }) {
		return ""
	}
	return "vault kv patch -mount=" + d.mount + " " + d.path(id) + " " + field + "='" + value + "'"
}

// List returns the IDs of the documents, including deleted ones.
func (d *Documents) List(ctx context.Context) ([]string, error) {
	return d.kv.List(ctx, d.mount, d.prefix)
}

// Load returns a document, or fs.ErrNotExist.
func (d *Documents) Load(ctx context.Context, id string) (map[string]string, error) {
	data, _, err := d.kv.Read(ctx, d.mount, d.path(id))
	return data, err
}

// Create stores a document unless one exists, and returns the document that exists then.
func (d *Documents) Create(ctx context.Context, id string, data map[string]string) (map[string]string, error) {
	// KV v2 counts deleted versions too: check-and-set has to name the last one.
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

// maxUpdates bounds the repeats of Update after conflicts.
const maxUpdates = 5

// Update replaces a document. It repeats the write after a conflict, so that the last
// writer wins.
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
