package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"certroll/spec"
)

// KindDoctor is the operation of an event about a problem that an examination
// found, or found gone; no action is of this kind.
const KindDoctor Kind = "doctor"

// The reasons of such an event.
const (
	ReasonFound Reason = "found_ahead"
	ReasonGone  Reason = "gone"
)

// problemsFile holds the problems that the ledger was told of and that are not
// gone, of examinations and of probes. It changes only when one comes or goes.
const problemsFile = "doctor.json"

// problemsSchema is the version of its JSON shape.
const problemsSchema = 1

// Problems is what examinations and probes found and what is not known to be gone.
type Problems struct {
	Schema    int       `json:"schema"`
	UpdatedAt time.Time `json:"updated_at"`
	Problems  []Problem `json:"problems"` // by time of finding
}

// Problem is an error that was found, as it was told.
type Problem struct {
	// Operation is KindDoctor or KindProbe; "" was written by a certroll that
	// did not know the latter.
	Operation Kind `json:"operation"`
	Finding
	Since time.Time `json:"since"`
}

// find is where a problem of an examination stands, -1 where it does not.
func (p *Problems) find(class Class, about string) int {
	return slices.IndexFunc(p.Problems, func(o Problem) bool { return o.Operation != KindProbe && o.Class == class && o.About == about })
}

// with and without are copies, since what was noted stays as it is.
func (p *Problems) with(one Problem, at time.Time) *Problems {
	return &Problems{Schema: problemsSchema, UpdatedAt: later(at, p.UpdatedAt), Problems: append(slices.Clone(p.Problems), one)}
}

func (p *Problems) without(i int, at time.Time) *Problems {
	return &Problems{Schema: problemsSchema, UpdatedAt: later(at, p.UpdatedAt), Problems: slices.Delete(slices.Clone(p.Problems), i, i+1)}
}

// ReadProblems reads the open problems of a ledger's tree.
func ReadProblems(tree fs.FS) (*Problems, error) {
	p := &Problems{Schema: problemsSchema, Problems: []Problem{}}
	b, err := fs.ReadFile(tree, problemsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's %s: %w", problemsFile, err)
	}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("reading the ledger's %s: %w", problemsFile, err)
	}
	if p.Schema > problemsSchema {
		return nil, fmt.Errorf("reading the ledger's %s: it has schema %d, and this certroll knows %d: use the newer one", problemsFile, p.Schema, problemsSchema)
	}
	// Whoever may push can write one that concerns nobody: certroll never does.
	p.Problems = slices.DeleteFunc(p.Problems, func(o Problem) bool { return o.Operation == KindProbe && len(o.Certificates) == 0 })
	return p, nil
}

// editProblems is the edit that brings a tree's open problems to what the
// entries say last, and what they are then; nil where they say nothing new.
func editProblems(tree fs.FS, entries []entry) (text []byte, latest *Problems, err error) {
	now, err := ReadProblems(tree)
	if err != nil {
		return nil, nil, err
	}
	if latest = latestProblems(now, entries); latest == now {
		return nil, now, nil
	}
	b, err := plainJSON(latest, "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("encoding %s: %w", problemsFile, err)
	}
	return append(b, '\n'), latest, nil
}

func latestProblems(p *Problems, entries []entry) *Problems {
	for _, e := range entries {
		if e.Problems != nil && !e.Problems.UpdatedAt.Before(p.UpdatedAt) {
			p = e.Problems
		}
	}
	return p
}

// Doctor examines everything and tells the ledger of each error once when it
// comes, and once when it is gone. It is for once a day, and may go on beside
// an Apply of the same process: both are under the lease, so that no canary
// meets a challenge of another reconciler.
func (r *Reconciler) Doctor(ctx context.Context, desired *spec.Spec, rev Revision) (*Examination, error) {
	run, release, err := r.holdLease(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	x, err := r.Examine(run, desired, ExamineOptions{})
	if err != nil {
		return x, err
	}
	if err := r.noteProblems(run, rev, x); err != nil {
		return x, err
	}
	return x, r.tell(run, &Report{})
}

// noteProblems puts the difference between what was told and what was found
// into the journal.
func (r *Reconciler) noteProblems(ctx context.Context, rev Revision, x *Examination) error {
	_, _, err := r.amendProblems(ctx, func(known *Problems) []entry { return problemEntries(known, x, rev, r.opts.Now()) })
	return err
}

// amendProblems puts entries about the open problems into the journal, and
// returns them with the problems that are open then.
func (r *Reconciler) amendProblems(ctx context.Context, amend func(known *Problems) []entry) (*Problems, []entry, error) {
	r.problemsMu.Lock()
	defer r.problemsMu.Unlock()
	known, fresh, err := r.knownProblems(ctx)
	if err != nil {
		return nil, nil, err
	}
	if was := r.problems; !fresh && was != nil && was.UpdatedAt.After(known.UpdatedAt) {
		known = was // it was pushed, and the ledger could not be read since
	}
	entries := amend(known)
	for _, e := range entries {
		if err := r.scribe.note(e); err != nil {
			return nil, nil, err
		}
	}
	r.problems = latestProblems(known, entries)
	return r.problems, entries, nil
}

// knownProblems are those that were told, or are about to be. The journal is
// read before the tree: what is pushed in between is in both, and not in
// neither. Not fresh are those of the tree that was seen last.
func (r *Reconciler) knownProblems(ctx context.Context) (_ *Problems, fresh bool, err error) {
	waiting, err := r.scribe.entries()
	if err != nil {
		return nil, false, err
	}
	tree, fresh, err := r.snapshot(ctx)
	if err != nil {
		return nil, false, err
	}
	known, err := ReadProblems(tree)
	if err != nil {
		return nil, false, err
	}
	return latestProblems(known, waiting), fresh, nil
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
	fails := fmt.Sprintf("the next renewal of %s will fail", shortNames(p.Certificates))
	e.concerns(p.Certificates)
	e.Detail = strings.TrimSuffix(fails+": "+p.Advice, ": ")
	if status == Success {
		e.Message = ""
		e.Detail = "what was found about " + p.About + " on " + p.Since.Format(time.DateOnly) + " is gone"
	}
	return e
}
