package proposal

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"certroll/cmd/certroll/wiring"
	"certroll/reconcile/acme"
	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/doctor"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/review"
	"certroll/spec"
)

// checkDNSTimeout bounds a plan's DNS checks.
const checkDNSTimeout = 2 * time.Minute

// checkDNS checks for a plan whether the DNS permits issuing: CAA, the delegation of
// challenges, DNSSEC. It needs no secret and no ACME account, and writes nothing.
func checkDNS(log *slog.Logger, version string) func(context.Context, *spec.Spec, []string) []review.Note {
	return func(ctx context.Context, desired *spec.Spec, certificates []string) []review.Note {
		if len(certificates) == 0 {
			return nil
		}
		client := acme.New(noAccounts{}, acme.Options{UserAgent: "certroll/" + version, Logger: log})
		defer func() { _ = client.Close() }()
		r := apply.New(&observe.Observer{}, nil, nil, nil, wiring.NoJournal{}, attempt.Options{Examiner: client})
		x, err := doctor.Examine(ctx, r, desired, doctor.ExamineOptions{Certificates: certificates, NoCanary: true, Timeout: checkDNSTimeout})
		if err != nil {
			return []review.Note{{Code: review.NoteCheck, Text: "could not check the DNS: " + err.Error()}}
		}
		var notes []review.Note
		for _, f := range x.Findings {
			if f.Severity != ledger.SeverityInfo {
				notes = append(notes, noteOf(f, desired))
			}
		}
		if x.Incomplete {
			notes = append(notes, review.Note{Code: review.NoteCheck, Text: fmt.Sprintf("the DNS check did not finish within %s", checkDNSTimeout)})
		}
		return notes
	}
}

// noteOf turns a finding into a review note, at the block of the first affected
// certificate.
func noteOf(f ledger.Finding, desired *spec.Spec) review.Note {
	r := review.Note{Code: review.NoteCheck, Text: f.Message}
	if f.Advice != "" {
		r.Text += "; " + f.Advice
	}
	if len(f.Certificates) == 0 {
		return r
	}
	if c := desired.Certificate(f.Certificates[0]); c != nil {
		r.Place = review.Place{File: c.File, Line: c.Range.Start.Line, Column: c.Range.Start.Column}
	}
	if r.Certificate = f.Certificates[0]; len(f.Certificates) > 1 {
		r.Text += fmt.Sprintf(" (also %s)", strings.Join(f.Certificates[1:], ", "))
	}
	return r
}

// noAccounts is an empty, read-only store of ACME accounts.
type noAccounts struct{}

func (noAccounts) Load(context.Context, string) (map[string]string, error) {
	return nil, fs.ErrNotExist
}

func (noAccounts) Create(context.Context, string, map[string]string) (map[string]string, error) {
	return nil, fs.ErrPermission
}

func (noAccounts) Update(context.Context, string, map[string]string) error { return fs.ErrPermission }
