package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"certroll/reconcile"
	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
)

// described collects the descriptions of the gauges.
var described []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("certroll_"+name, help, labels, nil)
	described = append(described, d)
	return d
}

// Per certificate. Each live one has six, and one with a problem at most three more: the
// number of Prometheus series grows with the number of certificates.
var (
	notAfterMetric  = describe("certificate_not_after_timestamp_seconds", "Time when the certificate in Vault expires, in seconds since 1970: the earliest notAfter in its chain, without the root.", "certificate", "issuer")
	notBeforeMetric = describe("certificate_not_before_timestamp_seconds", "Time when the validity of the certificate in Vault starts, in seconds since 1970.", "certificate")
	versionMetric   = describe("certificate_vault_version", "Version of the Vault secret that holds the certificate.", "certificate", "vault_path")
	renewalMetric   = describe("certificate_renewal_timestamp_seconds", "Time of the certificate's next renewal, in seconds since 1970; absent without automatic renewal.", "certificate")
	issuedMetric    = describe("certificate_last_success_timestamp_seconds", "Time when the certificate in Vault was issued, in seconds since 1970.", "certificate")
	failuresMetric  = describe("certificate_consecutive_failures", "Failed attempts in a row to issue or renew the certificate, by the class of the last failure.", "certificate", "class")
	holdMetric      = describe("certificate_hold_timestamp_seconds", "Time when the hold of the certificate's due action ends, in seconds since 1970; absent without a hold.", "certificate", "reason")
	unmanagedMetric = describe("certificate_unmanaged", "1 if the certificate's renewal.auto is off and its pause, if it has an end, is not over; absent otherwise.", "certificate")
	pagingMetric    = describe("certificate_paging", "1 if a person must act now: three failures in a row, the CA revoked the live certificate, or another program deleted it from Vault; absent otherwise.", "certificate")
	overdueMetric   = describe("certificate_overdue", "1 if the certificate's renewal is overdue: there was no attempt, its renewal is off, or its chain ends before it and the CA offers no other one; absent otherwise.", "certificate")
)

// Per probed endpoint.
var (
	servedMetric  = describe("probe_served_not_after_timestamp_seconds", "Time when the certificate that the endpoint served at its last probe expires, in seconds since 1970: the earliest notAfter in its chain, without the root.", "certificate", "endpoint")
	currentMetric = describe("probe_current", "1 if the endpoint served the certificate in Vault at its last probe, else 0.", "certificate", "endpoint")
	probedMetric  = describe("probe_last_timestamp_seconds", "Time of the endpoint's last probe, in seconds since 1970.", "certificate", "endpoint")
)

// For the whole of certroll.
var (
	buildMetric     = describe("build_info", "Always 1, labelled with certroll's version and its Go version.", "version", "goversion")
	stateMetric     = describe("certificates", "Number of certificates by the state of their record in the ledger.", "state")
	standingMetric  = describe("certificates_standing", "Number of certificates by standing, each counted once under its worst one.", "standing")
	problemsMetric  = describe("problems_open", "Number of open problems that the daily examination or a probe found, by class.", "class")
	limitUsedMetric = describe("issuer_limit_used", "Used part of the fullest bucket of this rate limit, by certroll's own count.", "issuer", "limit")
	limitSizeMetric = describe("issuer_limit_size", "Capacity of the fullest bucket of this rate limit.", "issuer", "limit")
	passedMetric    = describe("last_pass_timestamp_seconds", "Time when the last pass that read Vault and the ledger ended, in seconds since 1970.")
	reachedMetric   = describe("reachable", "0 if passes cannot use this side (config repo, ledger, Vault, state directory), else 1.", "side")
	rewoundMetric   = describe("ledger_rewound_timestamp_seconds", "Time when certroll last found the ledger moved back, rewritten or deleted, in seconds since 1970; absent without a recent finding.")
	anchoredMetric  = describe("ledger_anchored", "1 if the last pass could compare the ledger with its checkpoint in Vault, else 0.")
	unreadMetric    = describe("ledger_unreadable", "Number of unreadable files and lines of the ledger that the last pass skipped.")
	waitingMetric   = describe("ledger_unpushed_events", "Number of events in the journal that wait for a push to the ledger.")
	oldestMetric    = describe("ledger_oldest_unpushed_timestamp_seconds", "Time of the oldest event that waits for a push to the ledger, in seconds since 1970; absent if none waits.")
	pushedMetric    = describe("ledger_last_push_timestamp_seconds", "Time of this process's last push to the ledger, in seconds since 1970; absent before the first push.")
	heldMetric      = describe("revision_held", "1 if the newest revision of the config repo is not in force, by reason; absent otherwise.", "reason")
	revisionMetric  = describe("revision_info", "Always 1, labelled with the revision of the config repo that is in force.", "revision")
	takenMetric     = describe("revision_taken_timestamp_seconds", "Time when the revision in force came into force, in seconds since 1970.")
	tokenMetric     = describe("vault_token_expiry_timestamp_seconds", "Time when the Vault token expires without a renewal, in seconds since 1970; absent if it does not expire.")
	lifetimeMetric  = describe("vault_token_lifetime_seconds", "TTL of the Vault token at login or last renewal, in seconds.")
)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range described {
		ch <- d
	}
}

