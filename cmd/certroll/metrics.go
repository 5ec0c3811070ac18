package main

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"certroll/reconcile"
)

// metrics are what run tells Prometheus: how things stand after the last pass,
// and a count of what was done since it started. docs/metrics.md lists them.
type metrics struct {
	*prometheus.Registry
	done      *prometheus.CounterVec
	durations *prometheus.HistogramVec
	passes    *prometheus.CounterVec
	messages  *prometheus.CounterVec

	mu       sync.Mutex
	standing []reconcile.Action
	records  []*reconcile.Record
	passedAt time.Time
	rewound  time.Time
	anchored bool
	revision string
	held     reconcile.Reason        // why the newest revision is not in force; "": it is
	probes   func() []reconcile.Look // the last looks at endpoints
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("certroll_"+name, help, labels, nil)
}

var (
	notAfterMetric  = describe("certificate_not_after_timestamp_seconds", "When the certificate in Vault expires.", "certificate", "issuer")
	versionMetric   = describe("certificate_vault_version", "The version of the secret that holds it.", "certificate", "vault_path")
	renewalMetric   = describe("certificate_renewal_timestamp_seconds", "When it is renewed next; there is none where it is not renewed by itself.", "certificate")
	issuedMetric    = describe("certificate_last_success_timestamp_seconds", "When the certificate in Vault was issued.", "certificate")
	failuresMetric  = describe("certificate_consecutive_failures", "Failed attempts in a row, by the class of the last one.", "certificate", "class")
	holdMetric      = describe("certificate_hold_timestamp_seconds", "Until when what is due waits.", "certificate", "reason")
	unmanagedMetric = describe("certificate_unmanaged", "1 where renewal.auto is off and its pause, if it has an end, is not over.", "certificate")
	pagingMetric    = describe("certificate_paging", "1 where a person is to be woken: three failures in a row.", "certificate")
	stateMetric     = describe("certificates", "Certificates by state of their record.", "state")
	passedMetric    = describe("last_pass_timestamp_seconds", "When the last pass ended that saw Vault and the ledger.")
	rewoundMetric   = describe("ledger_rewound_timestamp_seconds", "When the ledger was last found moved back, rewritten or deleted; there is none where it was not, of late.")
	anchoredMetric  = describe("ledger_anchored", "1 where the ledger could be held against its anchor in Vault in the last pass, else 0.")
	heldMetric      = describe("revision_held", "1 where the newest revision of the config repo is not in force.", "reason")
	servedMetric    = describe("probe_served_not_after_timestamp_seconds", "When the certificate expires that an endpoint served last.", "certificate", "endpoint")
	currentMetric   = describe("probe_current", "1 where an endpoint served the certificate in Vault when it was looked at last, else 0.", "certificate", "endpoint")
	probedMetric    = describe("probe_last_timestamp_seconds", "When an endpoint was looked at last.", "certificate", "endpoint")
	revisionMetric  = describe("revision_info", "The revision of the config repo that is in force.", "revision")
)

func newMetrics() *metrics {
	m := &metrics{
		probes:   func() []reconcile.Look { return nil },
		Registry: prometheus.NewRegistry(),
		done: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certroll_operations_total", Help: "Operations that ended, by what came of them.",
		}, []string{"operation", "status", "class", "issuer", "dns_account"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "certroll_operation_duration_seconds", Help: "How long operations took.", Buckets: prometheus.ExponentialBuckets(0.25, 2, 14),
		}, []string{"operation", "status"}),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certroll_passes_total", Help: "Passes of the loop, by whether they came to their end.",
		}, []string{"status"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certroll_notifications_total", Help: "Messages to destinations of certroll.hcl, by whether they were taken.",
		}, []string{"destination", "status"}),
	}
	m.MustRegister(m, m.done, m.durations, m.passes, m.messages)
	return m
}

// notified takes up how a message went; m may be nil.
func (m *metrics) notified(destination string, err error) {
	if m == nil {
		return
	}
	status := "success"
	if err != nil {
		status = "failure"
	}
	m.messages.WithLabelValues(destination, status).Inc()
}

// passed takes up how a pass ended.
func (m *metrics) passed(p reconcile.Pass, revision string, now time.Time) {
	status := "success"
	if p.Err != nil {
		status = "failure"
	}
	m.passes.WithLabelValues(status).Inc()
	if p.Report != nil {
		for _, r := range p.Report.Results {
			e := r.Event
			m.done.WithLabelValues(string(e.Operation), string(e.Status), string(e.Class), e.Issuer, e.DNSAccount).Inc()
			m.durations.WithLabelValues(string(e.Operation), string(e.Status)).Observe(e.Duration)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revision = revision; p.Standing != nil {
		m.standing, m.records, m.passedAt = p.Standing, p.Records, now
		m.rewound, m.anchored = p.Rewound, p.Unanchored == nil
	}
}

// look takes up who knows what endpoints served.
func (m *metrics) look(probes func() []reconcile.Look) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probes = probes
}

// hold takes up why the newest revision is not in force; "" that it is.
func (m *metrics) hold(reason reconcile.Reason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = reason
}

// Describe and Collect make it a prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{notAfterMetric, versionMetric, renewalMetric, issuedMetric, failuresMetric, holdMetric,
		unmanagedMetric, pagingMetric, stateMetric, passedMetric, rewoundMetric, anchoredMetric, heldMetric, servedMetric, currentMetric, probedMetric, revisionMetric} {
		ch <- d
	}
}

// Collect sends how things stood after the last pass.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	send := gauges(ch)
	for _, a := range m.standing {
		send.action(a)
	}
	states := map[reconcile.State]int{reconcile.StateLive: 0, reconcile.StateFailing: 0, reconcile.StateRetired: 0}
	for _, r := range m.records {
		states[r.State]++
		send.record(r)
	}
	for state, n := range states {
		send.value(stateMetric, float64(n), string(state))
	}
	if !m.passedAt.IsZero() {
		send.time(passedMetric, m.passedAt)
		send.yes(anchoredMetric, m.anchored)
	}
	if !m.rewound.IsZero() {
		send.time(rewoundMetric, m.rewound)
	}
	if m.held != "" {
		send.value(heldMetric, 1, string(m.held))
	}
	for _, l := range m.probes() {
		send.look(l)
	}
	if m.revision != "" {
		send.value(revisionMetric, 1, m.revision)
	}
}

type gauges chan<- prometheus.Metric

func (g gauges) value(d *prometheus.Desc, v float64, labels ...string) {
	g <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (g gauges) time(d *prometheus.Desc, t time.Time, labels ...string) {
	g.value(d, float64(t.Unix()), labels...)
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
		g.time(notAfterMetric, l.NotAfter, a.Certificate, l.Issuer)
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

// record tells of a certificate's failures.
func (g gauges) record(r *reconcile.Record) {
	if r.State == reconcile.StateRetired {
		return
	}
	class := ""
	if r.LastFailure != nil {
		class = string(r.LastFailure.Class)
	}
	g.value(failuresMetric, float64(r.Failures), r.Certificate, class)
	if r.Severity == reconcile.SeverityPage {
		g.value(pagingMetric, 1, r.Certificate)
	}
}
