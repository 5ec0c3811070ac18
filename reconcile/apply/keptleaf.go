package apply

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
)

// keptLeaves keeps certificates that a rotation replaces and that are to be revoked
// then: the certificate alone, no key and no chain, at PREFIX/replaced/NAME with a
// field for each serial. A secret that keeps one version (max_versions), or that
// deletes its versions, has lost the old one by the time it is revoked.
//
// They are in Vault and not in the record: whoever may push to the ledger could
// else have any certificate of the same account revoked.
type keptLeaves struct {
	secrets Secrets
	mount   string
	prefix  string
	ledger  string // whose they are
}

// MostLeaves bounds what is kept of one certificate. Each waits no longer than it
// is valid.
const MostLeaves = 50

func (k *keptLeaves) path(name string) string { return k.prefix + "/replaced/" + name }

// load reads all that is kept of a certificate, PEM by serial, and the version to
// follow; an empty map where nothing is.
func (k *keptLeaves) load(ctx context.Context, name string) (leaves map[string]string, version int, err error) {
	leaves, version, err = k.secrets.Read(ctx, k.mount, k.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		version, _, _, err = k.secrets.ReadMetadata(ctx, k.mount, k.path(name))
		return map[string]string{}, version, err
	}
	return leaves, version, err
}

// find is a certificate that is kept; nil where it is not.
func (k *keptLeaves) find(ctx context.Context, name, serial string) (*x509.Certificate, error) {
	leaves, _, err := k.secrets.Read(ctx, k.mount, k.path(name))
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
func (k *keptLeaves) Keep(ctx context.Context, name string, leaf *x509.Certificate, now time.Time) error {
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
	if err := k.secrets.WriteMetadata(ctx, k.mount, k.path(name), observe.StateMeta(map[string]string{}, k.ledger)); err != nil {
		return err
	}
	_, err = k.secrets.Write(ctx, k.mount, k.path(name), leaves, version)
	return err
}

// forget takes a certificate out, and the secret away with the last one.
func (k *keptLeaves) forget(ctx context.Context, name, serial string) error {
	leaves, version, err := k.load(ctx, name)
	if err != nil {
		return err
	}
	if delete(leaves, serial); len(leaves) == 0 {
		return k.secrets.Destroy(ctx, k.mount, k.path(name))
	}
	_, err = k.secrets.Write(ctx, k.mount, k.path(name), leaves, version)
	return err
}

// keepReplaced keeps what the rotation is to revoke before the write that may
// destroy it. A key that leaked is replaced even where that fails: the old version
// may be there still, and where it is not the event says so.
func (a *Attempt) keepReplaced(ctx context.Context) error {
	if a.Draft == nil || a.Draft.Revokes == nil {
		return nil
	}
	r := a.Draft.Revokes
	err := a.keepLeaf(ctx, r)
	if err == nil || failure.IsInterrupt(ctx, err) {
		return err
	}
	a.unkept = fmt.Errorf("keeping the certificate of serial %s for its revocation: %w", r.Serial, err)
	a.Report("revoke", failure.Message(a.unkept))
	return nil
}

func (a *Attempt) keepLeaf(ctx context.Context, r *ledger.Revocation) error {
	data, err := a.Secrets.ReadVersion(ctx, r.Mount, r.Path, r.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is kept since an earlier run, or gone
	}
	if err != nil {
		return err
	}
	p, err := keypair.FindIn(data)
	if err != nil || keypair.SerialOf(p.Leaf()) != r.Serial {
		return nil //nolint:nilerr // revokeOne says what it is instead
	}
	return a.Leaves.Keep(ctx, a.Action.Certificate, p.Leaf(), a.now())
}
