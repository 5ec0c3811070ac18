package attempt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestFailureIsToldWhole checks that the event and the record of a failure are complete
// and quote the upstream's words.
func TestFailureIsToldWhole(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	w.At = reconciletest.Start.Add(61 * times.Day)
	before := w.Ledger.Record(t, "api").Live
	const words = "403 urn:ietf:params:acme:error:unauthorized :: Incorrect TXT record \"x\" found at _acme-challenge.api.example.com"
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			return &reconciletest.CaError{Code: "validation", OfAccount: "lab", Gone: true, Text: words, OfNames: []string{"api.example.com"}}
		}
		return nil
	}
	for n := 1; n <= 3; n++ {
		if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
			t.Fatalf("report %+v, error %v", report, err)
		}
		es := w.Ledger.Events(t)
		e := es[len(es)-1]
		r := w.Ledger.Record(t, "api")
		severity := ""
		if n == 3 {
			severity = ledger.SeverityPage
		}
		got := fmt.Sprint(e.Operation, e.Status, e.Reason, e.Actor, e.Cause, e.Revision, e.OldSerial, e.Issuer, e.Directory, e.DNSAccount, e.VaultPath, e.Class, e.Message, e.Failures, e.Severity, e.Names, e.FailedNames)
		want := fmt.Sprint(ledger.KindRenew, ledger.Failed, ledger.ReasonThreshold, "schedule", "schedule", "c0ffee", before.Serial, "ca", "https://ca.example/dir", "lab", "secret/tls/api", ledger.ClassValidation, words, n, severity, []string{"api.example.com"}, []string{"api.example.com"})
		if got != want || !e.Time.Equal(w.At) || e.OrderURL == "" || e.ID == "" || e.Detail == "" || e.HoldUntil == nil || !e.HoldUntil.Equal(r.Hold.Until) {
			t.Errorf("event %d:\n%s\nwant\n%s\n%+v", n, got, want, e)
		}
		if r.Failures != n || r.Severity != severity || r.LastFailure.Message != words || r.LastFailure.Class != ledger.ClassValidation || r.LastFailure.DNSAccount != "lab" ||
			!r.FailingSince.Equal(reconciletest.Start.Add(61*times.Day)) || r.State != ledger.StateFailing || r.Live.Serial != before.Serial || r.RenewAt == nil ||
			r.Hold.Reason != fmt.Sprintf("failure %d in a row (validation): %s", n, words) {
			t.Errorf("record %d: %+v", n, r)
		}
		a := w.Only()
		reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonBackoff, words)
		w.At = a.NotBefore
	}
	w.Ca.Fail = nil
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.Failures != 0 || r.Severity != "" || r.FailingSince != nil || r.LastFailure != nil || r.Hold != nil {
		t.Errorf("record after it worked: %+v", r)
	}
}

// TestBackoffSurvivesARestart runs each apply as a new process on the same ledger; the
// back-off must hold.
func TestBackoffSurvivesARestart(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	w.At = reconciletest.Start.Add(60 * times.Day)
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			return &reconciletest.CaError{Code: "validation", Text: "no TXT record"}
		}
		return nil
	}
	var tried []time.Time
	for ; w.At.Before(reconciletest.Start.Add(62 * times.Day)); w.At = w.At.Add(30 * time.Second) {
		if w.At.Minute() == 0 && w.At.Hour()%6 == 0 { // Git fails now and then
			w.Ledger.Err = errors.New("connection refused")
		}
		r, planned := w.PlannedFromCache()
		if r != nil {
			report, _ := r.Apply(t.Context(), w.Desired, ledger.Revision{}, planned)
			if len(report.Results) > 0 {
				tried = append(tried, w.At)
			}
		}
		w.Ledger.Err = nil
	}
	if len(tried) != 5 { // at once, after 1, 10 and 100 minutes, after a day
		t.Errorf("%d tries in two days: %v", len(tried), tried)
	}
	if n := len(w.Ca.Orders); n != 2 {
		t.Errorf("%d orders, want the first one and one that all tries went on with", n)
	}
}

// TestPaused checks that certroll retries a paused account only once a day until a
// person unpauses it, and that the unpause link appears nowhere.
func TestPaused(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	w.At = reconciletest.Start.Add(89 * times.Day)
	w.Ca.Fail = func(string, int) error {
		return &reconciletest.CaError{Code: "paused", Text: "429 urn:ietf:params:acme:error:rateLimited :: Your account is temporarily prevented from requesting certificates for api.example.com. Please visit: https://sfe.example/sfe/v1/unpause?jwt=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl"}
	}
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	a := w.Only()
	reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonPaused, "unpause?jwt=[redacted]")
	if wait := a.NotBefore.Sub(w.At); wait < times.Day || wait > times.Day+times.Day/10 {
		t.Errorf("a day before expiry it waits %s, want a day", wait)
	}
	for name, f := range w.Ledger.Tree {
		if strings.Contains(string(f.Data), "eyJhbGci") {
			t.Errorf("%s holds the link's token", name)
		}
	}
}

