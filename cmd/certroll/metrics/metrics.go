package metrics

import (
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"certroll/reconcile"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
	"certroll/reconcile/plan"
)

// Metrics is certroll run's collector: gauges of the state after the last pass, and
// counters since the start. docs/metrics.md lists them.
type Metrics struct {
	*prometheus.Registry
	version          string // of certroll
	done             *prometheus.CounterVec
	durations        *prometheus.HistogramVec
	issuerAttempts   *prometheus.CounterVec
	accountAttempts  *prometheus.CounterVec
	issuerDurations  *prometheus.HistogramVec
	accountDurations *prometheus.HistogramVec
	passes           *prometheus.CounterVec
	passDurations    prometheus.Histogram
	messages         *prometheus.CounterVec

	mu         sync.Mutex
	unrecorded map[string]bool // ids of counted events that are not in the ledger or journal
	last       *reconcile.Pass // the last pass; nil: none yet
	seen       reconcile.Pass  // the last pass that read Vault and the ledger
	passedAt   time.Time       // when that one ended
	revision   Revision
	held       ledger.Reason                     // why the newest revision is not in force; "": it is
	token      func() (time.Time, time.Duration) // the Vault token's expiry and TTL
	probes     func() []monitor.Result           // the last probe results
}

// Revision is the revision in force, and when it came into force.
type Revision struct {
	Commit string
	At     time.Time
}

// minutes are buckets for durations from a quarter of a second to an hour.
var minutes = prometheus.ExponentialBuckets(0.25, 2, 14)

// New makes the metrics for this version of certroll.
func New(version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "certroll_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "certroll_" + name, Help: help, Buckets: minutes}, labels)
	}
	m := &Metrics{
		version:          version,
		unrecorded:       map[string]bool{},
		probes:           func() []monitor.Result { return nil },
		Registry:         prometheus.NewRegistry(),
		done:             counter("operations_total", "Number of completed operations (issue, renew, rotate and so on), by result.", "operation", "status", "class", "issuer", "dns_account"),
		durations:        histogram("operation_duration_seconds", "Duration of completed operations, in seconds.", "operation", "status"),
		issuerAttempts:   counter("issuer_attempts_total", "Number of attempts to get a certificate from the issuer, by result.", "issuer", "status", "class"),
		accountAttempts:  counter("dns_account_attempts_total", "Number of attempts to get a certificate with the DNS account, by result; an account that certroll replaced by another one counts as failed.", "dns_account", "status", "class"),
		issuerDurations:  histogram("issuer_attempt_duration_seconds", "Duration of attempts to get a certificate from the issuer, in seconds.", "issuer", "status"),
		accountDurations: histogram("dns_account_attempt_duration_seconds", "Duration of attempts to get a certificate with the DNS account, in seconds.", "dns_account", "status"),
		passes:           counter("passes_total", "Number of passes of the reconcile loop, by success or failure.", "status"),
		messages:         counter("notifications_total", "Number of tries to send a message to the notify block's destination, by success or failure.", "destination", "status"),
		passDurations:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "certroll_pass_duration_seconds", Help: "Duration of passes of the reconcile loop, in seconds.", Buckets: minutes}),
	}
	m.MustRegister(m, m.done, m.durations, m.issuerAttempts, m.accountAttempts, m.issuerDurations, m.accountDurations, m.passes, m.passDurations, m.messages)
	return m
}

// Destination creates a destination's counters before its first message, so that the
// first one is an increase; m may be nil.
func (m *Metrics) Destination(name string) {
	if m == nil {
		return
	}
	for _, status := range []string{"success", "failure"} {
		m.messages.WithLabelValues(name, status)
	}
}

// Notified counts a message; m may be nil.
func (m *Metrics) Notified(destination string, err error) {
	if m == nil {
		return
	}
	status := "success"
	if err != nil {
		status = "failure"
	}
	m.messages.WithLabelValues(destination, status).Inc()
}

// Passed records the result of a pass.
func (m *Metrics) Passed(p reconcile.Pass, revision Revision, now time.Time) {
	status := "success"
	if p.Err != nil {
		status = "failure"
	}
	m.passes.WithLabelValues(status).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passDurations.Observe(p.Took.Seconds())
	saw := p.After.Observed != nil
	// What a pass observed is large with many certificates. The gauges need the actions alone.
	p.Planned, p.After = plan.Plan{}, plan.Plan{Actions: p.After.Actions}
	m.last = &p
	if m.revision = revision; saw {
		m.seen, m.passedAt = p, now
	}
}

// Again reports whether a result was already counted: an event that could not be
// recorded comes back with each pass.
func (m *Metrics) Again(r attempt.Result) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	counted := m.unrecorded[r.Event.ID]
	if r.Unrecorded != nil {
		m.unrecorded[r.Event.ID] = true
	} else {
		delete(m.unrecorded, r.Event.ID)
	}
	return counted
}

// Ended counts an operation.
func (m *Metrics) Ended(e ledger.Event) {
	if e.Operation == "" {
		return // interrupted
	}
	operation, status, class := string(e.Operation), string(e.Status), string(e.Class)
	m.done.WithLabelValues(operation, status, class, e.Issuer, e.DNSAccount).Inc()
	m.durations.WithLabelValues(operation, status).Observe(e.Duration)
	if !e.Operation.Orders() {
		return
	}
	if e.Issuer != "" {
		m.issuerAttempts.WithLabelValues(e.Issuer, status, class).Inc()
		m.issuerDurations.WithLabelValues(e.Issuer, status).Observe(e.Duration)
	}
	for _, p := range e.PassedOver {
		m.accountAttempts.WithLabelValues(p.Account, string(ledger.Failed), string(p.Class)).Inc()
	}
	if e.DNSAccount != "" {
		m.accountAttempts.WithLabelValues(e.DNSAccount, status, class).Inc()
		m.accountDurations.WithLabelValues(e.DNSAccount, status).Observe(e.Duration)
	}
}

// Look sets the source of probe results.
func (m *Metrics) Look(probes func() []monitor.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probes = probes
}

// Hold sets the reason why the newest revision is not in force; "": it is.
func (m *Metrics) Hold(reason ledger.Reason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = reason
}

// Connected sets the source of the Vault token's expiry.
func (m *Metrics) Connected(token func() (until time.Time, lifetime time.Duration)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.token = token
}

// Collect sends the gauges of the last pass. It implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	send := gauges(ch)
	send.value(buildMetric, 1, m.version, runtime.Version())
	for _, a := range m.seen.After.Actions {
		send.action(a)
	}
	if m.last != nil {
		send.ledger(m.last.Backlog)
		send.outages(m.last.Outages)
	}
	if !m.passedAt.IsZero() {
		send.states(m.seen.Records, m.passedAt)
		send.time(passedMetric, m.passedAt)
		send.yes(anchoredMetric, m.seen.Unanchored == nil)
		send.value(unreadMetric, float64(len(m.seen.Unreadable)))
		send.problems(m.seen.Problems)
	}
	for _, l := range m.seen.Limits {
		send.value(limitUsedMetric, l.Used, l.Issuer, l.Limit)
		send.value(limitSizeMetric, float64(l.Size), l.Issuer, l.Limit)
	}
	send.since(rewoundMetric, m.seen.Rewound)
	if m.held != "" {
		send.value(heldMetric, 1, string(m.held))
	}
	for _, l := range m.probes() {
		send.look(l)
	}
	if m.revision.Commit != "" {
		send.value(revisionMetric, 1, m.revision.Commit)
	}
	send.since(takenMetric, m.revision.At)
	if m.token != nil {
		send.token(m.token())
	}
}
