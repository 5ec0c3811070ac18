package reconcile

import (
	"context"
	"errors"
	"time"

	"certroll/spec"
)

// withAnotherKey orders once more with a fresh key, after the CA did not take the one
// at hand: CAs block keys that were compromised, and a kept key (key.rotation =
// "never") would be refused until the certificate expires. It is done once for each
// pending secret, which tells so: a CA that takes no key of this shape gets no more.
func (a *attempt) withAnotherKey(ctx context.Context, refusal error) error {
	d := a.draft
	key, err := newKey(d.KeyShape)
	if err != nil {
		return errors.Join(refusal, err)
	}
	digest, err := keyDigest(key.Public())
	if err != nil {
		return errors.Join(refusal, err)
	}
	a.report("key", "the CA does not take the key, making a fresh "+d.KeyShape+" key: "+firstLine(message(refusal)))
	d.BlockedKey, d.Key, d.KeyDigest, d.KeySince, d.described = d.KeyDigest, key, digest, time.Time{}, false
	d.OrderURL = ""
	d.Detail += "; the CA does not take the key " + d.BlockedKey[:12] + "..., another one was made"
	if a.action.Spec.Key.Rotation == spec.RotateNever {
		d.Detail += " though key.rotation is \"never\""
	}
	if err := a.drafts.store(context.WithoutCancel(ctx), a.action.Certificate, d); err != nil {
		return errors.Join(refusal, err)
	}
	if a.orders == 0 {
		a.orders++ // an earlier run made the one that was given up
	}
	return a.orderInTime(ctx)
}
