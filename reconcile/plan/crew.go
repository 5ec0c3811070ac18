package plan

import (
	"slices"
)

// Same reports whether two plans made on the same observed state want the same of a
// certificate. Spec, issuer and record are compared by pointer: a new revision or record is
// another one.
func (a *Action) Same(b *Action) bool {
	return a.Kind == b.Kind && a.Reason == b.Reason && a.Spec == b.Spec && a.Issuer == b.Issuer && a.Record == b.Record && a.At == b.At &&
		a.Secret.Version == b.Secret.Version && a.Replaces == b.Replaces && slices.Equal(a.Probes, b.Probes) && slices.Equal(a.Avoid, b.Avoid)
}
