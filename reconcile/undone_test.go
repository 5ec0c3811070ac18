package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/reconcile/times"
)

// gone are the ways in which a secret disappears.
var gone = map[string]func(*world){
	"deleted": func(w *world) {
		s := w.vault.secrets["secret/tls/api"]
		s.versions[len(s.versions)-1].deleted = true
	},
	"all versions destroyed": func(w *world) {
		for i := range w.vault.secrets["secret/tls/api"].versions {
			w.vault.secrets["secret/tls/api"].versions[i].deleted = true
		}
	},
	"removed with its metadata": func(w *world) { delete(w.vault.secrets, "secret/tls/api") },
}

// TestASecretThatKeepsDisappearingIsHeld: what somebody else deletes is ordered
// once again in a tenth of its life, whatever restarts, and a person is woken.
func TestASecretThatKeepsDisappearingIsHeld(t *testing.T) {
	for name, undo := range gone {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, certificate("api", "api.example.com"))
			w.settle()
			for range 200 {
				w.at = w.at.Add(time.Minute)
				undo(w)
				w.settle()
			}
			if n := len(w.ca.orders); n != 2 {
				t.Fatalf("%d orders, want the first and one more", n)
			}
			a := w.only()
			expect(t, a, ledger.KindHold, ledger.ReasonUndone, "is gone again")
			if want := start.Add(time.Minute + (w.ledger.record(t, "api").Live.Lifetime() / 10).Truncate(time.Second)); !a.NotBefore.Equal(want) || a.Wants != ledger.KindIssue {
				t.Errorf("%s waits until %s, want %s", a.Wants, a.NotBefore, want)
			}
			for _, evidence := range []string{"secret/tls/api", "certroll wrote version", start.Add(time.Minute).Format(time.RFC3339), "certroll retry api"} {
				if !strings.Contains(a.Detail, evidence) {
					t.Errorf("%q is not in: %s", evidence, a.Detail)
				}
			}
			var told []ledger.Event
			for _, e := range w.ledger.events(t) {
				if e.Reason == ledger.ReasonUndone {
					told = append(told, e)
				}
			}
			if len(told) != 1 || told[0].Severity != ledger.SeverityPage || told[0].Certificate != "api" || told[0].VaultPath != "secret/tls/api" {
				t.Errorf("told: %+v", told)
			}
			w.at = a.NotBefore
			w.settle()
			undo(w)
			if expect(t, w.only(), ledger.KindHold, ledger.ReasonUndone, ""); len(w.ca.orders) != 3 {
				t.Errorf("%d orders after the wait", len(w.ca.orders))
			}
		})
	}
}

// TestRetryEndsAHoldOfWhatWasUndone: whoever has found the cause waits no longer.
func TestRetryEndsAHoldOfWhatWasUndone(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	for range 2 {
		gone["deleted"](w)
		w.at = w.at.Add(time.Minute)
		w.settle()
	}
	expect(t, w.only(), ledger.KindHold, ledger.ReasonUndone, "")
	done, commit, err := w.retry(recorder.Retry{Certificates: []string{"api"}, Actor: "ann@desk"})
	if err != nil || commit == "" || done[0].Event == nil {
		t.Fatalf("%+v, %q, %v", done, commit, err)
	}
	expect(t, w.only(), ledger.KindIssue, ledger.ReasonDeleted, "")
	w.settle()
	if len(w.ca.orders) != 3 {
		t.Errorf("%d orders", len(w.ca.orders))
	}
}

// TestWhatIsGoneOnceInALifeIsIssuedAtOnce: only what is near the last time is held.
func TestWhatIsGoneOnceInALifeIsIssuedAtOnce(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	for i := range 5 {
		gone["deleted"](w)
		w.at = w.at.Add(9*times.Day + time.Hour)
		w.settle()
		if len(w.ca.orders) != i+2 {
			t.Fatalf("%d orders after %d times", len(w.ca.orders), i+1)
		}
	}
}

// TestWhatCertrollDeletedItselfIsNotUndone: a block that was taken out and put
// back is issued at once.
func TestWhatCertrollDeletedItselfIsNotUndone(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.OnRemove = "delete"
	w := newWorld(t, c)
	w.settle()
	for i := range 3 {
		w.desired.Certificates = nil
		w.settle()
		w.desired.Certificates = append(w.desired.Certificates, c)
		w.at = w.at.Add(time.Hour)
		w.settle()
		if len(w.ca.orders) != i+2 {
			t.Fatalf("%d orders after %d times", len(w.ca.orders), i+1)
		}
	}
}

// TestASecretThatKeepsBeingOverwrittenIsHeld: the readers get certroll's version
// back once at once and then once an hour; each time costs no order.
func TestASecretThatKeepsBeingOverwrittenIsHeld(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	serial := keypair.SerialOf(w.secretPair("tls/api").Leaf())
	overwrite := func() {
		t.Helper()
		s := w.vault.secrets["secret/tls/api"]
		if _, err := w.vault.Write(context.Background(), "secret", "tls/api", map[string]string{"oops": "again"}, len(s.versions)); err != nil {
			t.Fatal(err)
		}
	}
	restored := 0
	for range 120 {
		w.at = w.at.Add(time.Minute)
		overwrite()
		before := len(w.vault.secrets["secret/tls/api"].versions)
		w.settle()
		restored += len(w.vault.secrets["secret/tls/api"].versions) - before
	}
	if restored != 2 || len(w.ca.orders) != 1 {
		t.Errorf("restored %d times with %d orders in two hours, want 2 and 1", restored, len(w.ca.orders))
	}
	a := w.only()
	expect(t, a, ledger.KindHold, ledger.ReasonUndone, "was overwritten again")
	if a.Wants != ledger.KindRepair || a.NotBefore.Sub(w.at) > time.Hour {
		t.Errorf("%s waits until %s", a.Wants, a.NotBefore)
	}
	w.at = a.NotBefore
	w.settle()
	if got := keypair.SerialOf(w.secretPair("tls/api").Leaf()); got != serial {
		t.Errorf("serial %s is there, want %s", got, serial)
	}
}

// TestAnUndoneTimeOfAFastClockHoldsNothing: it would hold until it comes.
func TestAnUndoneTimeOfAFastClockHoldsNothing(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	w.at = w.at.Add(400 * times.Day)
	r := w.ledger.record(t, "api")
	r.Undone = []ledger.Undone{{At: w.at.Add(1000 * times.Day), Reason: ledger.ReasonDeleted, Version: 1}}
	if u := plan.LastUndone(r, w.at); u != nil {
		t.Errorf("a time that is to come holds: %+v", u)
	}
	r.Undone = append([]ledger.Undone{{At: w.at.Add(-times.Day), Reason: ledger.ReasonDeleted, Version: 1}}, r.Undone...)
	if u := plan.LastUndone(r, w.at); u == nil || !u.At.Equal(w.at.Add(-times.Day)) {
		t.Errorf("the credible time before it is not found: %+v", u)
	}
}