type gauges chan<- prometheus.Metric

func (g gauges) value(d *prometheus.Desc, v float64, labels ...string) {
	g <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (g gauges) time(d *prometheus.Desc, t time.Time, labels ...string) {
	g.value(d, float64(t.Unix()), labels...)
}

// since sends a time unless it is zero.
func (g gauges) since(d *prometheus.Desc, t time.Time) {
	if !t.IsZero() {
		g.time(d, t)
	}
}

func (g gauges) yes(d *prometheus.Desc, is bool, labels ...string) {
	v := 0.0
	if is {
		v = 1
	}
	g.value(d, v, labels...)
}

// look sends the result of a probe.
func (g gauges) look(l monitor.Result) {
	g.yes(currentMetric, l.Verdict == monitor.VerdictCurrent, l.Certificate, l.Endpoint)
	g.time(probedMetric, l.At, l.Certificate, l.Endpoint)
	if l.NotAfter != nil {
		g.time(servedMetric, *l.NotAfter, l.Certificate, l.Endpoint)
	}
}

// action sends a certificate's gauges from its planned action.
func (g gauges) action(a plan.Action) {
	if a.Spec == nil {
		return // no longer in the spec
	}
	if l := a.Secret.Live; l != nil && a.Secret.Owner == a.Certificate {
		g.time(notAfterMetric, l.End(), a.Certificate, l.Issuer)
		g.time(notBeforeMetric, l.NotBefore, a.Certificate)
		g.time(issuedMetric, l.IssuedAt, a.Certificate)
		g.value(versionMetric, float64(l.Version), a.Certificate, a.At.String())
	}
	switch {
	case a.Kind == ledger.KindHold:
		g.time(holdMetric, a.NotBefore, a.Certificate, string(a.Reason))
	case a.Reason == ledger.ReasonUnmanaged:
		g.value(unmanagedMetric, 1, a.Certificate)
	}
	if r := a.Record; r != nil && r.RenewAt != nil && a.Reason != ledger.ReasonUnmanaged {
		g.time(renewalMetric, *r.RenewAt, a.Certificate)
	}
}

// states counts the records by their stored state and by their state at a time, and sends the
// gauges of those with problems.
func (g gauges) states(records []*ledger.Record, now time.Time) {
	stored, states := map[ledger.State]int{}, map[ledger.State]int{}
	for _, s := range ledger.StoredStates {
		stored[s] = 0
	}
	for _, r := range records {
		stored[r.State]++
		state := r.StateAt(now)
		states[state]++
		g.record(r, state)
	}
	for state, n := range stored {
		g.value(stateMetric, float64(n), string(state))
	}
	for _, s := range ledger.RecordStates {
		g.value(standingMetric, float64(states[s]), string(s))
	}
}

// record sends the gauges of a certificate's failures.
func (g gauges) record(r *ledger.Record, state ledger.State) {
	if state == ledger.StateRetired {
		return
	}
	class := ""
	if r.LastFailure != nil {
		class = string(r.LastFailure.Class)
	}
	g.value(failuresMetric, float64(r.Failures), r.Certificate, class)
	if r.Severity == ledger.SeverityPage || state == ledger.StateRevoked || state == ledger.StateDeleted {
		g.value(pagingMetric, 1, r.Certificate)
	}
	if state == ledger.StateOverdue || state == ledger.StateUnmanaged && r.Unmanaged != nil && r.Unmanaged.Overdue {
		g.value(overdueMetric, 1, r.Certificate)
	}
}

// ledger sends the state of the journal's backlog.
func (g gauges) ledger(b recorder.Backlog) {
	g.value(waitingMetric, float64(b.Events))
	g.since(oldestMetric, b.Oldest)
	g.since(pushedMetric, b.PublishedAt)
}

func (g gauges) outages(last []reconcile.Outage) {
	for _, side := range reconcile.Sides {
		away := slices.ContainsFunc(last, func(o reconcile.Outage) bool { return o.Side == side })
		g.yes(reachedMetric, !away, side)
	}
}

// problems counts open problems by class, including classes without any: an alert that
// waits for zero needs the series.
func (g gauges) problems(open []ledger.Problem) {
	count := map[ledger.Class]int{}
	for _, p := range open {
		count[p.Class]++
	}
	for _, class := range slices.Concat(ledger.Classes, ledger.ServedClasses) {
		g.value(problemsMetric, float64(count[class]), string(class))
	}
}

// token sends the Vault token's expiry.
func (g gauges) token(until time.Time, lifetime time.Duration) {
	if !until.IsZero() {
		g.time(tokenMetric, until)
		g.value(lifetimeMetric, lifetime.Seconds())
	}
}
