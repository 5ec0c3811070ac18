package metrics

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"certroll/cmd/certroll/metrics/metricstest"
	"certroll/reconcile"
	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// everyMetric returns a scrape after passes that set every metric.
func everyMetric(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	m := New("v1.2.3")
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	live := &ledger.Live{NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour), IssuedAt: at, Version: 3, Issuer: "le"}
	secret := plan.Secret{Owner: "api", Live: live}
	long := at.AddDate(0, -1, 0)
	records := []*ledger.Record{
		{Certificate: "api", State: ledger.StateFailing, Failures: 3, Severity: ledger.SeverityPage, RenewAt: &at, LastFailure: &ledger.Failure{Class: ledger.ClassCAA}},
		{Certificate: "failing", State: ledger.StateFailing, Failures: 1, RenewAt: &at, LastFailure: &ledger.Failure{Class: ledger.ClassCAA}},
		{Certificate: "overdue", State: ledger.StateLive, RenewAt: &long},
		{Certificate: "off", State: ledger.StateLive, Unmanaged: &ledger.Unmanaged{Overdue: true}},
	}
	pass := reconcile.Pass{
		Report: &apply.Report{}, Records: records, Rewound: at, Took: time.Second,
		Backlog: recorder.Backlog{Events: 2, Oldest: at, PublishedAt: at}, Outages: []reconcile.Outage{{Side: "ledger", Since: at}},
		Problems: []ledger.Problem{{Finding: ledger.Finding{Class: ledger.ClassCAA}}},
		Limits: []throttle.LimitUsed{
			{Issuer: "le", Limit: "orders", Used: 1.5, Size: 300}, {Issuer: "le", Limit: "certificates_per_domain", Size: 50},
			{Issuer: "le", Limit: "exact_set", Size: 5}, {Issuer: "le", Limit: "failed_validations", Size: 5},
		},
		After: plan.Plan{Observed: &plan.Observed{}, Actions: []plan.Action{
			{Certificate: "api", Kind: ledger.KindNone, Reason: ledger.ReasonUpToDate, Spec: &spec.Certificate{}, Secret: secret, Record: records[0]},
			{Certificate: "off", Kind: ledger.KindNone, Reason: ledger.ReasonUnmanaged, Spec: &spec.Certificate{}},
			{Certificate: "gone", Kind: ledger.KindRetire},
		}},
	}
	for _, why := range []ledger.Reason{ledger.ReasonBackoff, ledger.ReasonRateLimited, ledger.ReasonPaused, ledger.ReasonLimit,
		ledger.ReasonBreaker, ledger.ReasonSpread, ledger.ReasonUnreadable, ledger.ReasonNextKeyNew, ledger.ReasonNewRule, ledger.ReasonUndone, ledger.ReasonMass, ledger.ReasonNotRead} {
		pass.After.Actions = append(pass.After.Actions, plan.Action{Certificate: string(why), Kind: ledger.KindHold, Reason: why, NotBefore: at, Spec: &spec.Certificate{}})
	}
	for _, status := range []ledger.Status{ledger.Success, ledger.Failed, ledger.Denied} {
		m.Ended(ledger.Event{Operation: ledger.KindRenew, Status: status, Issuer: "le", DNSAccount: "one",
			PassedOver: []ledger.PassedOver{{Account: "two", Class: ledger.ClassDNSUnauthorized}}})
	}
	m.Connected(func() (time.Time, time.Duration) { return at, time.Hour })
	m.Passed(reconcile.Pass{Err: errors.New("Vault is sealed")}, Revision{}, at)
	m.Passed(pass, Revision{Commit: "c0ffee", At: at}, at)
	m.Look(func() []monitor.Result {
		return []monitor.Result{{Certificate: "api", Endpoint: "api.example.com:443", Verdict: monitor.Verdict(ledger.ClassStale), NotAfter: &at, At: at}}
	})
	m.Notified("ops", nil)
	m.Notified("ops", errors.New("away"))
	var all []*dto.MetricFamily
	for _, why := range []ledger.Reason{ledger.ReasonRefused, ledger.ReasonUnsigned, ledger.ReasonBadSignature, ledger.ReasonRewritten} {
		m.Hold(why)
		families, err := m.Gather()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, families...)
	}
	problems, err := testutil.GatherAndLint(m)
	if err != nil || len(problems) > 0 {
		t.Error(err, problems)
	}
	return all
}

// labelsOf returns the labels of a family's series, sorted.
func labelsOf(f *dto.MetricFamily) []string {
	names := []string{}
	for _, l := range f.GetMetric()[0].GetLabel() {
		names = append(names, l.GetName())
	}
	slices.Sort(names)
	return names
}

