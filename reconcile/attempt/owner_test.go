package attempt_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/recorder"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
)

// deactivated is a CA's error for a deactivated account.
var deactivated = &reconciletest.CaError{Code: "ca_rejected", OwnedBy: "acme_account", Text: "403 unauthorized: account is deactivated"}

// TestDeadAccountIsOneFailure checks twelve certificates with an ACME account that the
// CA rejects. One certificate fails, none orders, the others wait. After the fix, one
// retry releases all.
func TestDeadAccountIsOneFailure(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Crowd(12, "example.com")...)
	w.Ca.Account = func() error { return deactivated }
	report, err := w.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 1 || report.Held != 11 || len(w.Ca.Orders) != 0 || w.Ca.Calls["account"] != 1 {
		t.Errorf("%d tried, %d held, %d orders, asked for the account %d times", len(report.Results), report.Held, len(w.Ca.Orders), w.Ca.Calls["account"])
	}
	var failures, held []ledger.Event
	for _, e := range w.Ledger.Events(t) {
		switch e.Status {
		case ledger.Failed:
			failures = append(failures, e)
		case ledger.Held:
			held = append(held, e)
		}
	}
	if len(failures) != 1 || failures[0].Owner != ledger.OwnerAccount || len(held) != 1 || held[0].Subject != "issuer.ca" {
		t.Fatalf("failures %+v, held %+v", failures, held)
	}
	// A day of passes contacts the CA once or twice more and never orders.
	for range 24 {
		w.At = w.At.Add(time.Hour)
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.Ca.Calls["account"]; n > 3 || len(w.Ca.Orders) != 0 {
		t.Errorf("asked for the account %d times in a day, %d orders", n, len(w.Ca.Orders))
	}
	w.Ca.Account = nil
	if _, _, err := w.Retry(recorder.Retry{Certificates: []string{failures[0].Certificate}, Actor: "ann@desk"}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the probe, then all others
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := reconciletest.Count(w.Plan(), ledger.KindNone); n != 12 {
		t.Errorf("%d of 12 are live after the account was mended: %s", n, w.Kinds())
	}
}

// typo returns the failures of one for_each block whose names do not exist.
func typo(at time.Duration, n int) []ledger.Event {
	var events []ledger.Event
	for i := range n {
		e := reconciletest.Failed(at, fmt.Sprintf("shop.%d", i), ledger.ClassDNSUnauthorized, "lab", "REFUSED")
		e.Names = []string{fmt.Sprintf("%d.shop.exmaple.test", i)}
		events = append(events, e)
	}
	return events
}

// TestOneBlockHoldsNobodyElse checks that three failures of one block for one domain
// hold only that block. Failures of three blocks or domains hold everything.
func TestOneBlockHoldsNobodyElse(t *testing.T) {
	sibling := reconciletest.Certificate("shop.9", "9.shop.exmaple.test")
	other := reconciletest.Certificate("good", "good.example.com")
	desired := reconciletest.Desire(other, sibling)
	cases := map[string]struct {
		history []ledger.Event
		want    string // hold of good and of shop.9
	}{
		"one block, one domain": {typo(0, 5), "issue hold"},
		"three blocks":          {[]ledger.Event{reconciletest.Failed(0, "a", ledger.ClassDNSUnauthorized, "lab", "403"), reconciletest.Failed(0, "b", ledger.ClassDNSUnauthorized, "lab", "403"), reconciletest.Failed(0, "c", ledger.ClassDNSUnauthorized, "lab", "403")}, "hold hold"},
		"one block, three domains": {func() []ledger.Event {
			events := typo(0, 3)
			for i := range events {
				events[i].Names = []string{fmt.Sprintf("www.shop%d.test", i)}
			}
			return events
		}(), "hold hold"},
	}
	for name, tc := range cases {
		var got []string
		for _, a := range plan.New(desired, &plan.Observed{History: tc.history}, reconciletest.Start.Add(time.Minute)).Actions {
			got = append(got, string(a.Kind))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}

// TestNotMyZoneIsTheCertificates checks that a DNS account that lacks the zone is not
// in trouble, whether it failed last or was passed over.
func TestNotMyZoneIsTheCertificates(t *testing.T) {
	var history []ledger.Event
	for _, name := range []string{"a", "b", "c"} {
		history = append(history, reconciletest.Failed(0, name, ledger.ClassConfig, "lab", "zone not found"))
		e := reconciletest.Succeeded(0, name+"x", "dr")
		e.PassedOver = []ledger.PassedOver{{Account: "lab", Class: ledger.ClassConfig, Message: "zone not found"}}
		history = append(history, e)
	}
	if found := throttle.Circuits(history); len(found) != 0 {
		t.Errorf("in trouble: %v", found)
	}
}

// TestWrongRetryPutsNobodyOff checks that failed early retries of one certificate do
// not delay the next probe of an account in trouble.
func TestWrongRetryPutsNobodyOff(t *testing.T) {
	var history []ledger.Event
	for _, name := range []string{"a", "b", "c"} {
		history = append(history, reconciletest.Failed(0, name, ledger.ClassDNSUnauthorized, "lab", "403"))
	}
	desired := reconciletest.Desire(reconciletest.Certificate("good", "good.example.com"))
	wait := func(history []ledger.Event) time.Time {
		a := plan.New(desired, &plan.Observed{History: history}, reconciletest.Start.Add(5*time.Minute)).Actions[0]
		if a.Kind != ledger.KindHold {
			t.Fatalf("%s", a.Kind)
		}
		return a.NotBefore
	}
	before := wait(history)
	for i := range 3 {
		history = append(history, ledger.Event{Time: reconciletest.Start.Add(2 * time.Minute), Operation: ledger.KindRetry, Certificate: "a", Status: ledger.Success})
		e := reconciletest.Failed(2*time.Minute+time.Duration(i)*time.Minute/2, "a", ledger.ClassDNSUnauthorized, "lab", "403")
		e.Unscheduled = true
		history = append(history, e)
	}
	if after := wait(history); !after.Equal(before) {
		t.Errorf("it waits until %s, and until %s before", after, before)
	}
	// Scheduled attempts count as before.
	history = append(history, reconciletest.Failed(4*time.Minute, "b", ledger.ClassDNSUnauthorized, "lab", "403"))
	if after := wait(history); !after.After(before) {
		t.Errorf("after a probe in its turn it waits until %s", after)
	}
}

// TestUnscheduledIsTold checks that an event marks a retry before the account's
// scheduled probe, and does not mark the scheduled one.
func TestUnscheduledIsTold(t *testing.T) {
	history := []ledger.Event{reconciletest.Failed(0, "a", ledger.ClassDNSUnauthorized, "lab", "403"), reconciletest.Failed(0, "b", ledger.ClassDNSUnauthorized, "lab", "403"), reconciletest.Failed(0, "c", ledger.ClassDNSUnauthorized, "lab", "403")}
	asked := append(slices.Clone(history), ledger.Event{Time: reconciletest.Start, Operation: ledger.KindRetry, Certificate: "good", Status: ledger.Success})
	desired := reconciletest.Desire(reconciletest.Certificate("good", "good.example.com"))
	for name, tc := range map[string]struct {
		history     []ledger.Event
		after       time.Duration
		unscheduled bool
	}{
		"a retry":     {asked, time.Minute, true},
		"in its turn": {history, 12 * time.Minute, false},
	} {
		a := plan.New(desired, &plan.Observed{History: tc.history}, reconciletest.Start.Add(tc.after)).Actions[0]
		if a.Kind != ledger.KindIssue || a.Unscheduled != tc.unscheduled || !slices.Equal(a.Probes, []ledger.Subject{"dns.lab"}) {
			t.Errorf("%s: %s, unscheduled %v, probes %v", name, a.Kind, a.Unscheduled, a.Probes)
		}
	}
}

// TestProbeIsWhatWorkedBefore checks that the probe of an account is a certificate that
// it has published for, not a new one that may fail by its own mistake.
func TestProbeIsWhatWorkedBefore(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("proven", "proven.example.com"))
	w.Settle()
	w.At = w.At.Add(75 * times.Day)
	w.Desired = reconciletest.Desire(reconciletest.Certificate("anew", "anew.example.com"), reconciletest.Certificate("proven", "proven.example.com"))
	obs, err := w.Reconciler().Observe(t.Context(), w.Desired)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		e := reconciletest.Failed(0, name, ledger.ClassDNSUnauthorized, "lab", "403")
		e.Time = w.At.Add(-time.Hour)
		obs.History = append(obs.History, e)
	}
	var got []string
	for _, a := range plan.New(w.Desired, obs, w.At).Actions {
		got = append(got, a.Certificate+" "+string(a.Kind))
	}
	if want := "anew hold, proven renew"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestRetryOfAnUntriedCertificate checks that a retry of a certificate that the breaker
// holds before its first attempt makes it the next probe, although only the spec knows
// it.
func TestRetryOfAnUntriedCertificate(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Crowd(4, "example.com")...)
	w.Ca.DNS = func(string) error {
		return &reconciletest.CaError{Code: "dns_unauthorized", OfAccount: "lab", Text: "403 invalid token"}
	}
	if _, err := w.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	var untried string
	for _, a := range w.Plan() {
		if a.Record == nil {
			untried = a.Certificate
		}
	}
	if untried == "" {
		t.Fatal("all were tried")
	}
	if _, _, err := w.Retry(recorder.Retry{Certificates: []string{untried}}); err == nil || !strings.Contains(err.Error(), "does not declare it") {
		t.Errorf("where the spec is not known: %v", err)
	}
	done, _, err := w.Retry(recorder.Retry{Certificates: []string{untried}, Declared: w.Desired.Names})
	if err != nil || len(done) != 1 || done[0].Event == nil {
		t.Fatalf("%+v, %v", done, err)
	}
	w.Ca.DNS = nil
	if _, err := w.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := w.Ledger.Record(t, untried); r.State != ledger.StateLive {
		t.Errorf("it is %s", r.State)
	}
}

// TestOwnerOf checks that every class has an owner, and that the error's own owner
// takes precedence.
func TestOwnerOf(t *testing.T) {
	want := map[ledger.Class]ledger.Owner{
		ledger.ClassDNSUnauthorized: ledger.OwnerDNSAccount, ledger.ClassDNSUnavailable: ledger.OwnerDNSAccount, ledger.ClassDNSPropagation: ledger.OwnerCertificate, ledger.ClassDNSOccupied: ledger.OwnerCertificate, ledger.ClassCAA: ledger.OwnerCertificate,
		ledger.ClassRateLimited: ledger.OwnerIssuer, ledger.ClassValidation: ledger.OwnerCertificate, ledger.ClassCARejected: ledger.OwnerCertificate, ledger.ClassPaused: ledger.OwnerCertificate,
		ledger.ClassCAUnavailable: ledger.OwnerIssuer, ledger.ClassVault: "", ledger.ClassGit: "", ledger.ClassConfig: ledger.OwnerCertificate, ledger.ClassInternal: "",
	}
	for _, c := range ledger.Classes {
		if got := failure.OwnerOf(&reconciletest.CaError{Code: string(c)}); got != want[c] {
			t.Errorf("%s: %q, want %q", c, got, want[c])
		}
	}
	if got := failure.OwnerOf(deactivated); got != ledger.OwnerAccount {
		t.Errorf("by its own word: %q", got)
	}
}
