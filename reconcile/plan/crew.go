package plan

import (
	"slices"
)

// Same tells whether a plan wants of a certificate what an earlier one did, going
// by the same that was seen.
func (a *Action) Same(b *Action) bool {
	return a.Kind == b.Kind && a.Reason == b.Reason && a.Spec == b.Spec && a.Issuer == b.Issuer && a.Record == b.Record && a.At == b.At &&
		a.Secret.Version == b.Secret.Version && a.Replaces == b.Replaces && slices.Equal(a.Probes, b.Probes) && slices.Equal(a.Avoid, b.Avoid)
}
