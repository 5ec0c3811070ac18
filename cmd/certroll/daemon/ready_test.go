package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/metrics"
	"certroll/reconcile"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// TestReadyAgreesWithTheMetricsAndThePage: /readyz, the metrics and the page name the same problem of the last pass.
func TestReadyAgreesWithTheMetricsAndThePage(t *testing.T) {
	for _, side := range reconcile.Sides {
		p := reconcile.Pass{After: plan.Plan{Observed: &plan.Observed{}}, Outages: []reconcile.Outage{{Side: side, Since: time.Now()}}}
		if side == "state_dir" {
			p.Disk = errors.New("the state_dir cannot be written: no space left on device")
		}
		h := newHealth(time.Minute)
		h.connected(func(context.Context) error { return nil })
		h.passed(p)
		if why := h.unready(t.Context()); !strings.Contains(why, side) {
			t.Errorf("/readyz says %q while %s is away", why, side)
		}
		d := &daemon{repo: &configrepo.Follower{}}
		if said := strings.Join(d.shown(p, time.Now()).Faults, "\n"); !strings.Contains(said, side) {
			t.Errorf("the page says %q while %s is away", said, side)
		}
		h.passed(reconcile.Pass{After: plan.Plan{Observed: &plan.Observed{}}})
		if why := h.unready(t.Context()); why != "" {
			t.Errorf("/readyz says %q after %s is back", why, side)
		}
	}
}

// TestWhatIsNotRecordedIsCountedAndSaidOnce: an event that cannot be recorded is counted and logged once, however many
// passes repeat it.
func TestWhatIsNotRecordedIsCountedAndSaidOnce(t *testing.T) {
	full := errors.New("no space left on device")
	result := func(unrecorded error) attempt.Result {
		return attempt.Result{Action: plan.Action{Certificate: "api"}, Unrecorded: unrecorded,
			Event: ledger.Event{ID: "e1", Operation: ledger.KindRenew, Status: ledger.Success, Certificate: "api"}}
	}
	m := metrics.New("v1.2.3")
	var said strings.Builder
	d := newDecisions(slog.New(slog.NewTextHandler(&said, nil)))
	for _, unrecorded := range []error{full, full, full, nil} {
		(&daemon{metrics: m, say: d, health: &health{}}).ended(result(unrecorded))
	}
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "certroll_operations_total" && f.GetMetric()[0].GetCounter().GetValue() != 1 {
			t.Errorf("it is counted %v times", f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	if n := strings.Count(said.String(), "msg=action"); n != 1 || !strings.Contains(said.String(), "unrecorded=\"no space left on device\"") {
		t.Errorf("it is said %d times:\n%s", n, said.String())
	}
}
