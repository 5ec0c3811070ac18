package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// noteAsking keeps that the CA is asked for an order now, before it is.
func (a *attempt) noteAsking(ctx context.Context) error {
	if a.asking {
		a.asking = false // the next one is another question
		return nil
	}
	a.draft.Asked = append(a.draft.Asked, a.now())
	return a.drafts.store(ctx, a.action.Certificate, a.draft)
}

// mostUnanswered is how many questions for an order may be without a noted
// answer until that counts as a failed attempt.
const mostUnanswered = 2

// tooOftenUnanswered fails where earlier runs asked the CA for an order and
// ended before they could note what came of it: a certroll that is killed over
// and over would ask at each start, and no back-off would ever be noted.
//
//	ask ✝  ask ✝  fails: noted, held ─────────▶ ask ...
func (a *attempt) tooOftenUnanswered() error {
	if phaseOf(a.draft) != phaseKeyed {
		return nil
	}
	var since []time.Time
	for _, at := range a.draft.Asked {
		r := a.action.Record
		if r == nil || r.LastFailure == nil || at.Truncate(time.Second).After(r.LastFailure.At) {
			since = append(since, at)
		}
	}
	if len(since) < mostUnanswered {
		return nil
	}
	return &failure{class: ClassInternal, err: fmt.Errorf(
		"ordering %s from %s: certroll was ended %d times since %s before it could note what the CA had answered; it is not asked now: see what ends certroll",
		strings.Join(a.draft.Names, " "), a.draft.Issuer, len(since), since[0].UTC().Format(time.RFC3339))}
}

func formatTimes(times []time.Time) string {
	texts := make([]string, len(times))
	for i, t := range times {
		texts[i] = t.UTC().Format(time.RFC3339Nano)
	}
	return strings.Join(texts, " ")
}

func parseTimes(text string) ([]time.Time, error) {
	var times []time.Time
	for _, field := range strings.Fields(text) {
		t, err := time.Parse(time.RFC3339Nano, field)
		if err != nil {
			return nil, err
		}
		times = append(times, t)
	}
	return times, nil
}
