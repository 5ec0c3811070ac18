package reconcile

import (
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestDriftIsRepairedWhileRenewalsAreHeld: a renewal that fails holds up no
// repair, which asks the CA for nothing; where it would have to, it waits as the
// renewal does.
func TestDriftIsRepairedWhileRenewalsAreHeld(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	serial := w.ledger.record(t, "api").Live.Serial
	w.at = start.Add(61 * times.Day)
	until := w.at.Add(34 * time.Hour)
	w.ca.fail = func(string, int) error {
		return &caError{class: "rate_limited", text: "429 too many certificates", at: until}
	}
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.at = w.at.Add(time.Hour)
	overwrite := func(version int) {
		t.Helper()
		if _, err := w.vault.Write(t.Context(), "secret", "tls/api", map[string]string{"tls.crt": "nonsense"}, version); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(1)
	expect(t, w.only(), ledger.KindRepair, ledger.ReasonUnfinished, "") // the renewal's pending secret is there
	w.settle()
	if got := keypair.SerialOf(w.secretPair("tls/api").Leaf()); got != serial {
		t.Errorf("serial %s is there, want %s", got, serial)
	}
	a := w.only()
	if a.Kind != ledger.KindHold || a.Reason != ledger.ReasonRateLimited || !a.NotBefore.Equal(until) {
		t.Errorf("what the CA said of when to come back is forgotten: %s %s until %s", a.Kind, a.Reason, a.NotBefore)
	}
	overwrite(3)
	expect(t, w.only(), ledger.KindRepair, ledger.ReasonDrifted, "")
	w.vault.secrets["secret/tls/api"].versions[2].deleted = true
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if a := w.only(); a.Kind != ledger.KindHold || !a.NotBefore.Equal(until) || w.ca.calls["order"] != 2 {
		t.Errorf("%s %s until %s, %d orders", a.Kind, a.Reason, a.NotBefore, w.ca.calls["order"])
	}
}

// TestAKeyThatSomebodyWroteIsNotKept: with key.rotation = "never" a secret was
// overwritten and certroll's version is gone, and with it the key to keep.
func TestAKeyThatSomebodyWroteIsNotKept(t *testing.T) {
	for name, written := range map[string]func(*world) map[string]string{
		"another pair": func(w *world) map[string]string {
			key, err := keypair.NewKey("ecdsa-P-256")
			if err != nil {
				t.Fatal(err)
			}
			text, err := keypair.EncodeKey(key)
			if err != nil {
				t.Fatal(err)
			}
			return map[string]string{"tls.crt": string(w.ca.sign([]string{"other.example.com"}, key.Public())), "tls.key": text}
		},
		"no pair": func(*world) map[string]string { return map[string]string{"note": "nothing"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := certificate("api", "api.example.com")
			c.Key.Rotation = spec.RotateNever
			w := newWorld(t, c)
			w.settle()
			foreign := written(w)
			if _, err := w.vault.Write(t.Context(), "secret", "tls/api", foreign, 1); err != nil {
				t.Fatal(err)
			}
			w.vault.secrets["secret/tls/api"].versions[0].deleted = true
			w.settle()
			p := w.secretPair("tls/api")
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
