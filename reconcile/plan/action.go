package plan

import (
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// hold turns the action into a hold of the same action.
func (a *Action) hold(why ledger.Reason, until time.Time, detail string) {
	a.Wants, a.Kind, a.Reason, a.NotBefore, a.Detail = a.Kind, ledger.KindHold, why, until.UTC(), detail
}

// IsGone reports whether the secret that the record describes is no longer readable at its
// path.
func (a *Action) IsGone() bool {
	r := a.Record
	return a.Spec != nil && a.AtWork == nil && r.HasSecret() && a.At == ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path} &&
		a.Reason != ledger.ReasonUnreadable && !a.Secret.Readable
}

// Change is one field in which the spec differs from the live certificate.
type Change struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// Action is one difference between desired and observed state.
type Action struct {
	Kind        ledger.Kind
	Certificate string
	Reason      ledger.Reason
	Detail      string   // one sentence for a person
	Changes     []Change // for KindReissue
	// NotBefore is the end of a hold, or the due time of a certificate with nothing to do;
	// zero: never.
	NotBefore time.Time
	Wants     ledger.Kind    // for KindHold: the kind that waits
	HeldBy    ledger.Subject // for KindHold: the subject that holds many at once; "": the certificate's own hold
	Warnings  []string       // for a reviewer, whatever the kind

	Issuer   *spec.Issuer     // the issuer to order from; nil for KindRetire
	Replaces string           // the ARI identifier that the order carries, or ""
	Exempt   ledger.Exemption // the rate limits that the CA waives for the order
	Avoid    []string         // DNS accounts known to fail; an attempt uses them last
	Probes   []ledger.Subject // subjects with an open breaker that this action tries again
	// Unscheduled marks a probe before its time: a person ran certroll retry, or changed
	// the settings that the last probe failed with.
	Unscheduled bool
	// OrderFrom is, for KindRepair, the earliest time for an order if the repair turns out
	// to need one. OrderHeld is the reason for that time.
	OrderFrom time.Time
	OrderHeld string

	AtWork *Work // nil: no attempt under way

	Spec   *spec.Certificate // nil for KindRetire
	Record *ledger.Record    // nil: the ledger has none; for a leftover its first record
	At     ledger.Location   // location of the live secret
	Secret Secret            // observed at At
	Next   *Staged           // the staged key; nil: none

	Former  string          // for a renamed certificate: the name that it continues
	Tried   *ledger.Record  // for a failed move: the record that the failure left; nil: no move failed
	Heir    bool            // for a retirement: another certificate claims or continues the secret
	Mass    *ledger.HeldSet // the set that the brake holds the action in; nil: none
	Pending *Pending        // the pending secret; nil: none
	Ways    [][]string      // DNS accounts for the names, see WaysOf
	moves   bool            // the spec names another location than At
}

// Mends reports whether the action restores the live pair or completes an interrupted
// write. Such an action orders only if there is no other way.
func (a *Action) Mends() bool { return a.Kind == ledger.KindRepair && !a.Reason.Records() }

// orderNotBefore keeps a repair from ordering before a time. The latest of several times
// wins.
func (a *Action) orderNotBefore(from time.Time, why string) {
	if from.After(a.OrderFrom) {
		a.OrderFrom, a.OrderHeld = from, why
	}
}

// Same reports whether two plans made on the same observed state want the same of a
// certificate. Spec, issuer and record are compared by pointer: a new revision or record is
// another one.
func (a *Action) Same(b *Action) bool {
	return a.Kind == b.Kind && a.Reason == b.Reason && a.Spec == b.Spec && a.Issuer == b.Issuer && a.Record == b.Record && a.At == b.At &&
		a.Secret.Version == b.Secret.Version && a.Replaces == b.Replaces && slices.Equal(a.Probes, b.Probes) && slices.Equal(a.Avoid, b.Avoid)
}
