package attempt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/text"
)

// movedFrom returns the secrets that the certificate moved away from: those of the
// record, and the live one before this attempt if it was elsewhere.
func (a *Attempt) movedFrom(now time.Time) []ledger.LeftBehind {
	r := a.Action.Record
	if r == nil || a.Live == nil {
		return nil
	}
	here := ledger.Location{Mount: a.Live.Mount, Path: a.Live.Path}
	var left []ledger.LeftBehind
	for _, l := range r.LeftBehind {
		if l.At() != here {
			left = append(left, l)
		}
	}
	if was := r.Live; r.HasSecret() && was.Path != "" && here != (ledger.Location{Mount: was.Mount, Path: was.Path}) {
		left = append(left, ledger.LeftBehind{Mount: was.Mount, Path: was.Path, Version: was.Version, Since: now.UTC().Truncate(time.Second)})
	}
	return left
}

// tidyPrevious checks the secrets left behind and deletes them if vault.previous =
// "delete". It runs after the new secret and its metadata are written, so that consumers
// always find one of the two. A secret marked as another certificate's is left to that
// certificate. Errors do not fail the attempt; the next pass retries.
func (a *Attempt) tidyPrevious(ctx context.Context) error {
	a.left = nil
	for _, l := range a.movedFrom(a.Clock()) {
		keep, err := a.tidy(ctx, l)
		if err != nil {
			a.untidied = append(a.untidied, fmt.Sprintf("%s: %s", l.At(), text.FirstLine(failure.Message(err))))
		}
		if keep {
			a.left = append(a.left, l)
		}
	}
	a.tidied = true
	return nil
}

// tidy handles one secret left behind. keep reports that it stays in the record.
func (a *Attempt) tidy(ctx context.Context, l ledger.LeftBehind) (keep bool, err error) {
	seen, err := a.Observer.Secret(ctx, l.At())
	switch {
	case err != nil:
		return true, err
	case !seen.Readable || seen.Owner != a.Action.Certificate:
		return false, nil
	case a.Action.Spec.Vault.Previous != spec.Delete, a.isClaimed(l.At()):
		return true, nil
	}
	a.Report("write", "deleting "+l.At().String()+", which the certificate moved away from")
	if err := a.Secrets.Delete(ctx, l.Mount, l.Path); err != nil {
		return true, err
	}
	a.deleted = append(a.deleted, l.At().String())
	return false, nil
}

// isClaimed reports whether a certificate of the spec has its secret at a place. That
// certificate takes the secret over.
func (a *Attempt) isClaimed(at ledger.Location) bool {
	return slices.ContainsFunc(a.Desired.Certificates, func(c *spec.Certificate) bool { return plan.TargetOf(c) == at })
}

// tellPrevious adds to the event what became of the secrets left behind.
func (a *Attempt) tellPrevious(e *ledger.Event) {
	if !a.tidied {
		return
	}
	here := ledger.Location{Mount: a.Live.Mount, Path: a.Live.Path}
	known := map[ledger.Location]bool{}
	if r := a.Action.Record; r != nil {
		for _, l := range r.LeftBehind {
			known[l.At()] = true
		}
	}
	for _, l := range a.left {
		switch {
		case !known[l.At()]:
			e.LeftBehind = l.At().String()
			e.Detail += "; moved: " + l.Text(here)
		case a.revoked != "":
			e.Detail += "; " + l.At().String() + ", left behind, may still hold what was revoked: delete it"
		}
	}
	if len(a.deleted) > 0 {
		e.Detail += "; deleted after the move to " + here.String() + ": " + strings.Join(a.deleted, ", ") + " (vault kv undelete brings it back)"
	}
	if len(a.untidied) > 0 {
		e.Detail += "; leftover secrets could not be read or deleted; certroll retries: " + strings.Join(a.untidied, "; ")
	}
}
