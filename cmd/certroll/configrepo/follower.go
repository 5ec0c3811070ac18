package configrepo

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/gitsync/fault"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
	"certroll/spec"
)

// Follower tracks the config repo: the revision in force, and why a newer one is not in
// force.
type Follower struct {
	settings  *settings.Settings
	configDir string // the directory used in place of the repo; "": none
	log       *slog.Logger
	source    *gitsync.Source                                            // nil: a directory
	snapshot  func(context.Context) (tree fs.FS, head string, err error) // of the ledger
	recorder  revisionRecorder
	Observers

	Good     *gitsync.Revision // the revision in force, which decoded without errors
	TakenAt  time.Time         // when Good came into force
	onDisk   bool              // Good is in the state directory
	unstored error             // why writing it there failed
	instead  archive.Taken     // the revision that the last held head does not descend from
	traced   bool              // the head descends from the ledger's last revision
	Desired  *spec.Spec
	refused  string      // the last rejected revision and its errors, as logged
	withheld string      // the last held revision and its reason, as logged
	Newest   *NotInForce // the newest revision, unless it is in force
	job      *decoding   // the decoding in progress; nil: none
	rejected *decoding   // the last rejected revision
	// triedGood: hasGood has already tried the revision on disk.
	triedGood bool
	untaken   bool // the ledger may still report that a revision is not in force
}

// Follow makes a Follower for the repo of the settings, or for a directory. No revision
// is in force yet.
func Follow(s *settings.Settings, dir string, log *slog.Logger, o Observers) *Follower {
	return &Follower{settings: s, configDir: dir, log: log, Observers: o}
}

// Begin opens the config repo, unless a directory replaces it. From then on the Follower
// reads the ledger's last revision through snapshot, and records revisions with r.
func (f *Follower) Begin(snapshot func(context.Context) (fs.FS, string, error), r revisionRecorder) error {
	f.snapshot, f.recorder, f.untaken = snapshot, r, true
	if f.configDir != "" {
		return nil
	}
	var err error
	f.source, err = f.settings.Source()
	return err
}

// Observers are callbacks about revisions.
type Observers struct {
	// Retried receives the result of a step that is retried; err is nil on success.
	Retried func(what string, err error)
	// Hold receives the reason why the newest revision is not in force; "" if it is.
	Hold func(ledger.Reason)
	// DecodingSince receives the start of a slow decoding; zero: none is running.
	DecodingSince func(time.Time)
	// Nudge requests an early pull.
	Nudge func()
	// Show displays the errors of a revision.
	Show func([]spec.File, hcl.Diagnostics)
	// Advice returns a sentence to add to a revision's errors; usually "".
	Advice func() string
}

// revisionRecorder records a revision's fate in the ledger.
type revisionRecorder interface {
	Withhold(ctx context.Context, w recorder.Withheld) error
	Refuse(ctx context.Context, rev ledger.Revision, why string) error
	Taken(ctx context.Context, rev ledger.Revision) error
}

// NotInForce describes a revision that is not in force, and the reason.
type NotInForce struct {
	Commit  string
	Author  string
	Reason  ledger.Reason
	Message string
}

// Pull fetches the config repo. If that fails, or the head has errors, the last good
// revision stays in force, even across a restart.
func (f *Follower) Pull(ctx context.Context) error {
	rev, err := f.fetch(ctx)
	var held *fault.Error
	if errors.As(err, &held) && held.Held != nil {
		f.Retried("pull", nil)
		return f.withhold(ctx, held)
	}
	if err != nil {
		f.Retried("pull", err)
		return errors.Join(err, f.fallBack(ctx))
	}
	f.Retried("pull", nil)
	if f.inForce(rev) {
		f.followed()
		f.taken(ctx, rev)
		f.keepGood()
		return nil
	}
	job := f.decode(ctx, rev)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case job == nil: // the last good revision stays in force meanwhile
		return nil
	}
	desired, files, diags := job.desired, job.files, job.diags
	if diags.HasErrors() {
		f.Hold(ledger.ReasonRefused)
		f.untaken = true
		said := view.OneLine(diags) + f.Advice()
		f.Newest = &NotInForce{Commit: rev.Commit, Author: rev.Author, Reason: ledger.ReasonRefused, Message: said}
		f.showRefused(rev, files, diags)
		f.Retried("telling", f.recorder.Refuse(ctx, ledger.Revision{Commit: rev.Commit, Author: rev.Author}, said))
		return f.fallBack(ctx)
	}
	f.log.Info("revision", "revision", rev.Commit, "author", rev.Author, "certificates", len(desired.Certificates))
	f.followed()
	f.logChanges(desired)
	f.warnOfHolds(desired)
	f.Good, f.Desired, f.TakenAt, f.onDisk = rev, desired, time.Now(), false
	f.taken(ctx, rev)
	f.keepGood()
	return nil
}

