package acme

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/acme/solver"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// wholesale is a fake of the DNS service behind lego's dnsimple provider. The service
// stores single records, but lego removes all TXT records of a name on clean-up.
type wholesale struct {
	dns *lab.DNS

	mu      sync.Mutex
	records map[int]oneRecord
	last    int
	created int
	mute    bool   // the name server never gets the records
	removed func() // called for each removal; nil: nothing
}

type oneRecord struct {
	ID      int    `json:"id"`
	ZoneID  string `json:"zone_id"`
	Name    string `json:"name"`
	Content string `json:"content"`
	Type    string `json:"type"`
}

func (w *wholesale) account(t testing.TB, r *rig, name string) *spec.DNSAccount {
	t.Helper()
	w.dns, w.records = r.dns, map[int]oneRecord{}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	return &spec.DNSAccount{
		Reach: spec.Reach{Anything: true},
		Name:  name, Challenge: spec.DNS01, Provider: "dnsimple", FollowCNAME: true, Parallel: 4,
		Credentials: map[string]spec.Value{"DNSIMPLE_BASE_URL": literal(server.URL), "DNSIMPLE_OAUTH_TOKEN": literal("token-of-a-test")},
		Propagation: spec.Propagation{Nameservers: []string{r.dns.Addr}, Timeout: time.Minute, Interval: 100 * time.Millisecond},
	}
}

func (w *wholesale) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var data any
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/") // v2/1/zones/ZONE/records/ID
	switch {
	case strings.HasSuffix(req.URL.Path, "/whoami"):
		data = map[string]any{"account": map[string]any{"id": 1}}
	case len(parts) == 4:
		data = map[string]any{"id": 1, "account_id": 1, "name": parts[3]}
	case req.Method == http.MethodPost:
		var r oneRecord
		if err := json.NewDecoder(req.Body).Decode(&r); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		w.last++
		w.created++
		r.ID, r.ZoneID = w.last, parts[3]
		w.records[r.ID] = r
		data = r
	case req.Method == http.MethodDelete:
		if w.removed != nil {
			w.removed()
		}
		for id, r := range w.records {
			if fmt.Sprint(id) == parts[5] {
				delete(w.records, id)
				w.publish(r.Name + "." + r.ZoneID + ".")
			}
		}
		rw.WriteHeader(http.StatusNoContent)
		return
	default:
		found := []oneRecord{}
		for _, r := range w.records {
			if r.Name == req.URL.Query().Get("name") {
				found = append(found, r)
			}
		}
		data = found
	}
	if r, ok := data.(oneRecord); ok {
		w.publish(r.Name + "." + r.ZoneID + ".")
		rw.WriteHeader(http.StatusCreated)
	}
	_ = json.NewEncoder(rw).Encode(map[string]any{"data": data})
}

// publish makes the name server serve the records stored for a name.
func (w *wholesale) publish(name string) {
	if w.mute {
		return
	}
	w.dns.Remove(name, "TXT")
	for _, r := range w.records {
		if r.Name+"."+r.ZoneID+"." == name {
			_ = w.dns.Add(fmt.Sprintf("%s 1 IN TXT %q", name, r.Content))
		}
	}
}

// write adds a foreign record.
func (w *wholesale) write(name, zone, content string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	w.records[w.last] = oneRecord{ID: w.last, ZoneID: zone, Name: name, Content: content, Type: "TXT"}
	w.publish(name + "." + zone + ".")
}

func (w *wholesale) writes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.created
}

