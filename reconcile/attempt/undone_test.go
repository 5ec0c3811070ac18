package attempt_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/recorder"
	"certroll/reconcile/times"
)

// gone lists the ways in which a secret can disappear.
var gone = map[string]func(*reconciletest.World){
	"deleted": func(w *reconciletest.World) {
		s := w.Vault.Secrets["secret/tls/api"]
		s.Versions[len(s.Versions)-1].Deleted = true
	},
	"all versions destroyed": func(w *reconciletest.World) {
		for i := range w.Vault.Secrets["secret/tls/api"].Versions {
			w.Vault.Secrets["secret/tls/api"].Versions[i].Deleted = true
		}
	},
	"removed with its metadata": func(w *reconciletest.World) { delete(w.Vault.Secrets, "secret/tls/api") },
}

// TestASecretThatKeepsDisappearingIsHeld checks that certroll reissues a secret that
// somebody keeps deleting once per tenth of its lifetime, across restarts, and pages.
func TestASecretThatKeepsDisappearingIsHeld(t *testing.T) {
	for name, undo := range gone {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
			w.Settle()
			for range 200 {
				w.At = w.At.Add(time.Minute)
				undo(w)
				w.Settle()
			}
			if n := len(w.Ca.Orders); n != 2 {
				t.Fatalf("%d orders, want the first and one more", n)
			}
			a := w.Only()
			reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonUndone, "is gone again")
			if want := reconciletest.Start.Add(time.Minute + (w.Ledger.Record(t, "api").Live.Lifetime() / 10).Truncate(time.Second)); !a.NotBefore.Equal(want) || a.Wants != ledger.KindIssue {
				t.Errorf("%s waits until %s, want %s", a.Wants, a.NotBefore, want)
			}
			for _, evidence := range []string{"secret/tls/api", "certroll wrote version", reconciletest.Start.Add(time.Minute).Format(time.RFC3339), "certroll retry api"} {
				if !strings.Contains(a.Detail, evidence) {
					t.Errorf("%q is not in: %s", evidence, a.Detail)
				}
			}
			var events []ledger.Event
			for _, e := range w.Ledger.Events(t) {
				if e.Reason == ledger.ReasonUndone {
					events = append(events, e)
				}
			}
			if len(events) != 1 || events[0].Severity != ledger.SeverityPage || events[0].Certificate != "api" || events[0].VaultPath != "secret/tls/api" {
				t.Errorf("told: %+v", events)
			}
			w.At = a.NotBefore
			w.Settle()
			undo(w)
			if reconciletest.Expect(t, w.Only(), ledger.KindHold, ledger.ReasonUndone, ""); len(w.Ca.Orders) != 3 {
				t.Errorf("%d orders after the wait", len(w.Ca.Orders))
			}
		})
	}
}