// decodeNewest decodes a fetched revision. If certroll was upgraded, this may be the
// revision that was already in force: then new rules hold the blocks that they concern,
// and do not reject the revision.
func (f *Follower) decodeNewest(ctx context.Context, rev, good *gitsync.Revision) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	desired, files, diags := DecodeChange(ctx, f.settings, rev.Files, good)
	if !spec.OnlyNewRules(diags) {
		return desired, files, diags
	}
	k, err := f.readGood()
	before := err == nil && SameRevision(rev, k.Revision)
	if errors.Is(err, fs.ErrNotExist) { // a new disk: ask the ledger
		before = WasInForce(ctx, f.settings, f.configDir, rev, diags)
	}
	if !before {
		return desired, files, diags
	}
	return DecodeInForce(ctx, f.settings, rev.Files)
}

// warnOfHolds logs the blocks that new rules hold, once per revision.
func (f *Follower) warnOfHolds(desired *spec.Spec) {
	for _, h := range desired.Holds() {
		f.log.Error("held by a new rule", "rule", h.Rule.Name, "subject", h.Subject, "certificates", len(h.Certificates),
			"message", h.Message, "allow", h.Rule.Allow.Lines())
	}
}

// followed resets the state about a newer revision: the newest one is in force.
func (f *Follower) followed() {
	f.Hold("")
	f.refused, f.withheld, f.Newest = "", "", nil
}

// taken records in the ledger that a revision is in force, if the ledger may still
// report that an earlier one is not.
func (f *Follower) taken(ctx context.Context, rev *gitsync.Revision) {
	if !f.untaken {
		return
	}
	if err := f.recorder.Taken(ctx, ledger.Revision{Commit: rev.Commit, Author: rev.Author}); err != nil {
		f.log.Error("could not record in the ledger that the new revision is in force; will retry", "error", err)
		return
	}
	f.untaken = false
}

// showRefused displays a revision's errors once.
func (f *Follower) showRefused(rev *gitsync.Revision, files []spec.File, diags hcl.Diagnostics) {
	said := view.OneLine(diags) + f.Advice()
	if f.refused == rev.Commit+said {
		return
	}
	f.refused = rev.Commit + said
	if f.settings.Log.Format != "json" {
		f.Show(files, diags)
	}
	f.log.Error("revision refused", "revision", rev.Commit, "mistakes", said)
}

// inForce reports whether rev is the revision in force. It compares the files too:
// changes in a directory have no commit, and the revision on disk may be of another
// directory of the same commit.
func (f *Follower) inForce(rev *gitsync.Revision) bool {
	return f.Good != nil && SameReading(rev, f.Good)
}

// fetch reads the newest revision and checks its ancestry; a directory has none.
func (f *Follower) fetch(ctx context.Context) (*gitsync.Revision, error) {
	if f.source == nil {
		return ReadDir(f.configDir, f.settings)
	}
	rev, err := f.source.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	return rev, f.follows(ctx, rev)
}

// UseSettings switches to new settings, with which the revision in force decodes to
// desired. If they cannot open the config repo, it fails and changes nothing.
func (f *Follower) UseSettings(s *settings.Settings, desired *spec.Spec) error {
	old := f.settings
	if f.source != nil && !settings.SameSource(old, s) {
		if err := f.reopenSource(old, s); err != nil {
			return err
		}
	}
	f.settings = s
	if f.Good != nil {
		f.Desired = desired
		f.warnOfHolds(f.Desired)
	}
	f.rejected, f.refused = nil, "" // the new settings may accept a revision that the old ones rejected
	if (old.Verify != nil) != (s.Verify != nil) {
		f.onDisk = false // the file records whether the signature was checked
	}
	return nil
}

// reopenSource opens the config repo with new settings. It closes the old source first,
// since only one at a time can hold the cache.
func (f *Follower) reopenSource(old, s *settings.Settings) error {
	_ = f.source.Close()
	source, err := s.Source()
	if err == nil {
		f.source = source
		return nil
	}
	if before, oldErr := old.Source(); oldErr == nil {
		f.source = before
	}
	return err
}