// TestForeignRecordHoldsTheOrder checks a provider that removes the whole record set:
// certroll does not use it while a foreign record is at the name, and keeps the order.
func TestForeignRecordHoldsTheOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	w := &wholesale{}
	a := w.account(t, r, "simple")
	c := r.client()
	w.write("_acme-challenge.f1", "lab.test", "foreign-value")
	key, csr := request(t, "f1.lab.test")
	url := r.order(c, "f1.lab.test")
	_, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{a}, r.log.add)
	e := fails(t, err, ledger.ClassDNSOccupied, false)
	if strings.Contains(e.Error(), "foreign-value") || !strings.Contains(e.Error(), "_acme-challenge.f1.lab.test") || !strings.Contains(e.Error(), "CNAME") {
		t.Errorf("the error is %q", e)
	}
	if n := w.writes(); n != 0 {
		t.Errorf("%d records were written", n)
	}
	if got := r.dns.TXT("_acme-challenge.f1.lab.test."); !slices.Equal(got, []string{"foreign-value"}) {
		t.Errorf("the name has %v", got)
	}
	t.Run("another account takes over", func(t *testing.T) {
		chain, used, passed, err := c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{a, account("rfc", r.server())}, r.log.add)
		if err != nil || used != "rfc" || len(passed) != 0 {
			t.Fatalf("used %q, passed over %v, error %v", used, passed, err)
		}
		r.verify(chain, key, "f1.lab.test")
	})
}

// TestForeignRecordGone checks that the same order resumes once the foreign record is
// gone. A name and its wildcard are answered together, and no record is left behind.
func TestForeignRecordGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	w := &wholesale{}
	a := w.account(t, r, "simple")
	c := r.client()
	if err := r.dns.Add(`_acme-challenge.f2.lab.test. 1 IN TXT "foreign"`); err != nil {
		t.Fatal(err)
	}
	names := []string{"f2.lab.test", "*.f2.lab.test"}
	key, csr := request(t, names...)
	url := r.order(c, names...)
	_, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{a}, r.log.add)
	fails(t, err, ledger.ClassDNSOccupied, false)
	r.dns.Remove("_acme-challenge.f2.lab.test.", "TXT")
	chain, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{a}, r.log.add)
	if err != nil {
		t.Fatal(err)
	}
	r.verify(chain, key, names...)
	r.clean()
}

// TestRecordJoined checks that a foreign record added during validation survives:
// certroll leaves its own record in place and reports it.
func TestRecordJoined(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	w := &wholesale{}
	a := w.account(t, r, "simple")
	r.log.on = func(step, _ string) {
		if step == "validate" {
			w.write("_acme-challenge.f3", "lab.test", "foreign")
		}
	}
	c := r.client()
	r.issue(c, []*spec.DNSAccount{a}, "f3.lab.test")
	if got := r.dns.TXT("_acme-challenge.f3.lab.test."); len(got) != 2 || !slices.Contains(got, "foreign") {
		t.Errorf("the name has %v, want somebody else's record and ours", got)
	}
	if !r.log.has("cleanup: the TXT record _acme-challenge.f3.lab.test.") || !r.log.has("is not removed") {
		t.Errorf("it was not told:\n%s", r.log)
	}
}

// TestAnswersOfAnEarlierProcess checks that certroll recognizes and removes challenge
// records left by a process that died.
func TestAnswersOfAnEarlierProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	w := &wholesale{}
	simple, rfc := w.account(t, r, "simple"), account("rfc", r.server())
	var answers []string
	r.log.on = func(step, detail string) {
		if step == solver.StepAnswers {
			answers = append(answers, strings.Split(detail, "\n")...)
		}
	}
	// The first process ends without clean-up: its children are already gone at that
	// point.
	left := func(a *spec.DNSAccount, name string) {
		ctx, cancel := context.WithCancel(t.Context())
		first := New(r.store, r.opts)
		on := r.log.on
		r.log.on = func(step, detail string) {
			on(step, detail)
			if step == "validate" {
				_ = first.Close()
				cancel()
			}
		}
		_, csr := request(t, name)
		if _, _, _, err := first.Finish(ctx, r.issuer, r.order(first, name), csr, []*spec.DNSAccount{a}, r.log.add); err == nil {
			t.Fatal("it was not interrupted")
		}
		r.log.on = on
	}
	r.client() // sets the child's program
	left(simple, "d1.lab.test")
	left(rfc, "d2.lab.test")
	if got := r.dns.Challenges(); len(got) != 2 {
		t.Fatalf("records are left at %v, want two names", got)
	}
	c := r.client()
	stays, err := c.RemoveAnswers(t.Context(), r.issuer, []*spec.DNSAccount{rfc, simple}, append(answers, "gone.lab.test dG9rZW4"), r.log.add)
	if err != nil || len(stays) != 0 {
		t.Fatalf("left %v, error %v\n%s", stays, err, r.log)
	}
	r.clean()
	t.Run("beside a record of somebody else", func(t *testing.T) {
		left(simple, "d3.lab.test")
		w.write("_acme-challenge.d3", "lab.test", "foreign")
		stays, err := r.client().RemoveAnswers(t.Context(), r.issuer, []*spec.DNSAccount{simple}, answers, r.log.add)
		if err != nil || len(stays) != 1 || !strings.Contains(stays[0], "_acme-challenge.d3.lab.test.") {
			t.Errorf("left %q, error %v", stays, err)
		}
		if got := r.dns.TXT("_acme-challenge.d3.lab.test."); len(got) != 2 {
			t.Errorf("the name has %v", got)
		}
	})
}

