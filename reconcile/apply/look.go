package apply

import (
	"context"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// Observe reads the current state, including the journal's unpublished records.
func (r *Reconciler) Observe(ctx context.Context, desired *spec.Spec) (*plan.Observed, error) {
	return r.observe(ctx, desired, nil, nil, false)
}

// ObserveAgain is Observe for a repeated pass. It reuses the earlier observation of each
// certificate that is not in stale and whose record is unchanged. An unreadable place
// then holds only its own certificates.
func (r *Reconciler) ObserveAgain(ctx context.Context, desired *spec.Spec, before *plan.Observed, stale map[string]bool) (*plan.Observed, error) {
	return r.observe(ctx, desired, before, stale, true)
}

// observe reads the ledger, then Vault, and adds the unpublished entries and running
// attempts. lenient lets an unreadable place hold only its own certificates.
func (r *Reconciler) observe(ctx context.Context, desired *spec.Spec, before *plan.Observed, stale map[string]bool, lenient bool) (*plan.Observed, error) {
	atWork, turn := r.Crew.Look() // before any read, see Look
	tree, fresh, err := r.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	unsought := r.Writer.Mend(ctx, tree)
	obs, err := r.Observer.Observe(ctx, desired, tree, r.Opts.Now(), before, stale, lenient, r.Writer.Overlay)
	if err != nil {
		return nil, err
	}
	obs.Unread = append(obs.Unread, unsought...)
	r.SetUnreadable(obs.Unread)
	obs.Whole = fresh && len(obs.Unreadable) == 0
	obs.AtWork, obs.Turn = atWork, turn
	return obs, nil
}

// stillTrue returns the actions that a fresh plan still contains, and the observation.
func (r *Reconciler) stillTrue(ctx context.Context, desired *spec.Spec, planned plan.Plan, todo []plan.Action, report *Report) ([]plan.Action, *plan.Observed, error) {
	stale := make(map[string]bool, len(todo))
	for _, a := range todo {
		stale[a.Certificate] = true
	}
	obs, err := r.ObserveAgain(ctx, desired, planned.Observed, stale)
	if err != nil {
		return nil, nil, err
	}
	fresh := map[string]plan.Action{}
	for _, a := range plan.New(desired, obs, r.Opts.Now()).Actions {
		fresh[a.Certificate] = a
	}
	var still []plan.Action
	for _, a := range todo {
		switch now := fresh[a.Certificate]; {
		case now.AtWork != nil:
		// The same kind, for the same version at the same place. The fresh action runs,
		// because its details may be newer.
		case now.Kind == a.Kind && now.Secret.Version == a.Secret.Version && now.At == a.At:
			still = append(still, now)
		case now.Kind == ledger.KindHold:
			report.Held++
		default:
			report.Overtaken++
		}
	}
	return still, obs, nil
}

// Actionable returns the actions that have to be started.
func Actionable(actions []plan.Action) []plan.Action {
	var todo []plan.Action
	for _, a := range actions {
		if a.Kind != ledger.KindNone && a.Kind != ledger.KindHold && a.AtWork == nil {
			todo = append(todo, a)
		}
	}
	return todo
}
