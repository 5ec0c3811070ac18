package configrepo

import (
	"context"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/gitsync"
	"certroll/spec"
)

const (
	// Grace is how long a pass waits for a new revision. Nearly all are
	// decoded by then, and are in force at once; for one that is not, the pass
	// goes on with the last good one.
	Grace = 2 * time.Second
	// rejectedFor is how long it is remembered what a rejected revision's
	// mistakes are: to find them again may take as long as it may take at all.
	rejectedFor = time.Hour
)

// decoding is the decoding of one revision, in a goroutine of its own.
type decoding struct {
	rev     *gitsync.Revision
	began   time.Time
	cancel  context.CancelFunc
	done    chan struct{} // closed when what follows is there
	desired *spec.Spec
	files   []spec.File
	diags   hcl.Diagnostics
}

// of tells whether it is that of a revision.
func (j *decoding) of(rev *gitsync.Revision) bool {
	return j != nil && SameReading(j.rev, rev)
}

// decode gives what a revision decodes to, or nil where that takes long and
// there is another one to go on with. It is called by the loop alone, and there
// is one decoding at a time: a revision that came meanwhile is next. ctx ends
// all of it.
func (f *Follower) decode(ctx context.Context, rev *gitsync.Revision) *decoding {
	if f.rejected.of(rev) && time.Since(f.rejected.began) < rejectedFor {
		return f.rejected
	}
	for {
		if f.job == nil {
			f.job = f.begin(ctx, rev)
		}
		if !DoneWithin(ctx, f.job.done, Grace) {
			f.DecodingSince(f.job.began)
			if f.hasGood(ctx) {
				return nil
			}
			if f.job == nil { // it was put off, in vain
				continue
			}
		}
		<-f.job.done // by its deadline
		f.DecodingSince(time.Time{})
		job := f.job
		f.job = nil
		if job.of(rev) {
			if f.rejected = nil; job.diags.HasErrors() && ctx.Err() == nil {
				f.rejected = job
			}
			return job
		}
	}
}

// begin decodes a revision beside the loop, which is nudged when that is done.
func (f *Follower) begin(ctx context.Context, rev *gitsync.Revision) *decoding {
	ctx, cancel := context.WithCancel(ctx)
	LogUnread(f.log, rev)
	good := f.Good // which the loop may change meanwhile
	j := &decoding{rev: rev, began: time.Now(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer cancel()
		j.desired, j.files, j.diags = f.decodeNewest(ctx, rev, good)
		NoteUnread(j.desired, rev)
		close(j.done)
		f.Nudge()
	}()
	return j
}

// DoneWithin waits until done is closed; false where it is not by then.
func DoneWithin(ctx context.Context, done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	case <-timer.C:
		return false
	}
}

// StopDecoding ends the decoding that is under way.
func (f *Follower) StopDecoding() {
	if f.job != nil {
		f.job.cancel()
		<-f.job.done
		f.job = nil
	}
}

// IsDecoding tells whether a revision is being decoded beside the loop.
func (f *Follower) IsDecoding() bool { return f.job != nil }

// hasGood tells whether there is a revision to go on with while another one is
// decoded. After a start it is read from the disk; for that the other decoding
// is put off, since two at once would take the memory of two.
func (f *Follower) hasGood(ctx context.Context) bool {
	if f.Good != nil || ctx.Err() != nil {
		return f.Good != nil
	}
	if _, err := f.readGood(); err != nil || f.triedGood {
		return false
	}
	f.triedGood = true
	rev := f.job.rev
	f.StopDecoding()
	err := f.fallBack(ctx)
	if err != nil {
		f.Trouble("last good revision", err)
		return false
	}
	f.job = f.begin(ctx, rev)
	return true
}