func TestHoldEndsEarly(t *testing.T) {
	hold := func(class ledger.Class) *ledger.Hold {
		return &ledger.Hold{Until: reconciletest.Start.Add(70 * times.Day), Class: class, Reason: "failure 4 in a row", Issuer: "ca", Credentials: map[string]string{"lab": "v1"}}
	}
	cases := map[string]struct {
		view  func(*reconciletest.View)
		class ledger.Class
		held  bool
	}{
		"nothing changed":                      {nil, ledger.ClassDNSUnauthorized, true},
		"a new credential":                     {func(v *reconciletest.View) { v.Obs.Credentials = map[string]string{"lab": "v2"} }, ledger.ClassDNSUnauthorized, false},
		"a new credential, after a validation": {func(v *reconciletest.View) { v.Obs.Credentials = map[string]string{"lab": "v2"} }, ledger.ClassValidation, false},
		"a new credential, but the CA is down": {func(v *reconciletest.View) { v.Obs.Credentials = map[string]string{"lab": "v2"} }, ledger.ClassCAUnavailable, true},
		"a new credential, but a rate limit":   {func(v *reconciletest.View) { v.Obs.Credentials = map[string]string{"lab": "v2"} }, ledger.ClassRateLimited, true},
		"the same credential":                  {func(v *reconciletest.View) { v.Obs.Credentials = map[string]string{"lab": "v1"} }, ledger.ClassDNSUnauthorized, true},
		"a credential that cannot be known":    {func(v *reconciletest.View) { v.Obs.Credentials = map[string]string{"lab": ""} }, ledger.ClassDNSUnauthorized, true},
		"a credential of another account":      {func(v *reconciletest.View) { v.Obs.Credentials = map[string]string{"dr": "v2"} }, ledger.ClassDNSUnauthorized, true},
		"another threshold is no cure":         {func(v *reconciletest.View) { v.C.Renewal.ThresholdDays = 40 }, ledger.ClassDNSUnauthorized, true},
		"another DNS account": {func(v *reconciletest.View) {
			v.C.DNS = []string{"dr"}
			v.Desired.DNS["dr"] = &spec.DNSAccount{Name: "dr"}
		}, ledger.ClassDNSUnauthorized, false},
		"the account's settings": {func(v *reconciletest.View) { v.Desired.DNS["lab"].Propagation.Wait = time.Minute }, ledger.ClassDNSPropagation, false},
		"the issuer's settings": {func(v *reconciletest.View) {
			v.Desired.Issuers["ca"].EAB = &spec.EAB{KeyID: spec.Value{Source: spec.Literal, Text: "k"}}
		}, ledger.ClassCARejected, false},
		"the issuer's own limits are no cure": {func(v *reconciletest.View) { v.Desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt() }, ledger.ClassRateLimited, true},
		"a rotation is asked for":             {func(v *reconciletest.View) { v.C.Rotate = "leaked" }, ledger.ClassRateLimited, false},
		"a clock that was ahead had stated it": {func(v *reconciletest.View) {
			v.Record.LastFailure = &ledger.Failure{At: reconciletest.Start.Add(3650 * times.Day)}
		}, ledger.ClassRateLimited, false},
		"its failure was minutes ahead of ours": {func(v *reconciletest.View) {
			v.Record.LastFailure = &ledger.Failure{At: reconciletest.Start.Add(61*times.Day + 5*time.Minute)}
		}, ledger.ClassRateLimited, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := reconciletest.NewView()
			v.Record.Hold = hold(tc.class)
			v.Record.Hold.SpecDigest = plan.SpecDigest(v.Desired, v.C)
			if tc.view != nil {
				tc.view(v)
			}
			if a := v.At(61 * times.Day); (a.Kind == ledger.KindHold) != tc.held {
				t.Errorf("%s %s: %s", a.Kind, a.Reason, a.Detail)
			}
		})
	}
}

// TestRunsThatEndWithoutAWord checks that repeated crashes at the same call count as a
// failure from the fourth on, and then back off.
func TestRunsThatEndWithoutAWord(t *testing.T) {
	for _, at := range []string{"order", "finish"} {
		t.Run(at, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
			orders := 0
			for range 720 { // one hour, a start every five seconds
				crash(w, at, &orders)
				w.At = w.At.Add(5 * time.Second)
			}
			if orders < 4 || orders > 8 {
				t.Errorf("the CA was called %d times within an hour", orders)
			}
			r := w.Ledger.Record(t, "api")
			if r.State != ledger.StateFailing || r.LastFailure.Class != ledger.ClassInternal || !strings.Contains(r.LastFailure.Message, "3 runs in a row") {
				t.Errorf("record: %+v", r.LastFailure)
			}
			w.At = r.Hold.Until
			w.Settle()
			w.Settle()
			if r := w.Ledger.Record(t, "api"); r.State != ledger.StateLive {
				t.Errorf("record after it worked: %+v", r)
			}
			if n := len(w.Ca.Orders); n != 1 {
				t.Errorf("%d orders", n)
			}
		})
	}
}

