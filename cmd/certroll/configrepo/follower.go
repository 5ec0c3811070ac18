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

// Follower follows the config repo: which of its revisions is in force, and why a newer
// one is not.
type Follower struct {
	settings  *settings.Settings
	configDir string // the directory that stands in for the repo; "": there is none
	log       *slog.Logger
	source    *gitsync.Source                                            // nil: a directory
	snapshot  func(context.Context) (tree fs.FS, head string, err error) // of the ledger
	recorder  revisionRecorder
	Observers

	Good     *gitsync.Revision // the last revision without a mistake
	TakenAt  time.Time         // when it was taken
	onDisk   bool              // it is in the state directory
	unkept   error             // why it is not
	instead  archive.Taken     // what the head that was held back last does not descend from
	traced   bool              // what the ledger says was taken last is known to be followed
	Desired  *spec.Spec
	refused  string      // the revision that was refused last, and why
	withheld string      // the one that was held back last, and why
	Newest   *NotInForce // the newest revision, where it is not in force
	job      *decoding   // the revision that is being decoded, nil: none
	rejected *decoding   // the last revision that was rejected
	// triedGood: the last good revision on the disk was read while another one
	// was being decoded.
	triedGood bool
	untaken   bool // the ledger may say that a revision is not in force
}

// Follow follows the config repo as the settings say, or a directory. There is no
// revision in force yet.
func Follow(s *settings.Settings, dir string, log *slog.Logger, o Observers) *Follower {
	return &Follower{settings: s, configDir: dir, log: log, Observers: o}
}

// Begin opens the config repo, unless a directory stands in for it. From then on it asks
// the ledger what was taken before, and records what becomes of revisions.
func (f *Follower) Begin(snapshot func(context.Context) (fs.FS, string, error), r revisionRecorder) error {
	f.snapshot, f.recorder, f.untaken = snapshot, r, true
	if f.configDir != "" {
		return nil
	}
	var err error
	f.source, err = f.settings.Source()
	return err
}

// Observers learn what becomes of revisions.
type Observers struct {
	// Trouble learns how a step went that is tried again; err is nil where it went well.
	Trouble func(what string, err error)
	// Hold learns why the newest revision is not in force; "" where it is.
	Hold func(ledger.Reason)
	// DecodingSince learns since when a long decoding runs; zero: none does.
	DecodingSince func(time.Time)
	// Nudge asks for a pull before the next one is due.
	Nudge func()
	// Show shows the mistakes of a revision.
	Show func([]spec.File, hcl.Diagnostics)
	// Advice is added to the mistakes of a revision; "" mostly.
	Advice func() string
}

// revisionRecorder records in the ledger what becomes of revisions.
type revisionRecorder interface {
	Withhold(ctx context.Context, w recorder.Withheld) error
	Refuse(ctx context.Context, rev ledger.Revision, why string) error
	Taken(ctx context.Context, rev ledger.Revision) error
}

// NotInForce is a revision that is not in force, and why.
type NotInForce struct {
	Commit  string
	Author  string
	Reason  ledger.Reason
	Message string
}

// Pull fetches the config repo. Where that fails, or its head has a mistake,
// the last good revision stays in force, also over a restart.
func (f *Follower) Pull(ctx context.Context) error {
	rev, err := f.fetch(ctx)
	var held *fault.Error
	if errors.As(err, &held) && held.Held != nil {
		f.Trouble("pull", nil)
		return f.withhold(ctx, held)
	}
	if err != nil {
		f.Trouble("pull", err)
		return errors.Join(err, f.fallBack(ctx))
	}
	f.Trouble("pull", nil)
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
	case job == nil: // the last good one goes on meanwhile
		return nil
	}
	desired, files, diags := job.desired, job.files, job.diags
	if diags.HasErrors() {
		f.Hold(ledger.ReasonRefused)
		f.untaken = true
		said := view.OneLine(diags) + f.Advice()
		f.Newest = &NotInForce{Commit: rev.Commit, Author: rev.Author, Reason: ledger.ReasonRefused, Message: said}
		f.showRefused(rev, files, diags)
		f.Trouble("telling", f.recorder.Refuse(ctx, ledger.Revision{Commit: rev.Commit, Author: rev.Author}, said))
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

// decodeNewest decodes a revision that was fetched. After an upgrade of certroll
// it may be the one that was in force before: new rules hold what they concern
// in it, instead of rejecting it.
func (f *Follower) decodeNewest(ctx context.Context, rev, good *gitsync.Revision) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	desired, files, diags := DecodeChange(ctx, f.settings, rev.Files, good)
	if !spec.OnlyNewRules(diags) {
		return desired, files, diags
	}
	k, err := f.readGood()
	before := err == nil && SameRevision(rev, k.Revision)
	if errors.Is(err, fs.ErrNotExist) { // a fresh disk: the ledger may know
		before = WasInForce(ctx, f.settings, f.configDir, rev, diags)
	}
	if !before {
		return desired, files, diags
	}
	return DecodeInForce(ctx, f.settings, rev.Files)
}

// warnOfHolds logs what new rules hold, once for each revision.
func (f *Follower) warnOfHolds(desired *spec.Spec) {
	for _, h := range desired.Holds() {
		f.log.Error("held by a new rule", "rule", h.Rule.Name, "subject", h.Subject, "certificates", len(h.Certificates),
			"message", h.Message, "allow", h.Rule.Allow.Lines())
	}
}

// followed is what there is once the newest revision is in force.
func (f *Follower) followed() {
	f.Hold("")
	f.refused, f.withheld, f.Newest = "", "", nil
}

// taken tells the ledger that a revision is in force, where it may say of one
// before it that it is not.
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

// showRefused shows the mistakes of a revision, once however often it is met.
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

// inForce tells whether a revision is the one that is in force. Its files are
// looked at too: a directory's changes have no commit of their own, and what
// was kept on the disk may be of another directory of the commit.
func (f *Follower) inForce(rev *gitsync.Revision) bool {
	return f.Good != nil && SameReading(rev, f.Good)
}

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

// UseSettings takes other settings, by which the revision in force decodes to desired. It
// fails, and changes nothing, where they do not open the config repo.
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
	f.rejected, f.refused = nil, "" // the new settings may take what the old ones refused
	if (old.Verify != nil) != (s.Verify != nil) {
		f.onDisk = false // it says whether the signature was looked at
	}
	return nil
}

// reopenSource opens the config repo by other settings. Its cache is had by one at a time.
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
