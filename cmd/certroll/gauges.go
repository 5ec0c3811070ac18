package main

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"certroll/reconcile"
)

// described are the metrics that tell how things stand.
var described []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("certroll_"+name, help, labels, nil)
	described = append(described, d)
	return d
}

// Of each certificate. Six of them are told of each that is live, two more at
// most of one in trouble: what Prometheus keeps grows by that with each.
var (
	notAfterMetric  = describe("certificate_not_after_timestamp_seconds", "When the certificate in Vault expires: the earliest end in its chain, the root left out.", "certificate", "issuer")
	notBeforeMetric = describe("certificate_not_before_timestamp_seconds", "From when on the certificate in Vault is valid.", "certificate")
	versionMetric   = describe("certificate_vault_version", "The version of the secret that holds it.", "certificate", "vault_path")
	renewalMetric   = describe("certificate_renewal_timestamp_seconds", "When it is renewed next; there is none where it is not renewed by itself.", "certificate")
	issuedMetric    = describe("certificate_last_success_timestamp_seconds", "When the certificate in Vault was issued.", "certificate")
	failuresMetric  = describe("certificate_consecutive_failures", "Failed attempts in a row, by the class of the last one.", "certificate", "class")
	holdMetric      = describe("certificate_hold_timestamp_seconds", "Until when what is due waits.", "certificate", "reason")
	unmanagedMetric = describe("certificate_unmanaged", "1 where renewal.auto is off and its pause, if it has an end, is not over.", "certificate")
	pagingMetric    = describe("certificate_paging", "1 where a person is to be woken: three failures in a row, or the CA revoked what is live.", "certificate")
	overdueMetric   = describe("certificate_overdue", "1 where it should have been renewed and nobody tried, or where its renewal is off.", "certificate")
)

// Of each endpoint that is looked at.
var (
	servedMetric  = describe("probe_served_not_after_timestamp_seconds", "When what an endpoint served last expires: the earliest end in its chain, the root left out.", "certificate", "endpoint")
	currentMetric = describe("probe_current", "1 where an endpoint served the certificate in Vault when it was looked at last, else 0.", "certificate", "endpoint")
	probedMetric  = describe("probe_last_timestamp_seconds", "When an endpoint was looked at last.", "certificate", "endpoint")
)

// Of all.
var (
	buildMetric     = describe("build_info", "This certroll.", "version", "goversion")
	stateMetric     = describe("certificates", "Certificates by state of their record.", "state")
	standingMetric  = describe("certificates_standing", "Certificates by how they stand, the worst that is to be said of each.", "standing")
	problemsMetric  = describe("problems_open", "Problems that examinations found and that are open, by class.", "class")
	limitUsedMetric = describe("issuer_limit_used", "How much of a limit of the issuer is used up, in the fullest of its buckets.", "issuer", "limit")
	limitSizeMetric = describe("issuer_limit_size", "How much such a bucket holds.", "issuer", "limit")
	passedMetric    = describe("last_pass_timestamp_seconds", "When the last pass ended that saw Vault and the ledger.")
	reachedMetric   = describe("reachable", "0 where passes cannot do their work with that side, else 1.", "side")
	rewoundMetric   = describe("ledger_rewound_timestamp_seconds", "When the ledger was last found moved back, rewritten or deleted; there is none where it was not, of late.")
	anchoredMetric  = describe("ledger_anchored", "1 where the ledger could be held against its anchor in Vault in the last pass, else 0.")
	unreadMetric    = describe("ledger_unreadable", "Files and lines of the ledger that certroll could not read in the last pass and passed over.")
	waitingMetric   = describe("ledger_unpushed_events", "Events in the journal that the ledger was not told yet.")
	oldestMetric    = describe("ledger_oldest_unpushed_timestamp_seconds", "When the oldest of them happened; there is none where none waits.")
	toldMetric      = describe("ledger_last_push_timestamp_seconds", "When this process told the ledger last; there is none before the first time.")
	heldMetric      = describe("revision_held", "1 where the newest revision of the config repo is not in force.", "reason")
	revisionMetric  = describe("revision_info", "The revision of the config repo that is in force.", "revision")
	takenMetric     = describe("revision_taken_timestamp_seconds", "When the revision that is in force was taken.")
	tokenMetric     = describe("vault_token_expiry_timestamp_seconds", "When the Vault token ends unless it is renewed before; there is none where it has no end.")
	lifetimeMetric  = describe("vault_token_lifetime_seconds", "How long it lived when it was handed out or renewed last.")
)

