package recorder_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/recorder"
	"certroll/reconcile/throttle"
)

// failing returns a world whose certificates have failed once.
func failing(t *testing.T, err *reconciletest.CaError, names ...string) *reconciletest.World {
	t.Helper()
	w := reconciletest.NewWorld(t)
	for _, name := range names {
		w.Desired.Certificates = append(w.Desired.Certificates, reconciletest.Certificate(name, name+".example.com"))
	}
	w.Ca.Fail = func(op string, _ int) error {
		if op == "order" {
			return err
		}
		return nil
	}
	if _, err := w.Apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRetryEndsAHold(t *testing.T) {
	w := failing(t, &reconciletest.CaError{Code: "caa", Text: "CAA forbids it"}, "api")
	w.At = w.At.Add(time.Minute)
	if got := w.Kinds(); got != "hold" {
		t.Fatalf("plan: %s", got)
	}
	before := w.Ledger.Record(t, "api")
	done, commit, err := w.Retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk", Why: "the record\nis gone"})
	if err != nil || commit == "" || len(done) != 1 || done[0].Hold == nil || done[0].Failures != 1 {
		t.Fatalf("%+v, %q, %v", done, commit, err)
	}
	e := w.Ledger.Events(t)[1]
	if e.Operation != ledger.KindRetry || e.Status != ledger.Success || e.Reason != ledger.ReasonRetry || e.Actor != "ann@desk" || e.Cause != "command" || e.Certificate != "api" ||
		e.Detail != "the record is gone; it was held until "+before.Hold.Until.Format(time.RFC3339)+" (caa)" || e.Failures != 1 || e.Issuer != "ca" {
		t.Errorf("event: %+v", e)
	}
	r := w.Ledger.Record(t, "api")
	if r.Hold != nil || r.State != ledger.StateFailing || r.Failures != 1 || r.LastFailure == nil || !r.FailingSince.Equal(*before.FailingSince) {
		t.Errorf("record: %+v", r)
	}
	if got := w.Kinds(); got != "issue" {
		t.Fatalf("plan after the retry: %s", got)
	}
	// It fails again: the back-off continues from where it was.
	if _, err := w.Apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := w.Ledger.Record(t, "api"); r.Failures != 2 || r.Hold == nil || w.Kinds() != "hold" {
		t.Errorf("record after another failure: %+v", r)
	}
}

// TestRetryFromAClockAhead checks a certroll retry on a machine whose clock is ahead:
// later failures must not look older than the retry, or their holds would be lost.
func TestRetryFromAClockAhead(t *testing.T) {
	w := failing(t, &reconciletest.CaError{Code: "caa", Text: "CAA forbids it"}, "api")
	now := w.At
	w.At = now.Add(time.Hour)
	if _, _, err := w.Retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk"}); err != nil {
		t.Fatal(err)
	}
	w.At = now.Add(2 * time.Second)
	if _, err := w.Apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := w.Kinds(); got != "hold" {
		t.Errorf("it is tried again at once: %s", got)
	}
}

func TestRetryRefuses(t *testing.T) {
	w := failing(t, &reconciletest.CaError{Code: "rate_limited", Text: "429 too many", At: reconciletest.Start.Add(5 * time.Hour)}, "api", "web")
	w.Desired.Certificates = w.Desired.Certificates[:1]
	w.Ca.Fail = nil
	w.Settle() // closes the record of web
	cases := map[string]struct{ names, says string }{
		"the CA's own time": {"api", "the CA asked to wait until " + reconciletest.Start.Add(5*time.Hour).Format(time.RFC3339)},
		"unknown":           {"apy", "the ledger has no record of it"},
		"retired":           {"web", "it is retired"},
		"one of two":        {"web api", "it is retired"},
	}
	commits := len(w.Ledger.Messages)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := w.Retry(recorder.Retry{Certificates: strings.Fields(tc.names), Actor: "ann@desk"})
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error: %v", err)
			}
		})
	}
	if len(w.Ledger.Messages) != commits {
		t.Error("something was written")
	}
	if _, _, err := w.Retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk", Force: true}); err != nil {
		t.Fatal(err)
	}
	if e := w.Ledger.Events(t); !e[len(e)-1].Forced {
		t.Errorf("event: %+v", e[len(e)-1])
	}
	if got := w.Kinds(); got != "issue none" && got != "issue" {
		t.Errorf("plan: %s", got)
	}
}

// TestRetryOfWhatIsNotHeld checks that a retry of a certificate that is not held
// records nothing.
func TestRetryOfWhatIsNotHeld(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	done, commit, err := w.Retry(recorder.Retry{Certificates: []string{"api"}})
	if err != nil || commit != "" || len(done) != 1 || done[0].Event != nil || len(w.Ledger.Events(t)) != 1 {
		t.Errorf("%+v, %q, %v", done, commit, err)
	}
}

