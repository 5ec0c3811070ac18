package recorder_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
)

// fullAtAck is a journal on a disk that is full when entries are to be removed.
type fullAtAck struct {
	reconciletest.MemJournal
	full bool
}

func (j *fullAtAck) Ack(n int) error {
	if j.full && n > 0 {
		return errFull
	}
	return j.MemJournal.Ack(n)
}

// TestAPushWithoutAck checks a journal that cannot remove its entries after a
// successful push. This is a fault of the disk and not of the ledger: the checkpoint
// and the consequences of the push follow, and the entries are not committed twice.
func TestAPushWithoutAck(t *testing.T) {
	m := newMooredWorld(t)
	journal := &fullAtAck{full: true}
	process := func() *apply.Reconciler {
		return apply.New(&observe.Observer{Metadata: m.Vault, StateMount: "secret", StatePrefix: "certroll"}, m.Vault, m.Ca, m.ledger, journal, m.Opts)
	}
	pass := func(r *apply.Reconciler) *apply.Report {
		t.Helper()
		obs, err := r.Observe(t.Context(), m.Desired)
		m.must(err)
		report, err := r.Apply(t.Context(), m.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(m.Desired, obs, m.At))
		m.must(err)
		return report
	}
	m.Desired.Certificates = append(m.Desired.Certificates, reconciletest.Certificate("a", "a.example.com"))
	r := process()
	report := pass(r)
	if report.Commit == "" || report.Failed()+report.Unrecorded() != 0 || !errors.Is(report.Disk, errFull) {
		t.Errorf("%+v", report)
	}
	m.anchoredAt(m.ledger.head)
	if b, err := r.Backlog(); err != nil || b.Events != 0 || b.PublishedAt.IsZero() {
		t.Errorf("backlog %+v, %v", b, err)
	}
	pending := 0
	for path := range m.Vault.Secrets {
		if strings.Contains(path, "/pending/") {
			pending++
		}
	}
	if pending != 0 {
		t.Errorf("%d pending secrets of a published attempt are left", pending)
	}
	if len(journal.Lines) == 0 {
		t.Fatal("the journal removed its entries")
	}

	// A second pass commits only its own events.
	m.Desired.Certificates = append(m.Desired.Certificates, reconciletest.Certificate("b", "b.example.com"))
	pass(r)
	if n := strings.Count(strings.Join(m.ledger.Messages, "\n"), "Certificate: a"); n != 1 {
		t.Errorf("a is in %d commits: %q", n, m.ledger.Messages)
	}
	// Once the disk allows it, the journal is cleaned up, including the pushed entries.
	journal.full = false
	m.must(r.Writer.Unwritten.Probe(journal))
	if len(journal.Lines) != 0 || r.Writer.Unwritten.Err() != nil {
		t.Errorf("%d lines are left, %v", len(journal.Lines), r.Writer.Unwritten.Err())
	}
	seen := map[string]int{}
	for _, e := range m.ledger.Events(t) {
		if seen[e.ID]++; seen[e.ID] > 1 {
			t.Errorf("%s is in the log %d times", e.ID, seen[e.ID])
		}
	}
	if want := fmt.Sprint(len(seen)); m.anchor.Fields["events"] != want {
		t.Errorf("the checkpoint has %s events, the ledger %s", m.anchor.Fields["events"], want)
	}
}

// TestAckAfterARestart checks that the next process removes journal entries that the
// ledger already has, without a commit.
func TestAckAfterARestart(t *testing.T) {
	m := newMooredWorld(t)
	journal := &fullAtAck{full: true}
	m.Desired.Certificates = append(m.Desired.Certificates, reconciletest.Certificate("a", "a.example.com"))
	for range 2 {
		r := apply.New(&observe.Observer{Metadata: m.Vault, StateMount: "secret", StatePrefix: "certroll"}, m.Vault, m.Ca, m.ledger, journal, m.Opts)
		obs, err := r.Observe(t.Context(), m.Desired)
		m.must(err)
		_, err = r.Apply(t.Context(), m.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(m.Desired, obs, m.At))
		m.must(err)
		journal.full = false
	}
	if n := len(m.ledger.Messages); n != 2 || len(journal.Lines) != 0 { // the first commit creates the ledger
		t.Errorf("%d commits (%q), %d lines left", n, m.ledger.Messages, len(journal.Lines))
	}
}
