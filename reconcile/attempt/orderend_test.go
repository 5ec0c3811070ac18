package attempt_test

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
)

// TestOrderEnds checks that certroll discards an order that never completes, also
// across restarts, for one new order with the same key.
func TestOrderEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		err         *reconciletest.CaError
		setting     time.Duration
		least, most time.Duration
		attempts    int
	}{
		"finalizing is refused while it stays ready": {&reconciletest.CaError{Code: "ca_rejected", Text: "403 unauthorized :: authorizations not found or expired"}, 0, 2 * times.Day, 3 * times.Day, 3},
		"its URL answers nothing":                    {&reconciletest.CaError{Code: "ca_unavailable", Text: "connection refused"}, 0, 11 * time.Minute, 13 * time.Minute, 3},
		"processing for days":                        {&reconciletest.CaError{Code: "ca_unavailable", Text: "has not issued", Working: true}, 0, times.Day, 2*times.Day + 6*time.Hour, 5},
		"processing, approved by hand":               {&reconciletest.CaError{Code: "ca_unavailable", Text: "has not issued", Working: true}, 72 * time.Hour, 3 * times.Day, 4*times.Day + 12*time.Hour, 7},
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
			w.Desired.Issuers["ca"].Processing = tc.setting
			w.SpoilFirst(tc.err)
			if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
				t.Fatalf("report %+v, error %v", report, err)
			}
			key := w.PendingKey()
			w.At = w.Only().NotBefore
			attempts := w.UntilLive(10)
			took := w.At.Sub(reconciletest.Start)
			if attempts++; attempts != tc.attempts || took < tc.least || took > tc.most {
				t.Errorf("live after %d attempts and %s, want %d and %s to %s", attempts, took, tc.attempts, tc.least, tc.most)
			}
			if n := len(w.Ca.Replaced); n != 2 {
				t.Errorf("%d orders, want the spoiled one and a new one", n)
			}
			if got := w.Ledger.Record(t, "api").Live.KeyDigest; got != key {
				t.Error("the new order has another key")
			}
		})
	}
}

// TestOrderOutlivesAnOutage checks that certroll keeps its order during days of CA
// outage, and after a rate limit, a CAA rejection or a DNS failure.
func TestOrderOutlivesAnOutage(t *testing.T) {
	for _, class := range []string{"ca_unavailable", "rate_limited", "caa", "dns_unavailable", "validation"} {
		t.Run(class, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
			away := 0
			w.Ca.Fail = func(op string, _ int) error {
				if op == "finish" && away < 8 || op == "order" && len(w.Ca.Orders) > 0 && class == "ca_unavailable" {
					if op == "finish" {
						away++
					}
					return &reconciletest.CaError{Code: class, Text: "it is away"}
				}
				return nil
			}
			w.UntilLive(12)
			if n := len(w.Ca.Replaced); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
		})
	}
}

// TestDraftKeepsItsCounters checks that the counters that bound an order survive a
// round trip through the pending secret.
func TestDraftKeepsItsCounters(t *testing.T) {
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		t.Fatal(err)
	}
	d := &pending.Secret{Key: key, Started: reconciletest.Start, Processing: reconciletest.Start.Add(time.Hour), Refused: 2, At: ledger.Location{Mount: "secret", Path: "tls/api"}}
	m, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := pending.DecodeSecret(m)
	if err != nil || got.Refused != 2 || !got.Processing.Equal(d.Processing) {
		t.Errorf("got %+v, error %v", got, err)
	}
	for field, value := range map[string]string{"refused": "many", "processing": "long"} {
		m[field] = value
		if _, err := pending.DecodeSecret(m); err == nil || !strings.Contains(err.Error(), value) {
			t.Errorf("%s = %q: error %v", field, value, err)
		}
		delete(m, field)
	}
}
