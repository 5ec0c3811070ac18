package attempt_test

import (
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestDriftIsRepairedWhileRenewalsAreHeld checks that a failing renewal does not delay
// a repair that needs no CA. A repair that needs the CA waits like the renewal.
func TestDriftIsRepairedWhileRenewalsAreHeld(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	serial := w.Ledger.Record(t, "api").Live.Serial
	w.At = reconciletest.Start.Add(61 * times.Day)
	until := w.At.Add(34 * time.Hour)
	w.Ca.Fail = func(string, int) error {
		return &reconciletest.CaError{Code: "rate_limited", Text: "429 too many certificates", At: until}
	}
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.At = w.At.Add(time.Hour)
	overwrite := func(version int) {
		t.Helper()
		if _, err := w.Vault.Write(t.Context(), "secret", "tls/api", map[string]string{"tls.crt": "nonsense"}, version); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(1)
	reconciletest.Expect(t, w.Only(), ledger.KindRepair, ledger.ReasonUnfinished, "") // the renewal's pending secret exists
	w.Settle()
	if got := keypair.SerialOf(w.SecretPair("tls/api").Leaf()); got != serial {
		t.Errorf("serial %s is there, want %s", got, serial)
	}
	a := w.Only()
	if a.Kind != ledger.KindHold || a.Reason != ledger.ReasonRateLimited || !a.NotBefore.Equal(until) {
		t.Errorf("what the CA said of when to come back is forgotten: %s %s until %s", a.Kind, a.Reason, a.NotBefore)
	}
	overwrite(3)
	reconciletest.Expect(t, w.Only(), ledger.KindRepair, ledger.ReasonDrifted, "")
	w.Vault.Secrets["secret/tls/api"].Versions[2].Deleted = true
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if a := w.Only(); a.Kind != ledger.KindHold || !a.NotBefore.Equal(until) || w.Ca.Calls["order"] != 2 {
		t.Errorf("%s %s until %s, %d orders", a.Kind, a.Reason, a.NotBefore, w.Ca.Calls["order"])
	}
}

// TestAKeyThatSomebodyWroteIsNotKept checks key.rotation = "never" after a foreign
// overwrite: certroll's version and its key are gone, and certroll does not keep the
// foreign key.
func TestAKeyThatSomebodyWroteIsNotKept(t *testing.T) {
	for name, written := range map[string]func(*reconciletest.World) map[string]string{
		"another pair": func(w *reconciletest.World) map[string]string {
			key, err := keypair.NewKey("ecdsa-P-256")
			if err != nil {
				t.Fatal(err)
			}
			text, err := keypair.EncodeKey(key)
			if err != nil {
				t.Fatal(err)
			}
			return map[string]string{"tls.crt": string(w.Ca.Sign([]string{"other.example.com"}, key.Public())), "tls.key": text}
		},
		"no pair": func(*reconciletest.World) map[string]string { return map[string]string{"note": "nothing"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := reconciletest.Certificate("api", "api.example.com")
			c.Key.Rotation = spec.RotateNever
			w := reconciletest.NewWorld(t, c)
			w.Settle()
			foreign := written(w)
			if _, err := w.Vault.Write(t.Context(), "secret", "tls/api", foreign, 1); err != nil {
				t.Fatal(err)
			}
			w.Vault.Secrets["secret/tls/api"].Versions[0].Deleted = true
			w.Settle()
			p := w.SecretPair("tls/api")
			text, err := keypair.EncodeKey(p.Key)
			if err != nil {
				t.Fatal(err)
			}
			if text == foreign["tls.key"] || p.Leaf().DNSNames[0] != "api.example.com" {
				t.Error("what is live has the key that somebody else wrote")
			}
		})
	}
}
