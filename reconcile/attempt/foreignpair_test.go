package attempt_test

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestForeignPair checks that certroll adopts a foreign pair signed by one of the
// certificate's issuers, and replaces any other pair, however valid. Both page.
func TestForeignPair(t *testing.T) {
	stranger := reconciletest.NewMemCA(t, func() time.Time { return reconciletest.Start })
	for name, tc := range map[string]struct {
		data func(w *reconciletest.World) map[string]string
		took bool
		says string
	}{
		"of its issuer": {func(w *reconciletest.World) map[string]string {
			return w.Somebodys(90*times.Day, w.Ca.Cert, w.Ca.Key, nil)
		}, true, "issuer.ca signed"},
		"signed by itself": {func(w *reconciletest.World) map[string]string { return w.Somebodys(3650*times.Day, nil, nil, nil) }, false, "none of the certificate's issuers"},
		"of another CA": {func(w *reconciletest.World) map[string]string {
			return w.Somebodys(90*times.Day, stranger.Cert, stranger.Key, nil)
		}, false, "none of the certificate's issuers"},
		"that lives longer": {func(w *reconciletest.World) map[string]string {
			return w.Somebodys(398*times.Day, w.Ca.Cert, w.Ca.Key, nil)
		}, false, "lives for 398 days"},
		"that ends before": {func(w *reconciletest.World) map[string]string {
			return w.Somebodys(45*times.Day, w.Ca.Cert, w.Ca.Key, nil)
		}, false, "before certroll's own"},
		"without the chain": {func(w *reconciletest.World) map[string]string {
			return w.Somebodys(90*times.Day, w.Ca.Cert, w.Ca.Key, func(m map[string]string) { delete(m, "chain") })
		}, false, `no field "chain"`},
		"with an old leaf too": {func(w *reconciletest.World) map[string]string {
			return w.Somebodys(90*times.Day, w.Ca.Cert, w.Ca.Key, func(m map[string]string) { m["certificate"] = string(reconciletest.PemOf(w.Ca.Cert.Raw)) })
		}, false, `field "certificate"`},
		"no pair": {func(*reconciletest.World) map[string]string { return map[string]string{"oops": "wrong path"} }, false, "no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
			w.Settle()
			was := w.Ledger.Record(t, "api").Live
			w.At = w.At.Add(times.Day)
			w.Overwrite(tc.data(w), 1)
			w.Settle()
			l := w.Ledger.Record(t, "api").Live
			if took := l.Serial != was.Serial; took != tc.took {
				t.Errorf("taken over: %v", took)
			}
			if got := keypair.SerialOf(w.SecretPair("tls/api").Leaf()); got != l.Serial {
				t.Errorf("the record speaks of %s, live is %s", l.Serial, got)
			}
			events := w.Ledger.Events(t)
			e := events[len(events)-1]
			if e.Operation != ledger.KindRepair || e.Severity != ledger.SeverityPage || !strings.Contains(e.Detail, tc.says) {
				t.Errorf("event: %+v", e)
			}
			reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
			if n := len(w.Ca.Replaced); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
		})
	}
}

// TestAdoptedPairVouchesForNobody checks that adopting a pair at the start does not
// make its CA one of the issuer's known CAs.
func TestAdoptedPairVouchesForNobody(t *testing.T) {
	stranger := reconciletest.NewMemCA(t, func() time.Time { return reconciletest.Start })
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Overwrite(w.Somebodys(90*times.Day, stranger.Cert, stranger.Key, nil), 0)
	w.Settle()
	was := w.Ledger.Record(t, "api").Live
	if !was.Adopted {
		t.Fatalf("live: %+v", was)
	}
	w.At = w.At.Add(times.Day)
	w.Overwrite(w.Somebodys(90*times.Day, stranger.Cert, stranger.Key, nil), 1)
	w.Settle()
	if got := keypair.SerialOf(w.SecretPair("tls/api").Leaf()); got != was.Serial {
		t.Error("another pair of that CA was taken over")
	}
}