// TestMetricsDocumented: the reference lists every metric with its labels. Each metric follows the naming conventions
// and has a series.
func TestMetricsDocumented(t *testing.T) {
	rows := map[string][]string{}
	for _, row := range metricstest.Documented(t, "../../..", "certroll_[a-z_]+") {
		rows[metricstest.Codes(row[0])[0]] = metricstest.Codes(row[1])
	}
	listed := map[string]bool{}
	for _, f := range everyMetric(t) {
		listed[f.GetName()] = true
		switch labels, ok := rows[f.GetName()]; {
		case !ok:
			t.Errorf("%s is not in docs/metrics.md", f.GetName())
		case !slices.Equal(labels, labelsOf(f)):
			t.Errorf("%s has the labels %v, and %v in docs/metrics.md", f.GetName(), labelsOf(f), labels)
		}
	}
	for name := range rows {
		if !listed[name] {
			t.Errorf("%s is in docs/metrics.md and was not told", name)
		}
	}
}

// TestMetricsValues: if the reference lists the values of a label, exactly those occur.
func TestMetricsValues(t *testing.T) {
	listed := map[string]map[string]bool{}
	for _, f := range everyMetric(t) {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				key := l.GetName() + " of " + f.GetName()
				if listed[key] == nil {
					listed[key] = map[string]bool{}
				}
				listed[key][l.GetValue()] = true
			}
		}
	}
	for _, row := range metricstest.Documented(t, "../../..", "[a-z]+` \\| `certroll_[a-z_]+") {
		key := metricstest.Codes(row[0])[0] + " of " + metricstest.Codes(row[1])[0]
		if got, want := slices.Sorted(maps.Keys(listed[key])), metricstest.Codes(row[2]); !slices.Equal(got, want) {
			t.Errorf("%s: told are %v, and docs/metrics.md has %v", key, got, want)
		}
	}
}

// TestMetricsLetTheObservationGo checks that no pass keeps the state it observed in memory,
// which is large with many certificates.
func TestMetricsLetTheObservationGo(t *testing.T) {
	m := New("v1.2.3")
	observe := func() weak.Pointer[plan.Observed] {
		obs := &plan.Observed{Turn: 1}
		p := plan.Plan{Observed: obs, Actions: []plan.Action{{Certificate: "api", Kind: ledger.KindNone, Reason: ledger.ReasonUnmanaged, Spec: &spec.Certificate{}}}}
		m.Passed(reconcile.Pass{Planned: p, After: p}, Revision{}, time.Now())
		return weak.Make(obs)
	}
	seen := observe()
	runtime.GC()
	if seen.Value() != nil {
		t.Error("the observation is still in memory")
	}
	if n, err := testutil.GatherAndCount(m, "certroll_certificate_unmanaged"); err != nil || n != 1 {
		t.Errorf("%d series of the action, %v", n, err)
	}
}

// TestMetricsBeforeAPass: metrics about the state are absent until the first pass, for example while certroll waits for
// Vault.
func TestMetricsBeforeAPass(t *testing.T) {
	families, err := New("v1.2.3").Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if name := f.GetName(); name != "certroll_build_info" && name != "certroll_pass_duration_seconds" {
			t.Errorf("%s is told", name)
		}
	}
}

// TestMetricsPerCertificate: each healthy certificate adds six series, as the reference says, and no certificate more
// than nine.
func TestMetricsPerCertificate(t *testing.T) {
	at := time.Now()
	series := func(n int, edit func(*plan.Action, *ledger.Record)) int {
		m, pass := New("v1.2.3"), reconcile.Pass{After: plan.Plan{Observed: &plan.Observed{}}}
		for i := range n {
			name := fmt.Sprint("c", i)
			r := &ledger.Record{Certificate: name, State: ledger.StateLive, RenewAt: &at, Live: &ledger.Live{NotAfter: at.AddDate(0, 1, 0)}}
			a := plan.Action{Certificate: name, Kind: ledger.KindNone, Spec: &spec.Certificate{}, Secret: plan.Secret{Owner: name, Live: r.Live}, Record: r}
			edit(&a, r)
			pass.After.Actions, pass.Records = append(pass.After.Actions, a), append(pass.Records, r)
		}
		m.Passed(pass, Revision{}, at)
		n, err := testutil.GatherAndCount(m)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	well := func(*plan.Action, *ledger.Record) {}
	worst := func(a *plan.Action, r *ledger.Record) {
		a.Kind = ledger.KindHold
		r.State, r.Severity, r.LastFailure = ledger.StateFailing, ledger.SeverityPage, &ledger.Failure{Class: ledger.ClassCAA}
	}
	if n := series(101, well) - series(1, well); n != 600 {
		t.Errorf("100 certificates that are well are %d series", n)
	}
	if n := series(101, worst) - series(1, worst); n > 900 {
		t.Errorf("100 certificates in trouble are %d series", n)
	}
}