// TestRetryEndsAHoldOfWhatWasUndone checks that certroll retry ends the hold of a
// secret that kept disappearing.
func TestRetryEndsAHoldOfWhatWasUndone(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	for range 2 {
		gone["deleted"](w)
		w.At = w.At.Add(time.Minute)
		w.Settle()
	}
	reconciletest.Expect(t, w.Only(), ledger.KindHold, ledger.ReasonUndone, "")
	until := w.Only().NotBefore
	done, commit, err := w.Retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk"})
	if err != nil || commit == "" || done[0].Event == nil {
		t.Fatalf("%+v, %q, %v", done, commit, err)
	}
	if u := done[0].Undone; u == nil || !u.Held || !u.Until.Equal(until) || !strings.HasSuffix(done[0].Event.Detail, "; it was held until "+until.Format(time.RFC3339)+" (undone)") {
		t.Errorf("the hold that ended: %+v; event %+v", u, done[0].Event)
	}
	reconciletest.Expect(t, w.Only(), ledger.KindIssue, ledger.ReasonDeleted, "")
	w.Settle()
	if len(w.Ca.Orders) != 3 {
		t.Errorf("%d orders", len(w.Ca.Orders))
	}
	// The secret is there now: nothing is held, and only its next loss would be.
	done, _, err = w.Retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk"})
	if err != nil || done[0].Hold != nil || done[0].Undone == nil || done[0].Undone.Held || strings.Contains(done[0].Event.Detail, "held") {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestWhatIsGoneOnceInALifeIsIssuedAtOnce checks that a secret deleted once is reissued
// at once: certroll holds only repeated deletions.
func TestWhatIsGoneOnceInALifeIsIssuedAtOnce(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	for i := range 5 {
		gone["deleted"](w)
		w.At = w.At.Add(9*times.Day + time.Hour)
		w.Settle()
		if len(w.Ca.Orders) != i+2 {
			t.Fatalf("%d orders after %d times", len(w.Ca.Orders), i+1)
		}
	}
}

// TestWhatCertrollDeletedItselfIsNotUndone checks that a block that was removed and
// restored is issued at once.
func TestWhatCertrollDeletedItselfIsNotUndone(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.OnRemove = "delete"
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	for i := range 3 {
		w.Desired.Certificates = nil
		w.Settle()
		w.Desired.Certificates = append(w.Desired.Certificates, c)
		w.At = w.At.Add(time.Hour)
		w.Settle()
		if len(w.Ca.Orders) != i+2 {
			t.Fatalf("%d orders after %d times", len(w.Ca.Orders), i+1)
		}
	}
}

// TestASecretThatKeepsBeingOverwrittenIsHeld checks that certroll restores an
// overwritten secret once at once and then once an hour, without orders.
func TestASecretThatKeepsBeingOverwrittenIsHeld(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	serial := keypair.SerialOf(w.SecretPair("tls/api").Leaf())
	overwrite := func() {
		t.Helper()
		s := w.Vault.Secrets["secret/tls/api"]
		if _, err := w.Vault.Write(context.Background(), "secret", "tls/api", map[string]string{"oops": "again"}, len(s.Versions)); err != nil {
			t.Fatal(err)
		}
	}
	restored := 0
	for range 120 {
		w.At = w.At.Add(time.Minute)
		overwrite()
		before := len(w.Vault.Secrets["secret/tls/api"].Versions)
		w.Settle()
		restored += len(w.Vault.Secrets["secret/tls/api"].Versions) - before
	}
	if restored != 2 || len(w.Ca.Orders) != 1 {
		t.Errorf("restored %d times with %d orders in two hours, want 2 and 1", restored, len(w.Ca.Orders))
	}
	a := w.Only()
	reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonUndone, "was overwritten again")
	if a.Wants != ledger.KindRepair || a.NotBefore.Sub(w.At) > time.Hour {
		t.Errorf("%s waits until %s", a.Wants, a.NotBefore)
	}
	w.At = a.NotBefore
	w.Settle()
	if got := keypair.SerialOf(w.SecretPair("tls/api").Leaf()); got != serial {
		t.Errorf("serial %s is there, want %s", got, serial)
	}
}

// TestAnUndoneTimeOfAFastClockHoldsNothing checks that a stored time in the future
// holds nothing. Otherwise the hold would last until then.
func TestAnUndoneTimeOfAFastClockHoldsNothing(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	w.At = w.At.Add(400 * times.Day)
	r := w.Ledger.Record(t, "api")
	r.Undone = []ledger.Undone{{At: w.At.Add(1000 * times.Day), Reason: ledger.ReasonDeleted, Version: 1}}
	if u := plan.LastUndone(r, w.At); u != nil {
		t.Errorf("a time that is to come holds: %+v", u)
	}
	r.Undone = append([]ledger.Undone{{At: w.At.Add(-times.Day), Reason: ledger.ReasonDeleted, Version: 1}}, r.Undone...)
	if u := plan.LastUndone(r, w.At); u == nil || !u.At.Equal(w.At.Add(-times.Day)) {
		t.Errorf("the credible time before it is not found: %+v", u)
	}
}