// crash runs a process that dies during a call to the CA.
func crash(w *reconciletest.World, at string, calls *int) {
	w.T.Helper()
	r, planned := w.Planned()
	w.Ca.Fail = func(op string, _ int) error {
		if op != at {
			return nil
		}
		*calls++
		panic("crash")
	}
	defer func() { w.Ca.Fail = nil }()
	dead := make(chan struct{})
	for _, a := range apply.Actionable(planned.Actions) {
		go func() { // a panic in the action's goroutine ends the process
			defer close(dead)
			defer func() { _ = recover() }()
			ap := &attempt.Applier{Means: r.Means, Desired: w.Desired, Pass: limiter.New(w.Opts.Now).Begin(&spec.Spec{}, &plan.Observed{})}
			ap.One(context.Background(), a)
		}()
		<-dead
		break
	}
	// The next start delivers the events recorded so far.
	_ = r.Tell(context.Background())
}

// TestUnreadableVault checks that certroll plans, orders and records nothing while
// Vault is unreadable.
func TestUnreadableVault(t *testing.T) {
	for _, op := range []string{"metadata", "list"} {
		w := reconciletest.NewWorld(t, reconciletest.Crowd(3, "example.com")...)
		w.Settle()
		w.Vault.Fail = func(got, path string) error {
			if got == op && !strings.HasSuffix(path, "caaa") {
				return errors.New("503 Vault is sealed")
			}
			return nil
		}
		if obs, err := w.Reconciler().Observe(t.Context(), w.Desired); err == nil || obs != nil {
			t.Errorf("%s: observed %+v", op, obs)
		}
	}
	// Vault is sealed during an attempt: the live secret stays, and a later run
	// continues the order.
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	w.At = reconciletest.Start.Add(61 * times.Day)
	r, planned := w.Planned()
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			w.Vault.Mu.Lock()
			defer w.Vault.Mu.Unlock()
			w.Vault.Fail = func(string, string) error { return reconciletest.ConflictError{Err: errors.New("503 Vault is sealed")} }
		}
		return nil
	}
	if report, err := r.Apply(t.Context(), w.Desired, ledger.Revision{}, planned); err != nil || report.Failed() != 1 || report.Results[0].Event.Class != ledger.ClassVault {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.Ca.Fail, w.Vault.Fail = nil, nil
	w.At = w.Only().NotBefore
	w.Settle()
	if len(w.Ca.Orders) != 2 || w.Ledger.Record(t, "api").Live.Version != 2 {
		t.Errorf("%d orders", len(w.Ca.Orders))
	}
}

// TestOneUnreadablePlaceHoldsUpNoOther checks that an unreadable path delays no other
// certificate and does not count as empty.
func TestOneUnreadablePlaceHoldsUpNoOther(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		defer w.Keep(repo, reconcile.LoopOptions{})()
		synctest.Wait()
		dark := func(err error) {
			w.Vault.Mu.Lock()
			defer w.Vault.Mu.Unlock()
			w.Vault.Fail = func(op, path string) error {
				if op == "metadata" && path == "secret/tls/api" {
					return err
				}
				return nil
			}
		}
		dark(observe.PlaceError{Err: errors.New("403 permission denied")})
		time.Sleep(61*times.Day + time.Hour)
		synctest.Wait()
		if api, www := w.Ledger.Record(t, "api").Live, w.Ledger.Record(t, "www").Live; api.Version != 1 || www.Version != 2 {
			t.Errorf("api is at version %d, www at %d", api.Version, www.Version)
		}
		held := 0
		for _, e := range w.Ledger.Events(t) {
			if e.Reason == ledger.ReasonUnreadable {
				held++
				if e.Certificate != "api" || e.Status != ledger.Held || e.Class != ledger.ClassVault || !strings.Contains(e.Message, "403") {
					t.Errorf("event: %+v", e)
				}
			}
		}
		if held < 60 || held > 63 {
			t.Errorf("told %d times in 61 days, want once a day", held)
		}
		dark(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if v := w.Ledger.Record(t, "api").Live.Version; v != 2 {
			t.Errorf("once it can be read again api is at version %d", v)
		}
	}, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("www", "www.example.com"))
}

// TestAllPlacesUnreadable checks that it counts as an outage if all paths are
// unreadable, and that a command reports the first path.
func TestAllPlacesUnreadable(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Crowd(3, "example.com")...)
	w.Settle()
	deny := func(suffix string) {
		w.Vault.Fail = func(op, path string) error {
			if op == "metadata" && strings.HasPrefix(path, "secret/tls/") && strings.HasSuffix(path, suffix) {
				return observe.PlaceError{Err: errors.New("403 permission denied")}
			}
			return nil
		}
	}
	deny("")
	if _, err := w.Reconciler().ObserveAgain(t.Context(), w.Desired, nil, nil); err == nil {
		t.Error("nothing can be read, and that is no error")
	}
	deny("caaa")
	if _, err := w.Reconciler().Observe(t.Context(), w.Desired); err == nil {
		t.Error("a command is told nothing")
	}
	if obs, err := w.Reconciler().ObserveAgain(t.Context(), w.Desired, nil, nil); err != nil || len(obs.Unreadable) != 1 {
		t.Errorf("observed %+v, %v", obs, err)
	}
}
