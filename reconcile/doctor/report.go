package doctor

import (
	"context"
	"slices"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Doctor runs all checks and records each error when it appears and when it disappears.
// It is meant for once a day and may run beside an Apply of the same process. Both run
// under the lease, so that no canary collides with a challenge of another replica.
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

// NoteProblems writes the difference between known and found problems to the journal.
func NoteProblems(ctx context.Context, r *apply.Reconciler, rev ledger.Revision, x *Examination) error {
	_, _, err := r.AmendProblems(ctx, func(known *ledger.Problems) []ledger.Entry { return ProblemEntries(known, x, rev, r.Opts.Now()) })
	return err
}

// ProblemEntries returns the entries that update the known problems to the findings. Each
// entry carries the resulting state, so that a crash between two entries repeats none.
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
		// A problem is gone only if its examination was complete and did not find it.
		hidden := x.Incomplete || slices.ContainsFunc(p.Certificates, func(c string) bool { return blind[c] })
		if p.Operation == ledger.KindProbe || hidden || found(x, p) {
			continue
		}
		known = known.Without(known.Find(p.Class, p.About), now)
		entries = append(entries, ledger.Entry{Event: p.Event(ledger.Success, ledger.ReasonGone, rev, now), Problems: known})
	}
	return entries
}

// found reports whether an examination still has a problem as an error.
func found(x *Examination, p ledger.Problem) bool {
	return slices.ContainsFunc(x.Findings, func(f ledger.Finding) bool {
		return f.Severity == ledger.SeverityError && f.Class == p.Class && f.About == p.About
	})
}

// blinded returns the certificates whose examination was incomplete: their earlier
// problems may still exist.
func blinded(x *Examination) map[string]bool {
	blind := map[string]bool{}
	for _, f := range x.Findings {
		if hidesNothing(f) {
			continue
		}
		switch f.Class {
		case ledger.ClassDNSUnavailable, ledger.ClassCAUnavailable, ledger.ClassRateLimited, ledger.ClassVault, ledger.ClassInternal:
			for _, c := range f.Certificates {
				blind[c] = true
			}
		}
	}
	return blind
}
