package pending

import (
	"context"

	"certroll/reconcile/observe"
)

// What the core needs of the world. Adapters satisfy these with types of the
// standard library and spec alone; wire.go in cmd/certroll puts them together.

// SecretReader reads secrets of KV v2. An absent or deleted one is
// fs.ErrNotExist.
type SecretReader interface {
	// Read is the current version.
	Read(ctx context.Context, mount, path string) (data map[string]string, version int, err error)
	// ReadVersion is an earlier one.
	ReadVersion(ctx context.Context, mount, path string, version int) (map[string]string, error)
}

// SecretWriter writes them. Write fails with an error that has
// Conflict() true where the current version is not cas.
type SecretWriter interface {
	// Write adds a version, where the current one is cas.
	Write(ctx context.Context, mount, path string, data map[string]string, cas int) (version int, err error)
	// WriteMetadata replaces the custom metadata.
	WriteMetadata(ctx context.Context, mount, path string, custom map[string]string) error
}

// SecretRemover removes them.
type SecretRemover interface {
	// Delete soft-deletes the current version.
	Delete(ctx context.Context, mount, path string) error
	// Destroy removes all versions and the metadata.
	Destroy(ctx context.Context, mount, path string) error
}

// KV is all of Vault that Apply needs.
type KV interface {
	observe.MetadataReader
	SecretReader
	SecretWriter
	SecretRemover
}
