package reconcile

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/times"
)

// spoilFirst lets every finishing of the first order fail with err, and keeps the CA
// from handing that order out again.
func (w *world) spoilFirst(err *caError) {
	w.ca.fail = func(op string, _ int) error {
		if op != "finish" || len(w.ca.orders) > 1 {
			return nil
		}
		for url := range w.ca.orders {
			w.ca.orders[url] = []string{"spoiled.example.com"}
		}
		return err
	}
}

// untilLive applies at the end of each hold, and returns after how many attempts
// the certificate was live.
func (w *world) untilLive(most int) (attempts int) {
	w.t.Helper()
	for attempts = 1; attempts <= most; attempts++ {
		report, err := w.apply(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if report.Failed() == 0 && len(report.Results) == 1 {
			return attempts
		}
		if a := w.only(); a.Kind == ledger.KindHold {
			w.at = a.NotBefore
		}
	}
	w.t.Fatalf("it is not live after %d attempts", most)
	return 0
}

// pendingKey is the key of the pending secret.
func (w *world) pendingKey() string {
	w.t.Helper()
	d, err := w.reconciler().PendingSecrets.Load(w.t.Context(), "api")
	if err != nil || d == nil {
		w.t.Fatalf("no pending secret: %v", err)
	}
	return d.KeyDigest
}

// TestOrderEnds: an order that comes to no end is given up, over restarts, for one
// new order with the same key.
func TestOrderEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		err         *caError
		setting     time.Duration
		least, most time.Duration
		attempts    int
	}{
		"finalizing is refused while it stays ready": {&caError{class: "ca_rejected", text: "403 unauthorized :: authorizations not found or expired"}, 0, 2 * times.Day, 3 * times.Day, 3},
		"its URL answers nothing":                    {&caError{class: "ca_unavailable", text: "connection refused"}, 0, 11 * time.Minute, 13 * time.Minute, 3},
		"processing for days":                        {&caError{class: "ca_unavailable", text: "has not issued", working: true}, 0, times.Day, 2*times.Day + 6*time.Hour, 5},
		"processing, approved by hand":               {&caError{class: "ca_unavailable", text: "has not issued", working: true}, 72 * time.Hour, 3 * times.Day, 4*times.Day + 12*time.Hour, 7},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, certificate("api", "api.example.com"))
			w.desired.Issuers["ca"].Processing = tc.setting
			w.spoilFirst(tc.err)
			if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
				t.Fatalf("report %+v, error %v", report, err)
			}
			key := w.pendingKey()
			w.at = w.only().NotBefore
			attempts := w.untilLive(10)
			took := w.at.Sub(start)
			if attempts++; attempts != tc.attempts || took < tc.least || took > tc.most {
				t.Errorf("live after %d attempts and %s, want %d and %s to %s", attempts, took, tc.attempts, tc.least, tc.most)
			}
			if n := len(w.ca.replaced); n != 2 {
				t.Errorf("%d orders, want the spoiled one and a new one", n)
			}
			if got := w.ledger.record(t, "api").Live.KeyDigest; got != key {
				t.Error("the new order has another key")
			}
		})
	}
}

// TestOrderOutlivesAnOutage: a CA that is away for days costs no order, and neither
// does a limit, a CAA record or a DNS account that fails.
func TestOrderOutlivesAnOutage(t *testing.T) {
	for _, class := range []string{"ca_unavailable", "rate_limited", "caa", "dns_unavailable", "validation"} {
		t.Run(class, func(t *testing.T) {
			w := newWorld(t, certificate("api", "api.example.com"))
			away := 0
			w.ca.fail = func(op string, _ int) error {
				if op == "finish" && away < 8 || op == "order" && len(w.ca.orders) > 0 && class == "ca_unavailable" {
					if op == "finish" {
						away++
					}
					return &caError{class: class, text: "it is away"}
				}
				return nil
			}
			w.untilLive(12)
			if n := len(w.ca.replaced); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
		})
	}
}

// TestDraftKeepsItsCounters: what bounds an order is read back as it was written.
func TestDraftKeepsItsCounters(t *testing.T) {
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		t.Fatal(err)
	}
	d := &pending.Secret{Key: key, Started: start, Processing: start.Add(time.Hour), Refused: 2, At: ledger.Location{Mount: "secret", Path: "tls/api"}}
	m, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := pending.DecodeDraft(m)
	if err != nil || got.Refused != 2 || !got.Processing.Equal(d.Processing) {
		t.Errorf("got %+v, error %v", got, err)
	}
	for field, value := range map[string]string{"refused": "many", "processing": "long"} {
		m[field] = value
		if _, err := pending.DecodeDraft(m); err == nil || !strings.Contains(err.Error(), value) {
			t.Errorf("%s = %q: error %v", field, value, err)
		}
		delete(m, field)
	}
}