// Describe tells what Collect may send.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
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

// since is time where there is one.
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

// look tells what an endpoint served.
func (g gauges) look(l reconcile.Look) {
	g.yes(currentMetric, l.Verdict == reconcile.ServesCurrent, l.Certificate, l.Endpoint)
	g.time(probedMetric, l.At, l.Certificate, l.Endpoint)
	if l.NotAfter != nil {
		g.time(servedMetric, *l.NotAfter, l.Certificate, l.Endpoint)
	}
}

// action tells what the plan says of a certificate.
func (g gauges) action(a reconcile.Action) {
	if a.Spec == nil {
		return // it is gone from the spec
	}
	if l := a.Secret.Live; l != nil && a.Secret.Owner == a.Certificate {
		g.time(notAfterMetric, l.End(), a.Certificate, l.Issuer)
		g.time(notBeforeMetric, l.NotBefore, a.Certificate)
		g.time(issuedMetric, l.IssuedAt, a.Certificate)
		g.value(versionMetric, float64(l.Version), a.Certificate, a.At.String())
	}
	switch {
	case a.Kind == reconcile.KindHold:
		g.time(holdMetric, a.NotBefore, a.Certificate, string(a.Reason))
	case a.Reason == reconcile.ReasonUnmanaged:
		g.value(unmanagedMetric, 1, a.Certificate)
	}
	if r := a.Record; r != nil && r.RenewAt != nil && a.Reason != reconcile.ReasonUnmanaged {
		g.time(renewalMetric, *r.RenewAt, a.Certificate)
	}
}

// states count the records, and tell of those in trouble.
func (g gauges) states(records []*reconcile.Record, now time.Time) {
	states := map[reconcile.State]int{reconcile.StateLive: 0, reconcile.StateFailing: 0, reconcile.StateRetired: 0}
	standings := map[reconcile.Standing]int{}
	for _, r := range records {
		states[r.State]++
		stands := r.Stands(now)
		standings[stands]++
		g.record(r, stands)
	}
	for state, n := range states {
		g.value(stateMetric, float64(n), string(state))
	}
	for _, s := range reconcile.Standings {
		g.value(standingMetric, float64(standings[s]), string(s))
	}
}

// record tells of a certificate's failures.
func (g gauges) record(r *reconcile.Record, stands reconcile.Standing) {
	if stands == reconcile.StandsRetired {
		return
	}
	class := ""
	if r.LastFailure != nil {
		class = string(r.LastFailure.Class)
	}
	g.value(failuresMetric, float64(r.Failures), r.Certificate, class)
	if r.Severity == reconcile.SeverityPage || stands == reconcile.StandsRevoked || stands == reconcile.StandsDeleted {
		g.value(pagingMetric, 1, r.Certificate)
	}
	if stands == reconcile.StandsOverdue || stands == reconcile.StandsUnmanaged && r.Unmanaged != nil && r.Unmanaged.Overdue {
		g.value(overdueMetric, 1, r.Certificate)
	}
}

// ledger tells how far the ledger lags behind.
func (g gauges) ledger(b reconcile.Backlog) {
	g.value(waitingMetric, float64(b.Events))
	g.since(oldestMetric, b.Oldest)
	g.since(toldMetric, b.ToldAt)
}

func (g gauges) outages(last []reconcile.Outage) {
	for _, side := range reconcile.Sides {
		away := slices.ContainsFunc(last, func(o reconcile.Outage) bool { return o.Side == side })
		g.yes(reachedMetric, !away, side)
	}
}

// problems counts them, those of which there is none too: an alert that waits
// for a zero gets one.
func (g gauges) problems(open []reconcile.Problem) {
	count := map[reconcile.Class]int{}
	for _, p := range open {
		count[p.Class]++
	}
	for _, class := range slices.Concat(reconcile.Classes, reconcile.ServedClasses) {
		g.value(problemsMetric, float64(count[class]), string(class))
	}
}

// token tells how long Vault's token lives.
func (g gauges) token(until time.Time, lifetime time.Duration) {
	if !until.IsZero() {
		g.time(tokenMetric, until)
		g.value(lifetimeMetric, lifetime.Seconds())
	}
}
