package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/spec"

	"certroll/spec/text"
)

// Doctor examines everything and tells the ledger of each error once when it
// comes, and once when it is gone. It is for once a day, and may go on beside
// an Apply of the same process: both are under the lease, so that no canary
// meets a challenge of another reconciler.
func Doctor(ctx context.Context, r *Reconciler, desired *spec.Spec, rev Revision) (*Examination, error) {
	run, release, err := r.holdLease(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	x, err := Examine(run, r, desired, ExamineOptions{})
	if err != nil {
		return x, err
	}
	if err := noteProblems(run, r, rev, x); err != nil {
		return x, err
	}
	return x, r.tell(run)
}

// noteProblems puts the difference between what was told and what was found
// into the journal.
func noteProblems(ctx context.Context, r *Reconciler, rev Revision, x *Examination) error {
	_, _, err := r.amendProblems(ctx, func(known *Problems) []entry { return problemEntries(known, x, rev, r.opts.Now()) })
	return err
}

// problemEntries are the entries that lead from the known problems to those
// found. Each carries the state after it, so that a crash between two tells
// none twice.
func problemEntries(known *Problems, x *Examination, rev Revision, now time.Time) []entry {
	now = now.UTC().Truncate(time.Second)
	var entries []entry
	for _, f := range x.Findings {
		if f.Severity != SeverityError || known.find(f.Class, f.About) >= 0 {
			continue
		}
		p := Problem{Operation: KindDoctor, Finding: f, Since: now}
		known = known.with(p, now)
		entries = append(entries, entry{Event: p.event(Failed, ReasonFound, rev, now), Problems: known})
	}
	blind := blinded(x)
	for _, p := range slices.Clone(known.Problems) {
		hidden := x.Incomplete || slices.ContainsFunc(p.Certificates, func(c string) bool { return blind[c] })
		if p.Operation == KindProbe || hidden || found(x, p) {
			continue
		}
		known = known.without(known.find(p.Class, p.About), now)
		entries = append(entries, entry{Event: p.event(Success, ReasonGone, rev, now), Problems: known})
	}
	return entries
}

func found(x *Examination, p Problem) bool {
	return slices.ContainsFunc(x.Findings, func(f Finding) bool {
		return f.Severity == SeverityError && f.Class == p.Class && f.About == p.About
	})
}

// blinded are the certificates that could not be looked at in full: what was
// wrong with them before may still be.
func blinded(x *Examination) map[string]bool {
	blind := map[string]bool{}
	for _, f := range x.Findings {
		switch f.Class {
		case ClassDNSUnavailable, ClassCAUnavailable, ClassRateLimited, ClassVault, ClassInternal:
			for _, c := range f.Certificates {
				blind[c] = true
			}
		}
	}
	return blind
}

// event tells of the problem. Its id derives from what was found and when it
// came, and not from words that change from one look to the next.
func (p Problem) event(status Status, reason Reason, rev Revision, now time.Time) Event {
	e := Event{
		Schema: EventSchema, ID: eventID("doctor", string(reason), string(p.Class), p.About, p.Since.Format(time.RFC3339)), Time: now,
		Operation: KindDoctor, Status: status, Reason: reason, Actor: "schedule", Cause: "schedule", Revision: rev.Commit,
		DNSAccount: p.DNSAccount, Class: p.Class, Message: p.Message,
	}
	fails := fmt.Sprintf("the next renewal of %s will fail", text.Some(p.Certificates, 3))
	e.concerns(p.Certificates)
	e.Detail = strings.TrimSuffix(fails+": "+p.Advice, ": ")
	if status == Success {
		e.Message = ""
		e.Detail = "what was found about " + p.About + " on " + p.Since.Format(time.DateOnly) + " is gone"
	}
	return e
}
