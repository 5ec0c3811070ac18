package configrepo

import (
	"context"
	"errors"
	"io/fs"

	"certroll/gitsync"
	"certroll/gitsync/fault"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
	"certroll/reconcile/review"
	"certroll/spec"
)

// follows checks that a head descends from the revisions that were in force before, or
// that a person has accepted that it does not.
func (f *Follower) follows(ctx context.Context, rev *gitsync.Revision) error {
	if f.settings.Repo.AllowRewrites {
		return nil
	}
	before, err := f.takenBefore(ctx)
	if err != nil {
		return err
	}
	for _, t := range before {
		err := f.source.Follows(ctx, rev, t.Commit)
		var held *fault.Error
		if errors.As(err, &held) && held.Kind == fault.Rewritten {
			f.instead, err = t, f.accepted(ctx, rev, t, held)
		}
		if err != nil {
			return err
		}
	}
	f.traced = true
	return nil
}

// takenBefore returns the revisions that a new head must descend from: the last one of
// this process, or the one on disk from before the restart. Until the first success it
// also returns the ledger's last one, since the disk may be new, or old because another
// certroll worked in between.
func (f *Follower) takenBefore(ctx context.Context) ([]archive.Taken, error) {
	var list []archive.Taken
	if f.Good != nil {
		list = append(list, archive.Taken{Commit: f.Good.Commit, At: f.TakenAt})
	} else if k, err := f.readGood(); err == nil {
		list = append(list, archive.Taken{Commit: k.Commit, At: k.TakenAt})
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if f.traced {
		return list, nil
	}
	tree, _, err := f.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	last, err := archive.LastTaken(tree)
	return append(list, last), err
}

// accepted returns nil if a person accepted the head after the earlier revision came
// into force; else the reason to hold the head.
func (f *Follower) accepted(ctx context.Context, rev *gitsync.Revision, instead archive.Taken, held error) error {
	tree, _, err := f.snapshot(ctx)
	if err != nil {
		return err
	}
	ok, err := archive.AcceptedSince(tree, rev.Commit, instead.At)
	switch {
	case err != nil:
		return err
	case !ok:
		return held
	}
	f.log.Warn("an operator accepted a head that does not descend from the last good revision", "revision", rev.Commit, "instead_of", instead.Commit)
	return nil
}

// reasons maps the causes of a held head to the ledger's reasons.
var reasons = map[fault.Kind]ledger.Reason{
	fault.Unsigned: ledger.ReasonUnsigned, fault.BadSignature: ledger.ReasonBadSignature, fault.Rewritten: ledger.ReasonRewritten,
}

// withhold reports a held head, once in the log and once in the ledger.
func (f *Follower) withhold(ctx context.Context, held *fault.Error) error {
	f.Hold(reasons[held.Kind])
	f.untaken = true
	f.Newest = &NotInForce{Commit: held.Held.Commit, Author: held.Held.Author, Reason: reasons[held.Kind], Message: held.Error()}
	if said := held.Held.Commit + string(reasons[held.Kind]); f.withheld != said {
		f.withheld = said
		f.log.Error("revision held back", "revision", held.Held.Commit, "author", held.Held.Author, "reason", string(reasons[held.Kind]), "error", held)
	}
	w := recorder.Withheld{
		Revision: ledger.Revision{Commit: held.Held.Commit, Author: held.Held.Author}, Reason: reasons[held.Kind], Message: held.Error(),
	}
	if held.Kind == fault.Rewritten {
		w.Old = f.instead
	}
	f.Retried("telling", f.recorder.Withhold(ctx, w))
	if err := f.fallBack(ctx); err != nil {
		return errors.Join(held, err)
	}
	return nil
}

// logChanges logs the revision's changes to the blocks that decide where credentials go.
func (f *Follower) logChanges(desired *spec.Spec) {
	if f.Desired == nil {
		return
	}
	for _, c := range review.BlockChanges(f.Desired, desired) {
		for _, s := range c.Settings {
			f.log.Warn("block changed", "type", c.Type, "change", c.Change, "name", c.Name, "field", s.Field, "old", s.Old, "new", s.New)
		}
	}
}
