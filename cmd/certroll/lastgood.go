package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/state"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/gitsync/atomicfile"
)

func (d *daemon) goodFile() string { return filepath.Join(d.settings.StateDir, state.LastGoodFile) }

// keepGood writes the last good revision to disk, unless it is there already. It
// holds the repo's files, which hold no secret. A disk that does not take it keeps
// no revision from being in force: the next pull tries again.
func (d *daemon) keepGood() {
	if d.onDisk {
		return
	}
	b, err := json.Marshal(kept{d.good, d.takenAt, d.checksSignatures(), d.from()})
	if err == nil {
		err = atomicfile.Write(d.goodFile(), b, 0o600)
	}
	if d.unkept = err; err != nil {
		d.unkept = fmt.Errorf("keeping the last good revision in %s: %w", d.goodFile(), err)
	}
	d.onDisk = err == nil
	d.say.trouble("keeping", d.unkept)
}

// kept is the last good revision on the disk.
type kept struct {
	*gitsync.Revision
	TakenAt time.Time
	Signed  bool   // its signature was looked at
	From    string // the repository; empty: a directory, or an earlier certroll wrote it
}

// from is the repository that revisions come from, empty of a directory.
func (d *daemon) from() string {
	if d.source == nil {
		return ""
	}
	return d.source.Place()
}

// checksSignatures tells whether what is taken has to be signed.
func (d *daemon) checksSignatures() bool { return d.source != nil && d.settings.Verify != nil }

// readGood reads it; fs.ErrNotExist where there is none of this repository yet,
// or none that can be read.
func (d *daemon) readGood() (*kept, error) {
	k := &kept{}
	err := state.Read(d.log, d.goodFile(), func(b []byte) error {
		err := json.Unmarshal(b, k)
		if err == nil && k.Revision == nil {
			err = errors.New("it holds no revision")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	// Two certroll.hcl may share the usual state directory, and repo.url may
	// change: what another repository wanted is not wanted here.
	if from := d.from(); from != "" && k.From != "" && k.From != from {
		return nil, fmt.Errorf("the last good revision %s is of %s: %w", d.goodFile(), k.From, fs.ErrNotExist)
	}
	return k, nil
}

func (d *daemon) fallBack(ctx context.Context) error {
	if d.good != nil {
		return nil
	}
	k, err := d.readGood()
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no good revision yet; nothing is done until one can be read")
	}
	if err != nil {
		return err
	}
	if d.checksSignatures() && !k.Signed {
		return fmt.Errorf("the last good revision %s was accepted before certroll.hcl required signatures; certroll does nothing until it can read a signed head", configrepo.Named(k.Commit))
	}
	desired, _, diags := configrepo.DecodeInForce(ctx, d.settings, k.Files)
	if diags.HasErrors() {
		return fmt.Errorf("the last good revision %s is refused by this certroll.hcl: %s", k.Commit, view.OneLine(diags))
	}
	configrepo.NoteUnread(desired, k.Revision)
	d.log.Warn("the last good revision is in force", "revision", k.Commit)
	d.warnOfHolds(desired)
	d.good, d.desired, d.takenAt, d.onDisk = k.Revision, desired, k.TakenAt, true
	return nil
}
