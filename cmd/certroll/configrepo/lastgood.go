package configrepo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"certroll/cmd/certroll/state"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/gitsync/atomicfile"
)

func (f *Follower) goodFile() string { return filepath.Join(f.settings.StateDir, state.LastGoodFile) }

// keepGood writes the last good revision to disk, unless it is already there. The file
// has the repo's files, which contain no secrets. A failed write does not keep the
// revision out of force: the next pull retries.
func (f *Follower) keepGood() {
	if f.onDisk {
		return
	}
	b, err := json.Marshal(storedRevision{f.Good, f.TakenAt, f.checksSignatures(), f.from()})
	if err == nil {
		err = atomicfile.Write(f.goodFile(), b, 0o600)
	}
	if f.unstored = err; err != nil {
		f.unstored = fmt.Errorf("keeping the last good revision in %s: %w", f.goodFile(), err)
	}
	f.onDisk = err == nil
	f.Retried("keeping", f.unstored)
}

// storedRevision is the last good revision on disk.
type storedRevision struct {
	*gitsync.Revision
	TakenAt time.Time
	Signed  bool   // its signature was checked
	From    string // the repository; empty: a directory, or written by an earlier version
}

// from returns the repository of the revisions; empty for a directory.
func (f *Follower) from() string {
	if f.source == nil {
		return ""
	}
	return f.source.Place()
}

// checksSignatures reports whether new revisions must be signed.
func (f *Follower) checksSignatures() bool { return f.source != nil && f.settings.Verify != nil }

// readGood reads the revision from disk. The error is fs.ErrNotExist if there is none of
// this repository, or the file is damaged.
func (f *Follower) readGood() (*storedRevision, error) {
	k := &storedRevision{}
	err := state.Read(f.log, f.goodFile(), func(b []byte) error {
		err := json.Unmarshal(b, k)
		if err == nil && k.Revision == nil {
			err = errors.New("it holds no revision")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	// Two certroll.hcl may share the default state directory, and repo.url may change. A
	// revision of another repository must not come into force here.
	if from := f.from(); from != "" && k.From != "" && k.From != from {
		return nil, fmt.Errorf("the last good revision %s is of %s: %w", f.goodFile(), k.From, fs.ErrNotExist)
	}
	return k, nil
}

// fallBack brings the last good revision on disk into force, if none is in force.
func (f *Follower) fallBack(ctx context.Context) error {
	if f.Good != nil {
		return nil
	}
	k, err := f.readGood()
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no good revision yet; nothing is done until one can be read")
	}
	if err != nil {
		return err
	}
	if f.checksSignatures() && !k.Signed {
		return fmt.Errorf("the last good revision %s was accepted before certroll.hcl required signatures; certroll does nothing until it can read a signed head", Named(k.Commit))
	}
	desired, _, diags := DecodeInForce(ctx, f.settings, k.Files)
	if diags.HasErrors() {
		return fmt.Errorf("the last good revision %s is refused by this certroll.hcl: %s", k.Commit, view.OneLine(diags))
	}
	NoteUnread(desired, k.Revision)
	f.log.Warn("the last good revision is in force", "revision", k.Commit)
	f.warnOfHolds(desired)
	f.Good, f.Desired, f.TakenAt, f.onDisk = k.Revision, desired, k.TakenAt, true
	return nil
}
