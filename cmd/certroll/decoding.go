package main

import (
	"context"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/configrepo"
	"certroll/gitsync"
	"certroll/spec"
)

const (
	// decodeGrace is how long a pass waits for a new revision. Nearly all are
	// decoded by then, and are in force at once; for one that is not, the pass
	// goes on with the last good one.
	decodeGrace = 2 * time.Second
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
	return j != nil && configrepo.SameReading(j.rev, rev)
}

// decode gives what a revision decodes to, or nil where that takes long and
// there is another one to go on with. It is called by the loop alone, and there
// is one decoding at a time: a revision that came meanwhile is next. ctx ends
// all of it.
func (d *daemon) decode(ctx context.Context, rev *gitsync.Revision) *decoding {
	if d.rejected.of(rev) && time.Since(d.rejected.began) < rejectedFor {
		return d.rejected
	}
	for {
		if d.job == nil {
			d.job = d.begin(ctx, rev)
		}
		if !d.job.within(ctx, decodeGrace) {
			d.health.decoding(d.job.began)
			if d.hasGood(ctx) {
				return nil
			}
			if d.job == nil { // it was put off, in vain
				continue
			}
		}
		<-d.job.done // by its deadline
		d.health.decoding(time.Time{})
		job := d.job
		d.job = nil
		if job.of(rev) {
			if d.rejected = nil; job.diags.HasErrors() && ctx.Err() == nil {
				d.rejected = job
			}
			return job
		}
	}
}

// begin decodes a revision beside the loop, which is nudged when that is done.
func (d *daemon) begin(ctx context.Context, rev *gitsync.Revision) *decoding {
	ctx, cancel := context.WithCancel(ctx)
	configrepo.LogUnread(d.log, rev)
	good := d.good // which the loop may change meanwhile
	j := &decoding{rev: rev, began: time.Now(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer cancel()
		j.desired, j.files, j.diags = d.decodeNewest(ctx, rev, good)
		configrepo.NoteUnread(j.desired, rev)
		close(j.done)
		d.files.nudge()
	}()
	return j
}

// within waits for it; false where it is not done by then.
func (j *decoding) within(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-j.done:
		return true
	case <-ctx.Done():
		return false
	case <-timer.C:
		return false
	}
}

// stopDecoding ends the decoding that is under way.
func (d *daemon) stopDecoding() {
	if d.job != nil {
		d.job.cancel()
		<-d.job.done
		d.job = nil
	}
}

// hasGood tells whether there is a revision to go on with while another one is
// decoded. After a start it is read from the disk; for that the other decoding
// is put off, since two at once would take the memory of two.
func (d *daemon) hasGood(ctx context.Context) bool {
	if d.good != nil || ctx.Err() != nil {
		return d.good != nil
	}
	if _, err := d.readGood(); err != nil || d.triedGood {
		return false
	}
	d.triedGood = true
	rev := d.job.rev
	d.stopDecoding()
	err := d.fallBack(ctx)
	if err != nil {
		d.say.trouble("last good revision", err)
		return false
	}
	d.job = d.begin(ctx, rev)
	return true
}
