package pending

import (
	"context"

	"certroll/reconcile/observe"
)

// These interfaces are Vault as the core needs it. Adapters satisfy them with types of
// the standard library and spec alone; package wiring in cmd/certroll connects them.

// SecretReader reads KV v2 secrets. A missing or deleted version is fs.ErrNotExist.
type SecretReader interface {
	// Read returns the fields of the current version, and its number.
	Read(ctx context.Context, mount, path string) (data map[string]string, version int, err error)
	// ReadVersion returns the fields of a given version.
	ReadVersion(ctx context.Context, mount, path string, version int) (map[string]string, error)
}

// SecretWriter writes KV v2 secrets with check-and-set. If the current version is not
// cas, the error of Write has a method Conflict() that returns true.
type SecretWriter interface {
	// Write adds a version if the current version is cas; 0: if there is none.
	Write(ctx context.Context, mount, path string, data map[string]string, cas int) (version int, err error)
	// WriteMetadata replaces the custom metadata.
	WriteMetadata(ctx context.Context, mount, path string, custom map[string]string) error
}

// SecretRemover deletes and destroys KV v2 secrets.
type SecretRemover interface {
	// Delete soft-deletes the current version.
	Delete(ctx context.Context, mount, path string) error
	// Destroy removes all versions and the metadata.
	Destroy(ctx context.Context, mount, path string) error
}

// KV combines the access to Vault that attempts need.
type KV interface {
	observe.MetadataReader
	SecretReader
	SecretWriter
	SecretRemover
}
