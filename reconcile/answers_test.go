package reconcile

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
	"certroll/spec"
)

// TestAnswersOfEarlierRuns: what a run was about to answer is removed by a later one:
// for an order that was given up before the next one is answered, and once more when
// the pair is live.
func TestAnswersOfEarlierRuns(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.ca.answers = func(url string) string { return "api.example.com token-" + url[strings.LastIndex(url, "/")+1:] }
	w.ca.stay = []string{"the record x stays"}
	w.ca.fail = func(op string, n int) error {
		if op != "finish" || n > 2 {
			return nil
		}
		for url := range w.ca.orders {
			w.ca.orders[url] = []string{"spoiled.example.com"}
		}
		return &caError{class: "validation", gone: n == 1, text: "not found"}
	}
	w.untilLive(5)
	want := []string{
		"finish https://ca.example/order/1", // gone: its answer is in the pending secret
		"remove api.example.com token-1 through 1",
		"finish https://ca.example/order/2", // fails, and is kept
		"remove api.example.com token-1 through 1",
		"finish https://ca.example/order/2",
		"remove api.example.com token-1, api.example.com token-2 through 1",
	}
	if !slices.Equal(w.ca.swept, want) {
		t.Errorf("it did\n%s\nwant\n%s", strings.Join(w.ca.swept, "\n"), strings.Join(want, "\n"))
	}
	events := w.ledger.events(t)
	if last := events[len(events)-1]; last.Status != ledger.Success || !strings.Contains(last.Detail, "the record x stays") {
		t.Errorf("the event does not tell of what stays: %+v", last)
	}
}

// TestAnswersAreKeptFirst: where the pending secret cannot be written no record is.
func TestAnswersAreKeptFirst(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	asked := false
	w.ca.answers = func(string) string { asked = true; return "api.example.com token" }
	w.vault.fail = func(op, path string) error {
		if asked && op == "write" && strings.Contains(path, "pending/api") {
			return errors.New("sealed")
		}
		return nil
	}
	report, err := w.apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 1 || report.Results[0].Err == nil || !strings.Contains(report.Results[0].Err.Error(), "sealed") {
		t.Errorf("results %+v", report.Results)
	}
	if len(w.ca.swept) != 0 {
		t.Errorf("the CA's side went on: %v", w.ca.swept)
	}
}

