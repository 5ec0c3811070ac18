package recorder_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
)

// fullJournal is a journal whose disk may be full.
type fullJournal struct {
	reconciletest.MemJournal
	full bool
}

var errFull = errors.New("writing the journal in /var/lib/certroll: no space left on device")

func (j *fullJournal) Append(line []byte) error {
	if j.full {
		return errFull
	}
	return j.MemJournal.Append(line)
}

func (j *fullJournal) Check() error {
	if j.full {
		return errFull
	}
	return nil
}

// pushes is a ledger that can reject pushes, and that knows when it is empty.
type pushes struct {
	*reconciletest.MemLedger
	refused error
}

func (l *pushes) Snapshot(ctx context.Context) (fs.FS, string, error) {
	tree, head, err := l.MemLedger.Snapshot(ctx)
	if head == "0" {
		head = ""
	}
	return tree, head, err
}

func (l *pushes) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	if l.refused != nil {
		return "", l.refused
	}
	return l.MemLedger.Commit(ctx, message, edit)
}

// keptMoments stores moments beyond the end of a process.
type keptMoments map[string]time.Time

func (k *keptMoments) Load() (map[string]time.Time, error) { return *k, nil }
func (k *keptMoments) Save(m map[string]time.Time) error   { *k = m; return nil }

// disk is a world whose disk and ledger a test can break.
type disk struct {
	*reconciletest.World
	journal *fullJournal
	ledger  *pushes
}

func newDisk(t *testing.T, names ...string) *disk {
	w := reconciletest.NewWorld(t)
	for _, n := range names {
		w.Desired.Certificates = append(w.Desired.Certificates, reconciletest.Certificate(n, n+".example.com"))
	}
	w.Opts.Moments = &keptMoments{}
	return &disk{World: w, journal: &fullJournal{}, ledger: &pushes{MemLedger: w.Ledger}}
}

// process returns a new process on this world.
func (d *disk) process() *apply.Reconciler {
	return apply.New(&observe.Observer{Metadata: d.Vault, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}, d.Vault, d.Ca, d.ledger, d.journal, d.Opts)
}

func (d *disk) pass(r *apply.Reconciler) (*apply.Report, error) {
	d.T.Helper()
	obs, err := r.Observe(d.T.Context(), d.Desired)
	if err != nil {
		d.T.Fatal(err)
	}
	return r.Apply(d.T.Context(), d.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(d.Desired, obs, d.At))
}

// TestAFullDiskLosesNothingThatGitTakes checks that a full disk loses no event as long
// as pushes succeed.
func TestAFullDiskLosesNothingThatGitTakes(t *testing.T) {
	d := newDisk(t, "api", "www")
	d.journal.full = true
	report, err := d.pass(d.process())
	if err != nil || report.Failed() != 0 || report.Unrecorded() != 0 || len(report.Results) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	if n := len(d.World.Ledger.Events(t)); n < 2 {
		t.Errorf("%d events", n)
	}
}

// TestWhatIsLiveButNotRecorded checks a certificate that is live while its event could
// not be recorded. The report says so, it is no failure, and the next process records
// it once, without a second order.
func TestWhatIsLiveButNotRecorded(t *testing.T) {
	d := newDisk(t, "api")
	if _, err := d.pass(d.process()); err != nil { // proves that the ledger is writable
		t.Fatal(err)
	}
	d.At = d.At.Add(61 * times.Day)
	d.Ca.Fail = func(op string, _ int) error {
		if op == "finish" { // the disk fills up and Git fails while the CA works
			d.journal.full, d.ledger.refused = true, errors.New("away")
		}
		return nil
	}
	r := d.process()
	report, err := d.pass(r)
	if err == nil || report.Failed() != 0 || report.Unrecorded() != 1 || !strings.Contains(report.Results[0].Unrecorded.Error(), "no space left") || report.Results[0].Event.Status != ledger.Success {
		t.Fatalf("%+v, %v", report, err)
	}
	if b, err := r.Backlog(); err != nil || b.Events != 1 {
		t.Errorf("backlog %+v, %v", b, err)
	}
	d.journal.full, d.ledger.refused = false, nil
	if report, err := d.pass(d.process()); err != nil || report.Failed()+report.Unrecorded() != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	n := 0
	for _, e := range d.World.Ledger.Events(t) {
		if e.Operation == ledger.KindRenew {
			n++
		}
	}
	if n != 1 || len(d.Ca.Orders) != 2 {
		t.Errorf("told %d times, %d orders", n, len(d.Ca.Orders))
	}
}

// TestAFullDiskShortensNoBackoff checks that a failure that could not be recorded still
// holds within this process, and that another process orders nothing that it could not
// record.
func TestAFullDiskShortensNoBackoff(t *testing.T) {
	d := newDisk(t, "api")
	if _, err := d.pass(d.process()); err != nil {
		t.Fatal(err)
	}
	d.At = d.At.Add(61 * times.Day)
	d.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			d.journal.full, d.ledger.refused = true, errors.New("away")
			return &reconciletest.CaError{Code: "caa", Text: "CAA forbids it"}
		}
		return nil
	}
	r := d.process()
	before := d.Ca.Calls["order"]
	for range 5 {
		_, _ = d.pass(r)
		d.At = d.At.Add(time.Minute)
	}
	for range 5 {
		_, err := d.pass(d.process())
		if err == nil || !strings.Contains(err.Error(), "nothing was ordered") {
			t.Fatalf("a process that can record nothing: %v", err)
		}
		d.At = d.At.Add(time.Minute)
	}
	if n := d.Ca.Calls["order"] - before; n != 1 {
		t.Errorf("%d orders", n)
	}
}

// TestTheFirstApplyProvesThatItCanWriteTheLedger checks that it does so before it
// orders anything.
func TestTheFirstApplyProvesThatItCanWriteTheLedger(t *testing.T) {
	d := newDisk(t, "api")
	d.ledger.refused = errors.New("push refused: the deploy key is read-only")
	report, err := d.pass(d.process())
	if err == nil || !strings.Contains(err.Error(), "nothing was ordered") || !strings.Contains(err.Error(), "read-only") || report.Held != 1 || d.Ca.Calls["order"] != 0 {
		t.Fatalf("%+v, %v, %d orders", report, err, d.Ca.Calls["order"])
	}
	d.ledger.refused = nil
	if _, err := d.pass(d.process()); err != nil || len(d.Ca.Orders) != 1 {
		t.Fatal(err)
	}
	if events := d.World.Ledger.Events(t); len(events) != 1 || d.World.Ledger.Messages[0] != "begin the ledger" {
		t.Errorf("events %+v, commits %q", events, d.World.Ledger.Messages)
	}
	// Another machine proves it with one event.
	d.Opts.Moments = &keptMoments{}
	for range 2 {
		d.At = d.At.Add(61 * times.Day)
		if _, err := d.pass(d.process()); err != nil {
			t.Fatal(err)
		}
	}
	var reasons []ledger.Reason
	for _, e := range d.World.Ledger.Events(t) {
		reasons = append(reasons, e.Reason)
	}
	if want := []ledger.Reason{ledger.ReasonMissing, ledger.ReasonAttempt, ledger.ReasonThreshold, ledger.ReasonThreshold}; !slices.Equal(reasons, want) {
		t.Errorf("events %v, want %v", reasons, want)
	}
}
