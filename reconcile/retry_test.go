package reconcile

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
	"certroll/reconcile/recorder"
	"certroll/reconcile/throttle"
)

// failing is a world whose certificates have failed once.
func failing(t *testing.T, err *caError, names ...string) *world {
	t.Helper()
	w := newWorld(t)
	for _, name := range names {
		w.desired.Certificates = append(w.desired.Certificates, certificate(name, name+".example.com"))
	}
	w.ca.fail = func(op string, _ int) error {
		if op == "order" {
			return err
		}
		return nil
	}
	if _, err := w.apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	return w
}

// kinds are the plan's kinds in the order of the names.
func (w *world) kinds() string {
	w.t.Helper()
	var kinds []string
	for _, a := range w.plan() {
		kinds = append(kinds, string(a.Kind))
	}
	return strings.Join(kinds, " ")
}

// retry is what a person does, on a machine without a journal and Vault.
func (w *world) retry(want recorder.Retry) ([]recorder.Retried, string, error) {
	r := apply.New(&observe.Observer{}, nil, nil, w.ledger, nil, attempt.Options{Now: w.opts.Now})
	return r.Retry(context.Background(), want)
}

func TestRetryEndsAHold(t *testing.T) {
	w := failing(t, &caError{class: "caa", text: "CAA forbids it"}, "api")
	w.at = w.at.Add(time.Minute)
	if got := w.kinds(); got != "hold" {
		t.Fatalf("plan: %s", got)
	}
	before := w.ledger.record(t, "api")
	done, commit, err := w.retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk", Why: "the record\nis gone"})
	if err != nil || commit == "" || len(done) != 1 || done[0].Hold == nil || done[0].Failures != 1 {
		t.Fatalf("%+v, %q, %v", done, commit, err)
	}
	e := w.ledger.events(t)[1]
	if e.Operation != ledger.KindRetry || e.Status != ledger.Success || e.Reason != ledger.ReasonRetry || e.Actor != "ann@desk" || e.Cause != "command" || e.Certificate != "api" ||
		e.Detail != "the record is gone; it was held until "+before.Hold.Until.Format(time.RFC3339)+" (caa)" || e.Failures != 1 || e.Issuer != "ca" {
		t.Errorf("event: %+v", e)
	}
	r := w.ledger.record(t, "api")
	if r.Hold != nil || r.State != ledger.StateFailing || r.Failures != 1 || r.LastFailure == nil || !r.FailingSince.Equal(*before.FailingSince) {
		t.Errorf("record: %+v", r)
	}
	if got := w.kinds(); got != "issue" {
		t.Fatalf("plan after the retry: %s", got)
	}
	// It fails again: the back-off goes on from where it was.
	if _, err := w.apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := w.ledger.record(t, "api"); r.Failures != 2 || r.Hold == nil || w.kinds() != "hold" {
		t.Errorf("record after another failure: %+v", r)
	}
}

// A clock that is ahead where the person sits must not make the failures after
// the retry look older than it: their holds would be lost.
func TestRetryFromAClockAhead(t *testing.T) {
	w := failing(t, &caError{class: "caa", text: "CAA forbids it"}, "api")
	now := w.at
	w.at = now.Add(time.Hour)
	if _, _, err := w.retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk"}); err != nil {
		t.Fatal(err)
	}
	w.at = now.Add(2 * time.Second)
	if _, err := w.apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := w.kinds(); got != "hold" {
		t.Errorf("it is tried again at once: %s", got)
	}
}

func TestRetryRefuses(t *testing.T) {
	w := failing(t, &caError{class: "rate_limited", text: "429 too many", at: start.Add(5 * time.Hour)}, "api", "web")
	w.desired.Certificates = w.desired.Certificates[:1]
	w.ca.fail = nil
	w.settle() // closes the record of web
	cases := map[string]struct{ names, says string }{
		"the CA's own time": {"api", "the CA asked to wait until " + start.Add(5*time.Hour).Format(time.RFC3339)},
		"unknown":           {"apy", "the ledger has no record of it"},
		"retired":           {"web", "it is retired"},
		"one of two":        {"web api", "it is retired"},
	}
	commits := len(w.ledger.messages)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := w.retry(recorder.Retry{Certificates: strings.Fields(tc.names), Actor: "ann@desk"})
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error: %v", err)
			}
		})
	}
	if len(w.ledger.messages) != commits {
		t.Error("something was written")
	}
	if _, _, err := w.retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk", Force: true}); err != nil {
		t.Fatal(err)
	}
	if e := w.ledger.events(t); !e[len(e)-1].Forced {
		t.Errorf("event: %+v", e[len(e)-1])
	}
	if got := w.kinds(); got != "issue none" && got != "issue" {
		t.Errorf("plan: %s", got)
	}
}

