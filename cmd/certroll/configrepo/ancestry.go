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

// follows checks that a head descends from what was taken before, or that a
// person has accepted that it does not.
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

// takenBefore is what this process or, over a restart, the one before took;
// and at first also what the ledger tells of, for a disk that is fresh, or
// stood still while another reconciler went on.
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

// accepted returns the reason to hold a head back, or nil where a person has
// accepted it since the other one was taken.
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

// reasons are those of a head that is held back.
var reasons = map[fault.Kind]ledger.Reason{
	fault.Unsigned: ledger.ReasonUnsigned, fault.BadSignature: ledger.ReasonBadSignature, fault.Rewritten: ledger.ReasonRewritten,
}

// withhold says loudly that a head is held back, once in the log and once in
// the ledger.
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
	f.Trouble("telling", f.recorder.Withhold(ctx, w))
	if err := f.fallBack(ctx); err != nil {
		return errors.Join(held, err)
	}
	return nil
}

// logChanges logs what a new revision changes of where credentials are sent.
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
