package apply

import (
	"context"
	"errors"
	"slices"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec"
	"certroll/spec/await"
	"certroll/spec/text"
)

// over records how a job ended. It is called once per job.
func (b *Batch) over(res attempt.Result, in limiter.End) {
	if in == limiter.EndDone {
		b.Reconciler.OnEnded(res)
	}
	b.mu.Lock()
	switch in {
	case limiter.EndDone:
		b.report.Results = append(b.report.Results, res)
	case limiter.EndStopped, limiter.EndNoTurn, limiter.EndLeft:
		b.report.Interrupted++
	case limiter.EndHeld:
		b.report.Held++
	}
	b.Left--
	last := b.Left == 0
	b.mu.Unlock()
	// In a goroutine: Finish pushes to Git, and the caller may hold the crew's lock.
	if last {
		go b.Finish()
		return
	}
	select {
	case b.News <- struct{}{}:
	default: // News has an element already
	}
}

// Finish publishes to the ledger, then releases the lease: the next holder of the lease
// has to see these events, or it would repeat failed attempts at once.
func (b *Batch) Finish() {
	b.StopTelling()
	err := b.Err
	if b.Pass != nil {
		err = errors.Join(err, b.NoteHeld(b.Pass.HeldEvents()))
		b.Pass.End()
	}
	var missing error
	if !b.Silent {
		missing = b.tell()
	}
	if away := b.Absence.Current(); away != nil && b.Pass != nil {
		err = errors.Join(err, away)
		if attempt.SaysAway(missing) {
			missing = nil // the same outage, reported already
		}
	}
	b.Err = errors.Join(err, missing)
	b.Release()
	close(b.Done)
	b.Reconciler.Crew.Batches.Done()
}

// tell publishes the journal, even if ctx has ended, and drops the pending secrets whose
// events the ledger then has.
func (b *Batch) tell() error {
	disk := b.Writer.Unwritten.Err()
	commit, err := b.Publish(b.Ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if disk == nil {
		disk = b.Writer.Unwritten.Err() // the publish could not remove its events from the journal
	}
	if disk != nil {
		b.report.Disk = disk
	}
	b.report.Commit = text.FirstOf(commit, b.report.Commit)
	unrecorded(b.Recorder, b.report.Results)
	return err
}

// tellMeanwhile publishes the events of ended attempts while others still run. Errors are
// ignored here: the next publish and the one at the end try again.
//
//	ended      a  b              c d e f g h ...
//	published  ├ gather ┤a,b     ├ gather ┤c..e   ├ TellEvery ┤f g h
func (b *Batch) tellMeanwhile() {
	ctx, cancel := context.WithCancel(b.Ctx)
	stopped := make(chan struct{})
	b.StopTelling = func() { cancel(); <-stopped }
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ctx.Done():
				return
			case <-b.News:
			}
			if await.Sleep(ctx, gatherTime) != nil {
				return // Finish publishes
			}
			_ = b.tell()
			_ = await.Sleep(ctx, TellEvery-gatherTime)
		}
	}()
}

// Linger waits for the given time and reports whether the batch has finished. Most short
// batches finish within a moment, so that a caller can avoid a second pass.
func (b *Batch) Linger(ctx context.Context, moment time.Duration) bool {
	t := time.NewTimer(moment)
	defer t.Stop()
	select {
	case <-b.Done:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// SoFar returns a copy of the report up to now.
func (b *Batch) SoFar() *Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	report := b.report
	report.Results = slices.Clone(report.Results)
	return &report
}

// sharesOf returns the resources that limit an action's place: its CA, and the DNS
// accounts that it tries first. A resource that all certificates share is no reason to
// hold places back, so it counts only if the spec has several.
func (b *Batch) sharesOf(a *plan.Action) []string {
	var list []string
	if b.severalCAs && a.Issuer != nil {
		list = append(list, a.Issuer.Directory)
	}
	if b.SeveralAccounts && a.Kind.Orders() {
		for _, s := range plan.SubjectsOf(a)[1:] {
			list = append(list, string(s))
		}
	}
	return list
}

// severalOf reports whether the spec's certificates use more than one CA, and more than
// one DNS account.
func severalOf(desired *spec.Spec) (cas, accounts bool) {
	directories, names := map[string]bool{}, map[string]bool{}
	for _, c := range desired.Certificates {
		for _, issuer := range append([]string{c.Issuer}, c.Fallbacks...) {
			if i := desired.Issuers[issuer]; i != nil {
				directories[i.Directory] = true
			}
		}
		for _, name := range c.DNS {
			names[name] = true
		}
	}
	return len(directories) > 1, len(names) > 1
}

// unrecorded sets Unrecorded of the results that neither the journal nor the ledger has.
func unrecorded(r *recorder.Recorder, results []attempt.Result) {
	for i := range results {
		if id := results[i].Event.ID; id != "" && results[i].Unrecorded == nil {
			results[i].Unrecorded = r.Writer.Unwritten.Of(id)
		}
	}
}
