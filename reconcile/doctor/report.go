package doctor

import (
	"context"
	"slices"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Doctor examines everything and tells the ledger of each error once when it
// comes, and once when it is gone. It is for once a day, and may go on beside
// an Apply of the same process: both are under the lease, so that no canary
// meets a challenge of another reconciler.
func Doctor(ctx context.Context, r *apply.Reconciler, desired *spec.Spec, rev ledger.Revision) (*Examination, error) {
	run, release, err := r.HoldLease(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	x, err := Examine(run, r, desired, ExamineOptions{})
	if err != nil {
		return x, err
	}
	if err := NoteProblems(run, r, rev, x); err != nil {
		return x, err
	}
	return x, r.Tell(run)
}

// NoteProblems puts the difference between what was told and what was found
// into the journal.
func NoteProblems(ctx context.Context, r *apply.Reconciler, rev ledger.Revision, x *Examination) error {
	_, _, err := r.AmendProblems(ctx, func(known *ledger.Problems) []ledger.Entry { return ProblemEntries(known, x, rev, r.Opts.Now()) })
	return err
}

// ProblemEntries are the entries that lead from the known problems to those
// found. Each carries the state after it, so that a crash between two tells
// none twice.
func ProblemEntries(known *ledger.Problems, x *Examination, rev ledger.Revision, now time.Time) []ledger.Entry {
	now = now.UTC().Truncate(time.Second)
	var entries []ledger.Entry
	for _, f := range x.Findings {
		if f.Severity != ledger.SeverityError || known.Find(f.Class, f.About) >= 0 {
			continue
		}
		p := ledger.Problem{Operation: ledger.KindDoctor, Finding: f, Since: now}
		known = known.With(p, now)
		entries = append(entries, ledger.Entry{Event: p.Event(ledger.Failed, ledger.ReasonFound, rev, now), Problems: known})
	}
	blind := blinded(x)
	for _, p := range slices.Clone(known.Problems) {
		hidden := x.Incomplete || slices.ContainsFunc(p.Certificates, func(c string) bool { return blind[c] })
		if p.Operation == ledger.KindProbe || hidden || found(x, p) {
			continue
		}
		known = known.Without(known.Find(p.Class, p.About), now)
		entries = append(entries, ledger.Entry{Event: p.Event(ledger.Success, ledger.ReasonGone, rev, now), Problems: known})
	}
	return entries
}

func found(x *Examination, p ledger.Problem) bool {
	return slices.ContainsFunc(x.Findings, func(f ledger.Finding) bool {
		return f.Severity == ledger.SeverityError && f.Class == p.Class && f.About == p.About
	})
}

// blinded are the certificates that could not be looked at in full: what was
// wrong with them before may still be.
func blinded(x *Examination) map[string]bool {
	blind := map[string]bool{}
	for _, f := range x.Findings {
		switch f.Class {
		case ledger.ClassDNSUnavailable, ledger.ClassCAUnavailable, ledger.ClassRateLimited, ledger.ClassVault, ledger.ClassInternal:
			for _, c := range f.Certificates {
				blind[c] = true
			}
		}
	}
	return blind
}
