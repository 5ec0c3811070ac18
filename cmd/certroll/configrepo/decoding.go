package configrepo

import (
	"context"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/gitsync"
	"certroll/spec"
)

const (
	// Grace is how long a pass waits for a new revision's decoding. Most finish within
	// it and come into force at once; otherwise the pass continues with the last good
	// revision.
	Grace = 2 * time.Second
	// rejectedFor is how long the diagnostics of a rejected revision stay cached:
	// decoding it again may take as long as decode_timeout.
	rejectedFor = time.Hour
)

// decoding is the decoding of one revision, in its own goroutine.
type decoding struct {
	rev     *gitsync.Revision
	began   time.Time
	cancel  context.CancelFunc
	done    chan struct{} // closed once the fields below are set
	desired *spec.Spec
	files   []spec.File
	diags   hcl.Diagnostics
}

// of reports whether this is the decoding of rev.
func (j *decoding) of(rev *gitsync.Revision) bool {
	return j != nil && SameReading(j.rev, rev)
}

// decode returns the decoding of a revision, or nil if it is slow and the last good
// revision can stay in force meanwhile. Only the loop calls it. One decoding runs at a
// time; a newer revision waits for its end. The end of ctx cancels the decoding.
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
			if f.job == nil { // hasGood stopped it, in vain
				continue
			}
		}
		<-f.job.done // ends by decode_timeout
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

// begin decodes a revision beside the loop, and nudges the loop at the end.
func (f *Follower) begin(ctx context.Context, rev *gitsync.Revision) *decoding {
	ctx, cancel := context.WithCancel(ctx)
	LogUnread(f.log, rev)
	good := f.Good // the loop may change f.Good meanwhile
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

// DoneWithin waits until done is closed; it returns false after d, or at the end of ctx.
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

// StopDecoding cancels the decoding in progress and waits for its end.
func (f *Follower) StopDecoding() {
	if f.job != nil {
		f.job.cancel()
		<-f.job.done
		f.job = nil
	}
}

// IsDecoding reports whether a revision is being decoded beside the loop.
func (f *Follower) IsDecoding() bool { return f.job != nil }

// hasGood reports whether a good revision can be in force while another one is decoded.
// After a start, it reads that revision from disk. It first stops the decoding in
// progress, since two at once need the memory of two, and restarts it afterwards.
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
		f.Retried("last good revision", err)
		return false
	}
	f.job = f.begin(ctx, rev)
	return true
}
