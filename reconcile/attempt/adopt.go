package attempt

import (
	"context"
	"fmt"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
)

// adopt takes over an existing secret if its key and chain belong together, are valid and
// cover the names of the spec. It writes metadata only, never the secret itself.
func (a *Attempt) adopt(ctx context.Context) error {
	at := a.Action.At
	a.Report("adopt", "reading "+at.String())
	data, version, err := a.Secrets.Read(ctx, at.Mount, at.Path)
	if err != nil {
		return err
	}
	p, err := keypair.FindIn(data)
	if err == nil {
		err = p.Check(a.Action.Spec.Names(), a.Clock())
	}
	if err != nil {
		return &failure.Error{Code: ledger.ClassConfig, Denied: true, Err: fmt.Errorf(
			"adopting what is at %s: %w; it is not overwritten: choose another vault.path, or delete that secret (vault kv delete) to have it issued", at, err)}
	}
	return a.take(ctx, p, version, nil)
}
