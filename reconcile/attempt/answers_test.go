package attempt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// TestAnswersOfEarlierRuns checks that a run removes the challenge records that an
// earlier run may have left: before the next order is answered, and again when the new
// pair is live.
func TestAnswersOfEarlierRuns(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Answers = func(url string) string { return "api.example.com token-" + url[strings.LastIndex(url, "/")+1:] }
	w.Ca.Stay = []string{"the record x stays"}
	w.Ca.Fail = func(op string, n int) error {
		if op != "finish" || n > 2 {
			return nil
		}
		for url := range w.Ca.Orders {
			w.Ca.Orders[url] = []string{"spoiled.example.com"}
		}
		return &reconciletest.CaError{Code: "validation", Gone: n == 1, Text: "not found"}
	}
	w.UntilLive(5)
	want := []string{
		"finish https://ca.example/order/1", // gone, but its challenge record is in the pending secret
		"remove api.example.com token-1 through 1",
		"finish https://ca.example/order/2", // fails, and stays pending
		"remove api.example.com token-1 through 1",
		"finish https://ca.example/order/2",
		"remove api.example.com token-1, api.example.com token-2 through 1",
	}
	if !slices.Equal(w.Ca.Swept, want) {
		t.Errorf("it did\n%s\nwant\n%s", strings.Join(w.Ca.Swept, "\n"), strings.Join(want, "\n"))
	}
	events := w.Ledger.Events(t)
	if last := events[len(events)-1]; last.Status != ledger.Success || !strings.Contains(last.Detail, "the record x stays") {
		t.Errorf("the event does not tell of what stays: %+v", last)
	}
}

// TestAnswersAreKeptFirst checks that certroll writes no DNS record unless it could
// store it in the pending secret first.
func TestAnswersAreKeptFirst(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	asked := false
	w.Ca.Answers = func(string) string { asked = true; return "api.example.com token" }
	w.Vault.Fail = func(op, path string) error {
		if asked && op == "write" && strings.Contains(path, "pending/api") {
			return errors.New("sealed")
		}
		return nil
	}
	report, err := w.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 1 || report.Results[0].Err == nil || !strings.Contains(report.Results[0].Err.Error(), "sealed") {
		t.Errorf("results %+v", report.Results)
	}
	if len(w.Ca.Swept) != 0 {
		t.Errorf("the CA's side went on: %v", w.Ca.Swept)
	}
}

