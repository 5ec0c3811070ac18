package pending

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/observe"
)

// Leaves keeps certificates that a rotation replaces and that are to be revoked
// then: the certificate alone, no key and no chain, at PREFIX/replaced/NAME with a
// field for each serial. A secret that keeps one version (max_versions), or that
// deletes its versions, has lost the old one by the time it is revoked.
//
// They are in Vault and not in the record: whoever may push to the ledger could
// else have any certificate of the same account revoked.
type Leaves struct {
	Secrets KV
	Mount   string
	Prefix  string
	Ledger  string // whose they are
}

// MostLeaves bounds what is kept of one certificate. Each waits no longer than it
// is valid.
const MostLeaves = 50

func (k *Leaves) path(name string) string { return k.Prefix + "/replaced/" + name }

// load reads all that is kept of a certificate, PEM by serial, and the version to
// follow; an empty map where nothing is.
func (k *Leaves) load(ctx context.Context, name string) (leaves map[string]string, version int, err error) {
	leaves, version, err = k.Secrets.Read(ctx, k.Mount, k.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		version, _, _, err = k.Secrets.ReadMetadata(ctx, k.Mount, k.path(name))
		return map[string]string{}, version, err
	}
	return leaves, version, err
}

// Find is a certificate that is kept; nil where it is not.
func (k *Leaves) Find(ctx context.Context, name, serial string) (*x509.Certificate, error) {
	leaves, _, err := k.Secrets.Read(ctx, k.Mount, k.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readLeaf(leaves[serial], serial), nil
}

// readLeaf is a certificate of that serial; nil where the text is none.
func readLeaf(text, serial string) *x509.Certificate {
	chain, err := keypair.ParseChain([]byte(text))
	if err != nil || keypair.SerialOf(chain[0]) != serial {
		return nil
	}
	return chain[0]
}

// Keep adds a certificate, and takes out those that have expired.
func (k *Leaves) Keep(ctx context.Context, name string, leaf *x509.Certificate, now time.Time) error {
	leaves, version, err := k.load(ctx, name)
	if err != nil {
		return err
	}
	serial := keypair.SerialOf(leaf)
	if readLeaf(leaves[serial], serial) != nil {
		return nil
	}
	maps.DeleteFunc(leaves, func(serial, text string) bool {
		old := readLeaf(text, serial)
		return old == nil || old.NotAfter.Before(now)
	})
	for _, first := range slices.Sorted(maps.Keys(leaves)) {
		if len(leaves) < MostLeaves {
			break
		}
		delete(leaves, first)
	}
	leaves[serial] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	if err := k.Secrets.WriteMetadata(ctx, k.Mount, k.path(name), observe.StateMeta(map[string]string{}, k.Ledger)); err != nil {
		return err
	}
	_, err = k.Secrets.Write(ctx, k.Mount, k.path(name), leaves, version)
	return err
}

// Forget takes a certificate out, and the secret away with the last one.
func (k *Leaves) Forget(ctx context.Context, name, serial string) error {
	leaves, version, err := k.load(ctx, name)
	if err != nil {
		return err
	}
	if delete(leaves, serial); len(leaves) == 0 {
		return k.Secrets.Destroy(ctx, k.Mount, k.path(name))
	}
	_, err = k.Secrets.Write(ctx, k.Mount, k.path(name), leaves, version)
	return err
}
