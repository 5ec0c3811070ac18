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

// Leaves stores certificates that a rotation replaces and that have to be revoked after
// it: the leaf alone, without key and chain, at PREFIX/replaced/NAME with one field per
// serial. The old version of the secret may be gone by then, if the secret keeps one
// version (max_versions) or deletes its versions.
//
// They are in Vault and not in the record: anyone who can push to the ledger could
// otherwise have any certificate of the same account revoked.
type Leaves struct {
	Secrets KV
	Mount   string
	Prefix  string
	Ledger  string // identifies the ledger that owns them
}

// MostLeaves bounds the certificates stored per name. Each is dropped when it expires.
const MostLeaves = 50

func (k *Leaves) path(name string) string { return k.Prefix + "/replaced/" + name }

// load reads the stored certificates as PEM by serial, and the version for check-and-set.
// The map is empty if there are none.
func (k *Leaves) load(ctx context.Context, name string) (leaves map[string]string, version int, err error) {
	leaves, version, err = k.Secrets.Read(ctx, k.Mount, k.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		version, _, _, err = k.Secrets.ReadMetadata(ctx, k.Mount, k.path(name))
		return map[string]string{}, version, err
	}
	return leaves, version, err
}

// Find returns a stored certificate, or nil if there is none.
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

// readLeaf parses a certificate; nil if the text is not a certificate of that serial.
func readLeaf(text, serial string) *x509.Certificate {
	chain, err := keypair.ParseChain([]byte(text))
	if err != nil || keypair.SerialOf(chain[0]) != serial {
		return nil
	}
	return chain[0]
}

// Keep adds a certificate and removes expired ones.
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
	// Beyond the limit some certificate has to go; serials have no order in time.
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

// Forget removes a certificate, and destroys the secret with the last one.
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