// TestOwnPairWrittenAgain checks that certroll keeps a field that somebody adds to its
// secret.
func TestOwnPairWrittenAgain(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	data, _, err := w.Vault.Read(t.Context(), "secret", "tls/api")
	if err != nil {
		t.Fatal(err)
	}
	data["note"] = "mine"
	w.Overwrite(data, 1)
	w.Settle()
	if got, version, _ := w.Vault.Read(t.Context(), "secret", "tls/api"); got["note"] != "mine" || version != 2 {
		t.Errorf("version %d: %v", version, got["note"])
	}
	if l := w.Ledger.Record(t, "api").Live; l.Version != 2 || l.Adopted || l.ARI == "" {
		t.Errorf("live: %+v", l)
	}
	reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
}

// TestLeftAlone checks that with renewal.auto off certroll writes only for an explicit
// rotate, and notes each foreign version once.
func TestLeftAlone(t *testing.T) {
	nonsense := map[string]string{"oops": "the next manager's"}
	for name, tc := range map[string]struct {
		change func(w *reconciletest.World)
		says   string
	}{
		"overwritten":        {func(w *reconciletest.World) { w.Overwrite(nonsense, 1) }, "version 2 of secret/tls/api was not written by certroll"},
		"a shorter pair":     {func(w *reconciletest.World) { w.Overwrite(w.Somebodys(6*times.Day, w.Ca.Cert, w.Ca.Key, nil), 1) }, "version 2"},
		"deleted":            {func(w *reconciletest.World) { _ = w.Vault.Delete(w.T.Context(), "secret", "tls/api") }, "was deleted"},
		"gone with its past": {func(w *reconciletest.World) { _ = w.Vault.Destroy(w.T.Context(), "secret", "tls/api") }, "any more"},
		"replaced with its metadata": {func(w *reconciletest.World) {
			_ = w.Vault.Destroy(w.T.Context(), "secret", "tls/api")
			w.Overwrite(nonsense, 0)
		}, "was not written by certroll"},
	} {
		t.Run(name, func(t *testing.T) {
			c := reconciletest.Certificate("api", "api.example.com")
			w := reconciletest.NewWorld(t, c)
			w.Settle()
			c.Renewal.Auto = false
			w.Settle()
			tc.change(w)
			reconciletest.Expect(t, w.Only(), ledger.KindNote, ledger.ReasonLeftAlone, tc.says)
			writes := w.Vault.Writes
			for range 3 {
				w.Settle()
				w.At = w.At.Add(40 * times.Day)
			}
			reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUnmanaged, tc.says)
			notes := 0
			for _, e := range w.Ledger.Events(t) {
				if e.Reason == ledger.ReasonLeftAlone {
					notes++
				}
			}
			if notes != 1 || w.Vault.Writes != writes {
				t.Errorf("%d notes and %d writes, want one note alone", notes, w.Vault.Writes-writes)
			}
			if n := len(w.Ca.Replaced); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
			w.Settle()
			if name == "replaced with its metadata" {
				return // now a foreign secret: a rotation does not overwrite it either
			}
			c.Rotate = "now"
			w.Settle()
			if err := w.SecretPair("tls/api").Check([]string{"api.example.com"}, w.At); err != nil {
				t.Errorf("after a rotation was asked for: %v", err)
			}
			if r := w.Ledger.Record(t, "api"); r.ForeignVersion != nil {
				t.Errorf("record: foreign version %d", *r.ForeignVersion)
			}
		})
	}
}

// TestLeftAloneUntilItIsOn checks that certroll repairs the secret once renewal.auto is
// on again.
func TestLeftAloneUntilItIsOn(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	c.Renewal.Auto = false
	w.Settle()
	w.Overwrite(map[string]string{"oops": "wrong"}, 1)
	w.Settle()
	c.Renewal = spec.Renewal{Auto: true, ThresholdDays: 30}
	w.Settle()
	w.Settle()
	reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	if err := w.SecretPair("tls/api").Check([]string{"api.example.com"}, w.At); err != nil {
		t.Error(err)
	}
}
