package plan

import (
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// hold makes the action one that waits.
func (a *Action) hold(why ledger.Reason, until time.Time, detail string) {
	a.Wants, a.Kind, a.Reason, a.NotBefore, a.Detail = a.Kind, ledger.KindHold, why, until.UTC(), detail
}

// IsGone tells that what certroll has written at that place by its record cannot be
// read there any more.
func (a *Action) IsGone() bool {
	r := a.Record
	return a.Spec != nil && a.AtWork == nil && r.HasSecret() && a.At == ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path} &&
		a.Reason != ledger.ReasonUnreadable && !a.Secret.Readable
}

// Change is one field of which the spec asks for something else than is live.
type Change struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// Action is one difference between what is desired and what is there.
type Action struct {
	Kind        ledger.Kind
	Certificate string
	Reason      ledger.Reason
	Detail      string   // one sentence for a person
	Changes     []Change // for KindReissue
	// NotBefore is when a hold ends, or when a certificate with nothing to do
	// becomes due; zero where that is never.
	NotBefore time.Time
	Wants     ledger.Kind    // for KindHold: what waits
	HeldBy    ledger.Subject // for KindHold: what holds many at once; "" where it is the certificate's own
	Warnings  []string       // what a reviewer should know, whatever the kind

	Issuer   *spec.Issuer     // that is asked; nil for KindRetire
	Replaces string           // the ARI identifier that the order carries, or ""
	Exempt   ledger.Exemption // what the order is free of
	Avoid    []string         // DNS accounts known not to work, which come last
	Probes   []ledger.Subject // held as a whole, and tried again by this action
	// Unscheduled tells that it is such a probe before its time: a person asked
	// for it, or has changed what the last one failed with.
	Unscheduled bool
	// OrderFrom is, for KindRepair, from when on something may be ordered where it
	// turns out that it has to be, and orderHeld why not before.
	OrderFrom time.Time
	OrderHeld string

	AtWork *Work // it is under way; nil: it is not

	Spec   *spec.Certificate // nil for KindRetire
	Record *ledger.Record    // nil where the ledger knows nothing; of a leftover as it begins
	At     ledger.Location   // where the live secret is
	Secret Secret            // what was seen there
	Next   *Staged           // the next key, as far as one is staged

	Former  string          // of one that was renamed: the name that it goes on from
	Tried   *ledger.Record  // of one whose move failed: what that left; nil: it did not fail
	Heir    bool            // of a retirement: another certificate claims the secret, or goes on with it
	Mass    *ledger.HeldSet // what the brake holds it with; nil: it does not
	Pending *Pending        // the pending secret, as far as there is one
	Ways    [][]string      // of its names to be proven, see waysOf
	Target  *Secret         // where it moved: what was seen at the spec's target
	Goes    ledger.Location // that target, where the brake keeps it from moving; else zero
}

// Mends tells that it brings back what is live, or ends what was begun, and asks
// the CA for nothing unless there is no other way.
func (a *Action) Mends() bool { return a.Kind == ledger.KindRepair && !a.Reason.Records() }

// orderNotBefore keeps an action that mends from ordering before a moment; the
// latest one stands.
func (a *Action) orderNotBefore(from time.Time, why string) {
	if from.After(a.OrderFrom) {
		a.OrderFrom, a.OrderHeld = from, why
	}
}