// What nothing holds back leaves no trace.
func TestRetryOfWhatIsNotHeld(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	done, commit, err := w.retry(recorder.Retry{Certificates: []string{"api"}})
	if err != nil || commit != "" || len(done) != 1 || done[0].Event != nil || len(w.ledger.events(t)) != 1 {
		t.Errorf("%+v, %q, %v", done, commit, err)
	}
}

// Where an issuer is held for all, the certificate is its next probe, and one
// that fails ends what was asked for at once.
func TestRetryProbes(t *testing.T) {
	w := failing(t, &caError{class: "ca_unavailable", text: "503"}, "a", "b", "c")
	w.desired.Certificates = append(w.desired.Certificates, certificate("d", "d.example.com"))
	w.at = w.at.Add(time.Second)
	if got := w.kinds(); got != "hold hold hold hold" {
		t.Fatalf("plan: %s", got)
	}
	orders := w.ca.calls["order"]
	if _, _, err := w.retry(recorder.Retry{Certificates: []string{"a", "b", "c"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.kinds(); got != "issue hold hold hold" {
		t.Fatalf("plan after the retry: %s", got)
	}
	for range 5 {
		w.at = w.at.Add(time.Second)
		if _, err := w.apply(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.ca.calls["order"] - orders; got != 1 {
		t.Errorf("three retries made %d tries, want one", got)
	}
	if _, _, err := w.retry(recorder.Retry{Certificates: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.kinds(); got != "hold issue hold hold" {
		t.Fatalf("plan after a second retry: %s", got)
	}
	w.ca.fail = nil
	w.settle()
	if got := w.kinds(); !strings.HasPrefix(got, "hold none") || !strings.HasSuffix(got, "issue") {
		t.Errorf("plan after the probe worked: %s", got)
	}
}

// The CA's own time holds all of an issuer's certificates, whatever is retried.
func TestRetryKeepsTheIssuersOwnTime(t *testing.T) {
	until := start.Add(5 * time.Hour)
	fails := func(n int) ledger.Event {
		return ledger.Event{ID: fmt.Sprint(n), Time: start, Operation: ledger.KindIssue, Certificate: fmt.Sprint("c", n), Status: ledger.Failed, Issuer: "ca", Class: ledger.ClassRateLimited, HoldUntil: &until}
	}
	retry := ledger.Event{ID: "r", Time: start, Operation: ledger.KindRetry, Certificate: "c9", Status: ledger.Success}
	forced := retry
	forced.Forced = true
	for name, tc := range map[string]struct {
		events []ledger.Event
		now    time.Time
		want   bool
	}{
		"before it":         {[]ledger.Event{fails(1), fails(2), fails(3), retry}, start.Add(time.Hour), false},
		"after it":          {[]ledger.Event{fails(1), fails(2), fails(3), retry}, until, true},
		"by force":          {[]ledger.Event{fails(1), fails(2), fails(3), forced}, start.Add(time.Hour), true},
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

// racingLedger has somebody else write the ledger first.
type racingLedger struct {
	*memLedger
	first func()
}

func (l *racingLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	l.first()
	return l.memLedger.Commit(ctx, message, edit)
}

// What is true when the ledger is written counts, not what was true before.
func TestRetryRacesARun(t *testing.T) {
	w := failing(t, &caError{class: "caa", text: "CAA forbids it"}, "api")
	r := apply.New(&observe.Observer{}, nil, nil, &racingLedger{w.ledger, func() {
		w.at, w.ca.fail = w.ledger.record(t, "api").Hold.Until, nil
		w.settle()
	}}, nil, attempt.Options{Now: w.opts.Now})
	w.at = w.at.Add(time.Minute)
	done, commit, err := r.Retry(context.Background(), recorder.Retry{Certificates: []string{"api"}})
	if err != nil || commit != "" || done[0].Event != nil {
		t.Errorf("%+v, %q, %v", done, commit, err)
	}
	if record := w.ledger.record(t, "api"); record.State != ledger.StateLive {
		t.Errorf("record: %+v", record)
	}
}

func TestRetryWithoutGit(t *testing.T) {
	w := failing(t, &caError{class: "caa", text: "CAA forbids it"}, "api")
	w.ledger.err = errors.New("the branch is protected")
	if _, _, err := w.retry(recorder.Retry{Certificates: []string{"api"}}); err == nil || !strings.Contains(err.Error(), "the branch is protected") {
		t.Errorf("error: %v", err)
	}
}
