package reconciletest

import (
	"time"

	"certroll/reconcile/plan"
)

// Published lets the view have a next key that was published at an age.
func (v *View) Published(digest, shape string, at time.Duration) {
	since := Start.Add(at)
	v.C.Key.Next = true
	v.Obs.Staged = map[string]plan.Staged{"api": {KeyDigest: digest, KeyShape: shape}}
	v.Secret.Live.NextKeyDigest, v.Secret.Live.NextKeyShape, v.Secret.Live.NextKeySince = digest, shape, &since
}

// Told lets the record say what Vault does.
func (v *View) Told() { live := *v.Secret.Live; v.Record.Live = &live }