// TestRetryProbes checks that a retried certificate becomes the next probe of an issuer
// that is held as a whole. A failed probe ends the retry at once.
func TestRetryProbes(t *testing.T) {
	w := failing(t, &reconciletest.CaError{Code: "ca_unavailable", Text: "503"}, "a", "b", "c")
	w.Desired.Certificates = append(w.Desired.Certificates, reconciletest.Certificate("d", "d.example.com"))
	w.At = w.At.Add(time.Second)
	if got := w.Kinds(); got != "hold hold hold hold" {
		t.Fatalf("plan: %s", got)
	}
	orders := w.Ca.Calls["order"]
	if _, _, err := w.Retry(recorder.Retry{Certificates: []string{"a", "b", "c"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.Kinds(); got != "issue hold hold hold" {
		t.Fatalf("plan after the retry: %s", got)
	}
	for range 5 {
		w.At = w.At.Add(time.Second)
		if _, err := w.Apply(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.Ca.Calls["order"] - orders; got != 1 {
		t.Errorf("three retries made %d tries, want one", got)
	}
	if _, _, err := w.Retry(recorder.Retry{Certificates: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.Kinds(); got != "hold issue hold hold" {
		t.Fatalf("plan after a second retry: %s", got)
	}
	w.Ca.Fail = nil
	w.Settle()
	if got := w.Kinds(); !strings.HasPrefix(got, "hold none") || !strings.HasSuffix(got, "issue") {
		t.Errorf("plan after the probe worked: %s", got)
	}
}

// TestRetryKeepsTheIssuersOwnTime checks that the CA's Retry-After holds all
// certificates of an issuer despite a retry.
func TestRetryKeepsTheIssuersOwnTime(t *testing.T) {
	until := reconciletest.Start.Add(5 * time.Hour)
	fails := func(n int) ledger.Event {
		return ledger.Event{ID: fmt.Sprint(n), Time: reconciletest.Start, Operation: ledger.KindIssue, Certificate: fmt.Sprint("c", n), Status: ledger.Failed, Issuer: "ca", Class: ledger.ClassRateLimited, HoldUntil: &until}
	}
	retry := ledger.Event{ID: "r", Time: reconciletest.Start, Operation: ledger.KindRetry, Certificate: "c9", Status: ledger.Success}
	forced := retry
	forced.Forced = true
	for name, tc := range map[string]struct {
		events []ledger.Event
		now    time.Time
		want   bool
	}{
		"before it":         {[]ledger.Event{fails(1), fails(2), fails(3), retry}, reconciletest.Start.Add(time.Hour), false},
		"after it":          {[]ledger.Event{fails(1), fails(2), fails(3), retry}, until, true},
		"by force":          {[]ledger.Event{fails(1), fails(2), fails(3), forced}, reconciletest.Start.Add(time.Hour), true},
		"before a failure":  {[]ledger.Event{fails(1), fails(2), forced, fails(3)}, until, false},
		"of nobody in need": {[]ledger.Event{fails(1), fails(2), fails(3)}, until, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := throttle.Circuits(tc.events)["issuer.ca"].Retried("c9", tc.now); got != tc.want {
				t.Errorf("retried: %v", got)
			}
		})
	}
}

// racingLedger lets another writer commit first.
type racingLedger struct {
	*reconciletest.MemLedger
	first func()
}

func (l *racingLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	l.first()
	return l.MemLedger.Commit(ctx, message, edit)
}

// TestRetryRacesARun checks that a retry uses the state at the time of the commit, not
// an older one.
func TestRetryRacesARun(t *testing.T) {
	w := failing(t, &reconciletest.CaError{Code: "caa", Text: "CAA forbids it"}, "api")
	r := apply.New(&observe.Observer{}, nil, nil, &racingLedger{w.Ledger, func() {
		w.At, w.Ca.Fail = w.Ledger.Record(t, "api").Hold.Until, nil
		w.Settle()
	}}, nil, attempt.Options{Now: w.Opts.Now})
	w.At = w.At.Add(time.Minute)
	done, commit, err := r.Retry(context.Background(), recorder.Retry{Certificates: []string{"api"}})
	if err != nil || commit != "" || done[0].Event != nil {
		t.Errorf("%+v, %q, %v", done, commit, err)
	}
	if record := w.Ledger.Record(t, "api"); record.State != ledger.StateLive {
		t.Errorf("record: %+v", record)
	}
}

func TestRetryWithoutGit(t *testing.T) {
	w := failing(t, &reconciletest.CaError{Code: "caa", Text: "CAA forbids it"}, "api")
	w.Ledger.Err = errors.New("the branch is protected")
	if _, _, err := w.Retry(recorder.Retry{Certificates: []string{"api"}}); err == nil || !strings.Contains(err.Error(), "the branch is protected") {
		t.Errorf("error: %v", err)
	}
}
