package main

import (
	"context"
	"errors"
	"io/fs"

	"certroll/cmd/certroll/page"
	"certroll/gitsync"
	"certroll/gitsync/fault"
	"certroll/reconcile"
	"certroll/spec"
)

// follows checks that a head descends from what was taken before, or that a
// person has accepted that it does not.
func (d *daemon) follows(ctx context.Context, rev *gitsync.Revision) error {
	if d.settings.Repo.AllowRewrites {
		return nil
	}
	before, err := d.takenBefore(ctx)
	if err != nil {
		return err
	}
	for _, t := range before {
		err := d.source.Follows(ctx, rev, t.Commit)
		var held *fault.Error
		if errors.As(err, &held) && held.Kind == fault.Rewritten {
			d.instead, err = t, d.accepted(ctx, rev, t, held)
		}
		if err != nil {
			return err
		}
	}
	d.traced = true
	return nil
}

// takenBefore is what this process or, over a restart, the one before took;
// and at first also what the ledger tells of, for a disk that is fresh, or
// stood still while another reconciler went on.
func (d *daemon) takenBefore(ctx context.Context) ([]reconcile.Taken, error) {
	var list []reconcile.Taken
	if d.good != nil {
		list = append(list, reconcile.Taken{Commit: d.good.Commit, At: d.takenAt})
	} else if k, err := d.readGood(); err == nil {
		list = append(list, reconcile.Taken{Commit: k.Commit, At: k.TakenAt})
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if d.traced {
		return list, nil
	}
	tree, _, err := d.Parts.Ledger.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	last, err := reconcile.LastTaken(tree)
	return append(list, last), err
}

// accepted returns the reason to hold a head back, or nil where a person has
// accepted it since the other one was taken.
func (d *daemon) accepted(ctx context.Context, rev *gitsync.Revision, instead reconcile.Taken, held error) error {
	tree, _, err := d.Parts.Ledger.Snapshot(ctx)
	if err != nil {
		return err
	}
	ok, err := reconcile.AcceptedSince(tree, rev.Commit, instead.At)
	switch {
	case err != nil:
		return err
	case !ok:
		return held
	}
	d.log.Warn("an operator accepted a head that does not descend from the last good revision", "revision", rev.Commit, "instead_of", instead.Commit)
	return nil
}

// reasons are those of a head that is held back.
var reasons = map[fault.Kind]reconcile.Reason{
	fault.Unsigned: reconcile.ReasonUnsigned, fault.BadSignature: reconcile.ReasonBadSignature, fault.Rewritten: reconcile.ReasonRewritten,
}

// withhold says loudly that a head is held back, once in the log and once in
// the ledger.
func (d *daemon) withhold(ctx context.Context, held *fault.Error) error {
	d.metrics.Hold(reasons[held.Kind])
	d.untaken = true
	d.newest = &page.NotTaken{Commit: held.Held.Commit, Author: held.Held.Author, Reason: reasons[held.Kind], Message: held.Error()}
	if said := held.Held.Commit + string(reasons[held.Kind]); d.withheld != said {
		d.withheld = said
		d.log.Error("revision held back", "revision", held.Held.Commit, "author", held.Held.Author, "reason", string(reasons[held.Kind]), "error", held)
	}
	w := reconcile.Withheld{
		Revision: reconcile.Revision{Commit: held.Held.Commit, Author: held.Held.Author}, Reason: reasons[held.Kind], Message: held.Error(),
	}
	if held.Kind == fault.Rewritten {
		w.Old = d.instead
	}
	d.say.trouble("telling", d.Reconciler.Withhold(ctx, w))
	if err := d.fallBack(ctx); err != nil {
		return errors.Join(held, err)
	}
	return nil
}

// logChanges logs what a new revision changes of where credentials are sent.
func (d *daemon) logChanges(desired *spec.Spec) {
	if d.desired == nil {
		return
	}
	for _, c := range reconcile.BlockChanges(d.desired, desired) {
		for _, s := range c.Settings {
			d.log.Warn("block changed", "type", c.Type, "change", c.Change, "name", c.Name, "field", s.Field, "old", s.Old, "new", s.New)
		}
	}
}