// begunAnd is a world in which an attempt at a first issue has begun to answer: it has
// failed and is known to the ledger, or its run died before it could tell.
func begunAnd(t *testing.T, died bool) *world {
	t.Helper()
	for n := 1; n < 50; n++ {
		w := newWorld(t, certificate("api", "api.example.com"))
		w.ca.answers = func(string) string { return "api.example.com token-1" }
		if died {
			w.dyingAt(n)
		} else {
			w.ca.fail = func(op string, _ int) error {
				if op == "finish" {
					return &caError{class: "ca_unavailable", text: "away"}
				}
				return nil
			}
			if _, err := w.apply(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.ca.fail = nil
		}
		if s := w.vault.secrets["secret/certroll/pending/api"]; s != nil && len(s.versions) > 0 && s.versions[len(s.versions)-1].data["answers"] != "" {
			w.ca.swept, w.ca.sweptBy = nil, nil
			return w
		}
	}
	t.Fatal("no attempt came to answer anything")
	return nil
}

// TestAnswersOfWhatIsRetired: where a block is removed while an attempt is unfinished,
// what it wrote into DNS goes before the pending secret does, or the event names what
// may still be there.
func TestAnswersOfWhatIsRetired(t *testing.T) {
	const left = "remove by hand what is left at _acme-challenge.api.example.com"
	forget := func(w *world) { // as an earlier version kept it
		s := w.vault.secrets["secret/certroll/pending/api"]
		data := s.versions[len(s.versions)-1].data
		data["answers"] = `[{"order":"` + data["order_url"] + `","domain":"api.example.com","token":"token-1"}]`
	}
	for name, c := range map[string]struct {
		change func(*world)
		by     string // issuer and accounts of the removal; "": there is none
		tells  []string
	}{
		"in order":            {by: "ca dns.lab"},
		"the record stays":    {change: func(w *world) { w.ca.stay = []string{"the record x stays"} }, by: "ca dns.lab", tells: []string{"the record x stays"}},
		"the account is gone": {change: func(w *world) { delete(w.desired.DNS, "lab") }, tells: []string{"dns.lab, which may have written them, is gone", left}},
		"the account is held": {change: func(w *world) { w.desired.DNS["lab"].Held = []spec.Hold{{}} }, tells: []string{"dns.lab", left}},
		"the issuer is gone":  {change: func(w *world) { delete(w.desired.Issuers, "ca") }, tells: []string{"issuer.ca, whose account they were made with, is gone", left}},
		"the issuer is renamed": {change: func(w *world) {
			w.desired.Issuers["new"] = &spec.Issuer{Name: "new", Directory: w.desired.Issuers["ca"].Directory}
			delete(w.desired.Issuers, "ca")
		}, by: "new dns.lab"},
		"of an earlier version": {change: forget, tells: []string{"the DNS account that may have written them is not known", left}},
		"the CA is away": {change: func(w *world) {
			w.ca.fail = func(string, int) error { return &caError{class: "ca_unavailable", text: "away for now"} }
		}, tells: []string{"away for now", left}},
		"no draft any more": {change: func(w *world) {
			s := w.vault.secrets["secret/certroll/pending/api"]
			s.versions[len(s.versions)-1].data["schema"] = "9"
		}},
	} {
		for _, died := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", died ", died), func(t *testing.T) {
				t.Parallel()
				w := begunAnd(t, died)
				w.desired.Certificates = nil
				if c.change != nil {
					c.change(w)
				}
				w.at = w.at.Add(2 * plan.LeftoverAfter)
				w.settle()
				if got := strings.Join(w.ca.sweptBy, "; "); got != c.by {
					t.Errorf("removed by %q, want %q: %v", got, c.by, w.ca.swept)
				}
				if c.by != "" && !slices.Equal(w.ca.swept, []string{"remove api.example.com token-1 through 1"}) {
					t.Errorf("it did %q", w.ca.swept)
				}
				events := w.ledger.events(t)
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
				if keys := w.keysOfState(); len(keys) > 0 {
					t.Errorf("these stay: %q", keys)
				}
			})
		}
	}
}

// TestRetireIsStoppedInASweep: the pending secret stays for the next run, which goes on.
func TestRetireIsStoppedInASweep(t *testing.T) {
	w := begunAnd(t, false)
	w.desired.Certificates = nil
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.ca.fail = func(op string, _ int) error {
		if op == "remove" {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	_, _ = w.apply(ctx) // what it says is another test's
	if w.vault.secrets["secret/certroll/pending/api"] == nil {
		t.Fatal("the pending secret is gone")
	}
	w.ca.fail = nil
	w.settle()
	if len(w.ca.sweptBy) != 1 || len(w.keysOfState()) > 0 {
		t.Errorf("removed by %q, and these stay: %q", w.ca.sweptBy, w.keysOfState())
	}
}

// TestAnswersOfAnotherIssuer: an answer is made with the account that it was asked of,
// and may stand with a DNS account that the certificate does not have any more.
func TestAnswersOfAnotherIssuer(t *testing.T) {
	w := begunAnd(t, false)
	w.desired.Issuers["other"] = &spec.Issuer{Name: "other", Directory: "https://other.example/dir"}
	w.desired.DNS["new"] = &spec.DNSAccount{Name: "new", Challenge: spec.DNS01}
	c := w.desired.Certificates[0]
	c.Issuer, c.DNS = "other", []string{"new"}
	for url := range w.ca.orders {
		w.ca.orders[url] = []string{"of another CA"}
	}
	w.at = w.at.Add(time.Hour)
	w.settle()
	if want := []string{"ca dns.new dns.lab", "ca dns.new dns.lab"}; !slices.Equal(w.ca.sweptBy, want) {
		t.Errorf("removed by %q, want %q", w.ca.sweptBy, want)
	}
}