// begunAnd returns a world with a first issue that has begun to answer challenges: it
// either failed and was recorded, or its run died before recording anything.
func begunAnd(t *testing.T, died bool) *reconciletest.World {
	t.Helper()
	for n := 1; n < 50; n++ {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
		w.Ca.Answers = func(string) string { return "api.example.com token-1" }
		if died {
			w.DyingAt(n)
		} else {
			w.Ca.Fail = func(op string, _ int) error {
				if op == "finish" {
					return &reconciletest.CaError{Code: "ca_unavailable", Text: "away"}
				}
				return nil
			}
			if _, err := w.Apply(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.Ca.Fail = nil
		}
		if s := w.Vault.Secrets["secret/certroll/pending/api"]; s != nil && len(s.Versions) > 0 && s.Versions[len(s.Versions)-1].Data["answers"] != "" {
			w.Ca.Swept, w.Ca.SweptBy = nil, nil
			return w
		}
	}
	t.Fatal("no attempt came to answer anything")
	return nil
}

// TestAnswersOfWhatIsRetired checks the retirement of a certificate with an unfinished
// attempt: its challenge records are removed before its pending secret, or the event
// names those that may remain.
func TestAnswersOfWhatIsRetired(t *testing.T) {
	const left = "remove by hand what is left at _acme-challenge.api.example.com"
	forget := func(w *reconciletest.World) { // as an earlier version stored it
		s := w.Vault.Secrets["secret/certroll/pending/api"]
		data := s.Versions[len(s.Versions)-1].Data
		data["answers"] = `[{"order":"` + data["order_url"] + `","domain":"api.example.com","token":"token-1"}]`
	}
	for name, c := range map[string]struct {
		change func(*reconciletest.World)
		by     string // issuer and accounts used for the removal; "": no removal
		tells  []string
	}{
		"in order":            {by: "ca dns.lab"},
		"the record stays":    {change: func(w *reconciletest.World) { w.Ca.Stay = []string{"the record x stays"} }, by: "ca dns.lab", tells: []string{"the record x stays"}},
		"the account is gone": {change: func(w *reconciletest.World) { delete(w.Desired.DNS, "lab") }, tells: []string{"dns.lab, which may have written them, is gone", left}},
		"the account is held": {change: func(w *reconciletest.World) { w.Desired.DNS["lab"].Held = []spec.Hold{{}} }, tells: []string{"dns.lab", left}},
		"the issuer is gone":  {change: func(w *reconciletest.World) { delete(w.Desired.Issuers, "ca") }, tells: []string{"issuer.ca, whose account they were made with, is gone", left}},
		"the issuer is renamed": {change: func(w *reconciletest.World) {
			w.Desired.Issuers["new"] = &spec.Issuer{Name: "new", Directory: w.Desired.Issuers["ca"].Directory}
			delete(w.Desired.Issuers, "ca")
		}, by: "new dns.lab"},
		"of an earlier version": {change: forget, tells: []string{"the DNS account that may have written them is not known", left}},
		"the CA is away": {change: func(w *reconciletest.World) {
			w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_unavailable", Text: "away for now"} }
		}, tells: []string{"away for now", left}},
		"no draft any more": {change: func(w *reconciletest.World) {
			s := w.Vault.Secrets["secret/certroll/pending/api"]
			s.Versions[len(s.Versions)-1].Data["schema"] = "9"
		}},
	} {
		for _, died := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", died ", died), func(t *testing.T) {
				t.Parallel()
				w := begunAnd(t, died)
				w.Desired.Certificates = nil
				if c.change != nil {
					c.change(w)
				}
				w.At = w.At.Add(2 * plan.LeftoverAfter)
				w.Settle()
				if got := strings.Join(w.Ca.SweptBy, "; "); got != c.by {
					t.Errorf("removed by %q, want %q: %v", got, c.by, w.Ca.Swept)
				}
				if c.by != "" && !slices.Equal(w.Ca.Swept, []string{"remove api.example.com token-1 through 1"}) {
					t.Errorf("it did %q", w.Ca.Swept)
				}
				events := w.Ledger.Events(t)
				last := events[len(events)-1]
				if last.Operation != ledger.KindRetire || last.Status != ledger.Success {
					t.Fatalf("the last event is %+v", last)
				}
				for _, part := range c.tells {
					if !strings.Contains(last.Detail, part) {
						t.Errorf("the event lacks %q: %s", part, last.Detail)
					}
				}
				if len(c.tells) == 0 && strings.Contains(last.Detail, "TXT") {
					t.Errorf("the event tells of records: %s", last.Detail)
				}
				if keys := w.KeysOfState(); len(keys) > 0 {
					t.Errorf("these stay: %q", keys)
				}
			})
		}
	}
}

// TestRetireIsStoppedInASweep checks that an interrupted removal keeps the pending
// secret, and that the next run continues.
func TestRetireIsStoppedInASweep(t *testing.T) {
	w := begunAnd(t, false)
	w.Desired.Certificates = nil
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.Ca.Fail = func(op string, _ int) error {
		if op == "remove" {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	_, _ = w.Apply(ctx) // another test checks the result
	if w.Vault.Secrets["secret/certroll/pending/api"] == nil {
		t.Fatal("the pending secret is gone")
	}
	w.Ca.Fail = nil
	w.Settle()
	if len(w.Ca.SweptBy) != 1 || len(w.KeysOfState()) > 0 {
		t.Errorf("removed by %q, and these stay: %q", w.Ca.SweptBy, w.KeysOfState())
	}
}

// TestAnswersOfAnotherIssuer checks that certroll uses the account that an
// authorization belongs to, and can clean up with a DNS account that the certificate no
// longer lists.
func TestAnswersOfAnotherIssuer(t *testing.T) {
	w := begunAnd(t, false)
	w.Desired.Issuers["other"] = &spec.Issuer{Name: "other", Directory: "https://other.example/dir"}
	w.Desired.DNS["new"] = &spec.DNSAccount{Name: "new", Challenge: spec.DNS01}
	c := w.Desired.Certificates[0]
	c.Issuer, c.DNS = "other", []string{"new"}
	for url := range w.Ca.Orders {
		w.Ca.Orders[url] = []string{"of another CA"}
	}
	w.At = w.At.Add(time.Hour)
	w.Settle()
	if want := []string{"ca dns.new dns.lab", "ca dns.new dns.lab"}; !slices.Equal(w.Ca.SweptBy, want) {
		t.Errorf("removed by %q, want %q", w.Ca.SweptBy, want)
	}
}
