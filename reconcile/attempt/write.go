package attempt

import (
	"context"
	"errors"
	"fmt"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/spec"
	"certroll/spec/credential"
)

// verify checks the certificate before any of it is written to the secret.
func (a *Attempt) verify(ctx context.Context) error {
	p, err := sentPair([]byte(a.Pending.Chain), a.Pending.Key, a.Clock())
	if err == nil {
		err = p.Check(a.Pending.Names, a.Clock())
	}
	if err == nil {
		err = a.chainLasts(p)
	}
	if err != nil {
		return a.unfit(ctx, err)
	}
	a.pair = p
	return nil
}

// write stores the pair at its place with check-and-set on the version that prepare saw.
// If the secret has moved on, write looks for its own fields there: a run that died right
// after its write has written them.
func (a *Attempt) write(attempt context.Context) error {
	// From here on an interruption would leave a half-done change to repair.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(attempt), lease.WriteTimeout)
	defer cancel()
	d := a.Pending
	seen, err := a.Observer.Secret(ctx, d.At)
	if err != nil {
		return err
	}
	version := seen.Version
	if seen.Version == d.CAS {
		a.Report("write", "writing "+d.At.String())
		if version, err = a.writeFields(ctx); err != nil {
			return err
		}
	} else if found, known, err := a.knowAgain(ctx); err != nil {
		return err
	} else if !known {
		return a.overtaken(attempt, found)
	}
	a.Live = a.liveOf(d, version)
	return nil
}

// writeFields renders the fields and writes them. It first stores their digest in the
// pending secret, by which knowAgain recognizes them after a crash.
func (a *Attempt) writeFields(ctx context.Context) (int, error) {
	material, err := keypair.Material(a.pair)
	if err != nil {
		return 0, err
	}
	// The fields may publish the digest of the next key, such as for a TLSA record (RFC
	// 7671).
	if n := a.Pending.Next; n != nil {
		material.NextKeyDigest = n.Digest
	}
	data, err := a.Action.Spec.Vault.Fields.Render(material, func(v spec.Value) (string, error) { return a.password(ctx, v) })
	if errors.Is(err, spec.ErrFields) {
		return 0, a.burn(ctx, err)
	}
	if err != nil {
		return 0, &failure.Error{Code: ledger.ClassConfig, Err: err}
	}
	a.Pending.DataDigest = pending.DataDigest(data)
	if err := a.PendingSecrets.Store(ctx, a.Action.Certificate, a.Pending); err != nil {
		return 0, err
	}
	return a.Secrets.Write(ctx, a.Pending.At.Mount, a.Pending.At.Path, data, a.Pending.CAS)
}

// password resolves a keystore password. For a new secret it rejects a password that ends
// in a line break, which is usually a mistake. A live secret keeps such a password: its
// consumers may already open the keystore with exactly that text.
func (a *Attempt) password(ctx context.Context, v spec.Value) (string, error) {
	text, err := a.resolve(ctx, v)
	if err != nil || v.Source == spec.Literal || a.Pending.CAS > 0 {
		return text, err
	}
	return text, credential.Check(v.Where(), text, credential.Token)
}

// burn destroys the pending secret if the fields cannot be rendered. Otherwise an author
// of vault.fields could learn about the same key from one failing template after another.
// The next attempt has another key, and a changed spec does not end the wait.
func (a *Attempt) burn(ctx context.Context, err error) error {
	if dropErr := a.discard(ctx); dropErr != nil {
		err = errors.Join(err, dropErr)
	}
	return &failure.Error{Code: ledger.ClassConfig, Stands: true, Err: fmt.Errorf(
		"%w; the key was destroyed and nothing was written, what is live stays; fix vault.fields, and run certroll retry %s to try at once", err, a.Action.Certificate)}
}

// knowAgain returns the current version, and whether this pending secret's write made it.
func (a *Attempt) knowAgain(ctx context.Context) (version int, known bool, err error) {
	d := a.Pending
	data, version, err := a.Secrets.Read(ctx, d.At.Mount, d.At.Path)
	return version, err == nil && version == d.CAS+1 && pending.DataDigest(data) == d.DataDigest, err
}

// overtaken discards the pending secret because another program wrote meanwhile. The next
// plan then judges the foreign secret without it.
func (a *Attempt) overtaken(ctx context.Context, version int) error {
	d := a.Pending
	if err := a.discard(ctx); err != nil {
		return err
	}
	return &failure.Error{Code: ledger.ClassVault, Denied: true, Err: fmt.Errorf(
		"%s went from version %d to %d while this certificate was made, and not by this attempt; it was not overwritten; the next plan says what to do about it",
		d.At, d.CAS, version)}
}
