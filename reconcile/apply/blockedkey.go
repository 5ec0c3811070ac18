package apply

import (
	"context"
	"errors"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/spec"
	"certroll/spec/text"
)

// withAnotherKey orders once more with a fresh key, after the CA did not take the one
// at hand: CAs block keys that were compromised, and a kept key (key.rotation =
// "never") would be refused until the certificate expires. It is done once for each
// pending secret, which tells so: a CA that takes no key of this shape gets no more.
func (a *Attempt) withAnotherKey(ctx context.Context, refusal error) error {
	d := a.Draft
	key, err := keypair.NewKey(d.KeyShape)
	if err != nil {
		return errors.Join(refusal, err)
	}
	digest, err := keypair.KeyDigest(key.Public())
	if err != nil {
		return errors.Join(refusal, err)
	}
	a.Report("key", "the CA does not take the key, making a fresh "+d.KeyShape+" key: "+text.FirstLine(failure.Message(refusal)))
	d.BlockedKey, d.Key, d.KeyDigest, d.KeySince, d.described = d.KeyDigest, key, digest, time.Time{}, false
	d.OrderURL = ""
	d.Detail += "; the CA does not take the key " + d.BlockedKey[:12] + "..., another one was made"
	if a.Action.Spec.Key.Rotation == spec.RotateNever {
		d.Detail += " though key.rotation is \"never\""
	}
	if err := a.Drafts.store(context.WithoutCancel(ctx), a.Action.Certificate, d); err != nil {
		return errors.Join(refusal, err)
	}
	if a.orders == 0 {
		a.orders++ // an earlier run made the one that was given up
	}
	return a.orderInTime(ctx)
}