// TestOwnNamesAreNoWait checks that an order whose names share one challenge name reports
// no wait for another order: its names are validated one after the other.
func TestOwnNamesAreNoWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	a := (&wholesale{}).account(t, r, "whole")
	var names []string
	for i := range 3 {
		names = append(names, fmt.Sprintf("own%d.lab.test", i))
		if err := r.dns.Add(fmt.Sprintf("_acme-challenge.own%d.lab.test. 1 IN CNAME _acme-challenge.shared.other.test.", i)); err != nil {
			t.Fatal(err)
		}
	}
	c := r.client()
	r.issue(c, []*spec.DNSAccount{a}, names...)
	if r.log.has("turn: ") {
		t.Errorf("one order alone waited for a turn:\n%s", r.log)
	}
	t.Run("another order has the name", func(t *testing.T) {
		unlock, err := c.publisher.Lock(t.Context(), "_acme-challenge.shared.other.test.")
		if err != nil {
			t.Fatal(err)
		}
		r.log.on = func(step, detail string) {
			if step == "turn" && detail != "" {
				unlock()
			}
		}
		if err := r.dns.Add("_acme-challenge.own3.lab.test. 1 IN CNAME _acme-challenge.shared.other.test."); err != nil {
			t.Fatal(err)
		}
		r.issue(c, []*spec.DNSAccount{a}, "own3.lab.test")
	})
}

// TestFailureBesideAWait checks that the CA's rejection of one name is the error of the
// order, though another name was still waiting for its turn when the time was over.
func TestFailureBesideAWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	timeUp := &deadline{Context: t.Context(), done: make(chan struct{})}
	waits := make(chan struct{})
	// The record of "bad" is removed after the CA rejected it.
	w := &wholesale{mute: true, removed: sync.OnceFunc(func() { <-waits; close(timeUp.done) })}
	a := w.account(t, r, "whole")
	a.Propagation = spec.Propagation{Wait: time.Millisecond, Nameservers: a.Propagation.Nameservers}
	c := r.client()
	unlock, err := c.publisher.Lock(t.Context(), "_acme-challenge.wait.lab.test.")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	r.log.on = func(step, detail string) {
		if step == "turn" && detail != "" {
			close(waits)
		}
	}
	names := []string{"wait.lab.test", "bad.lab.test"}
	_, csr := request(t, names...)
	_, _, _, err = c.Finish(timeUp, r.issuer, r.order(c, names...), csr, []*spec.DNSAccount{a}, r.log.add)
	if e := fails(t, err, ledger.ClassValidation, true); !slices.Equal(e.Names(), []string{"bad.lab.test"}) {
		t.Errorf("the error is of %v: %v", e.Names(), e)
	}
}

// deadline is a context whose time is over when done is closed.
type deadline struct {
	context.Context
	done chan struct{}
}

func (d *deadline) Done() <-chan struct{} { return d.done }

func (d *deadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
