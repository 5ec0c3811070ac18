package reconcile

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"certroll/spec"
)

// ruleBehind: the pair is as it should be, and the ledger does not say so. The
// record follows the spec at once where no certificate is needed for it: what
// it says of on_remove is all that is known once the block is gone.
func ruleBehind(s *situation) (Action, bool) {
	l := s.live()
	if l == nil {
		return Action{}, false
	}
	if a, ok := pauseNote(s, l); ok {
		return a, true
	}
	why := behind(s, l)
	if why == "" {
		return Action{}, false
	}
	return Action{Kind: KindRepair, Reason: ReasonBehind, Detail: why + "; its record is brought up to date, nothing is ordered"}, true
}

// pauseNote tells the ledger when a renewal is turned off or on, and when one
// would have been due meanwhile.
func pauseNote(s *situation, l *Live) (Action, bool) {
	if s.record == nil || s.record.Live == nil || s.record.Live.Serial != l.Serial || s.record.State == StateRetired {
		return Action{}, false
	}
	was, off := s.record.Unmanaged, !s.auto
	note := func(why Reason, detail string) (Action, bool) {
		return Action{Kind: KindNote, Reason: why, Detail: detail}, true
	}
	switch {
	case off && (was == nil || was.Reason != s.spec.Renewal.Reason || !sameTime(was.Until, optional(s.spec.Renewal.Until))):
		return note(ReasonPauseBegan, "renewal.auto is off"+pauseText(s.spec)+"; it expires "+l.End().UTC().Format(time.DateOnly))
	case off && !was.Overdue && !s.due().at.After(s.now):
		return note(ReasonOverdue, "it would be renewed now, and renewal.auto is off"+pauseText(s.spec)+"; it expires "+l.End().UTC().Format(time.DateOnly))
	case !off && was != nil && s.spec.Renewal.Auto:
		return note(ReasonPauseEnded, "renewal.auto is on again")
	case !off && was != nil:
		return note(ReasonPauseEnded, "the pause"+pauseText(s.spec)+" is over: it is renewed again")
	}
	return Action{}, false
}

// behind says how a record differs from what it should be; "" where it does not.
func behind(s *situation, l *Live) string {
	c, r := s.spec, s.record
	switch {
	case r == nil:
		return "the ledger has no record of it"
	case r.State == StateRetired:
		return "its block is back"
	case r.State == StateFailing && !failsToRevoke(r):
		return "what failed is not asked for any more"
	case r.Live == nil || r.Live.Serial != l.Serial:
		return "its record speaks of another certificate"
	case r.Gone != nil && s.secret.Readable:
		return "what was deleted is there again"
	case s.pending != nil && s.pending.Stray:
		return "a write that reached Vault late left a pending secret, whose key is destroyed"
	case s.leftChanged() != "":
		return s.leftChanged()
	}
	var changed []string
	note := func(field string, same bool) {
		if !same {
			changed = append(changed, field)
		}
	}
	note("the order of domains", slices.Equal(r.Names, c.Names()))
	note("labels", maps.Equal(r.Labels, c.Labels))
	note("probe", slices.Equal(r.Probe, c.Endpoints()))
	note("on_remove", r.OnRemove == c.OnRemove)
	note("the file it stands in", r.File == c.File)
	note("renewal", sameTime(r.RenewAt, recordedDue(c, s.due(), s.now)))
	if len(changed) == 0 {
		return ""
	}
	return "the spec changed " + strings.Join(changed, ", ")
}

// recordedRenewal is what a record says of the next renewal; nil where it is
// not renewed by itself.
func recordedRenewal(c *spec.Certificate, l *Live, said *RenewalInfo, now time.Time) *time.Time {
	return recordedDue(c, dueOf(c, l, said), now)
}

func recordedDue(c *spec.Certificate, d due, now time.Time) *time.Time {
	if !renewsAt(c, now) {
		return nil
	}
	return &d.at
}

// failsToRevoke tells that all that fails is the revocation of an earlier
// certificate: what is live is as it should be.
func failsToRevoke(r *Record) bool {
	return len(r.Revocations) > 0 && r.LastFailure != nil && r.LastFailure.Operation == KindRevoke
}

// failsToOrder tells that what failed last asked the CA for a certificate.
func failsToOrder(r *Record) bool {
	return r != nil && r.LastFailure != nil && r.LastFailure.Operation.Orders()
}

// knownLive is what certroll wrote last: by the metadata, else by the record.
func (a *attempt) knownLive() *Live {
	if s := a.action.Secret; s.Live != nil && s.Owner == a.action.Certificate {
		return keepNames(s.Live, a.recordLive())
	}
	return a.recordLive()
}

// catchUp makes the record anew from what Vault's metadata says of the live
// pair. A pending secret of an attempt that is not wanted any more goes.
func (a *attempt) catchUp(ctx context.Context) error {
	if a.action.Reason == ReasonLeftAlone {
		a.live = a.knownLive()
		return nil
	}
	live := *keepNames(a.action.Secret.Live, a.recordLive())
	if names := a.action.Spec.Names(); namesDigest(names) == live.NamesDigest {
		live.Names = names
	}
	a.live = &live
	if err := a.tidyPrevious(ctx); err != nil {
		return err
	}
	stray := a.action.pending != nil && a.action.pending.Stray
	if r := a.action.Record; stray || r != nil && r.State == StateFailing {
		return a.discard(ctx)
	}
	return nil
}
