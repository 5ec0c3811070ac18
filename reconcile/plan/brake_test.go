package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// fleet returns a world with n live certificates c00, c01, ...
func fleet(t *testing.T, n int) *reconciletest.World {
	t.Helper()
	w := reconciletest.NewWorld(t)
	for i := range n {
		c := reconciletest.Certificate(fmt.Sprintf("c%02d", i), fmt.Sprintf("c%02d.example.com", i))
		c.OnRemove = spec.Delete
		w.Desired.Certificates = append(w.Desired.Certificates, c)
	}
	w.Settle()
	return w
}

// TestTheBrakeTrips checks that the brake holds changes of a fifth of the live
// certificates, at least five, or of all.
func TestTheBrakeTrips(t *testing.T) {
	for _, test := range []struct{ live, n, want int }{
		{1, 1, 0}, {2, 1, 0}, {2, 2, 2}, {4, 3, 0}, {4, 4, 4}, {20, 4, 0}, {20, 5, 5}, {30, 5, 0}, {30, 6, 6}, {26, 5, 0},
	} {
		for name, change := range map[string]func(*reconciletest.World, int){
			"retired": (*reconciletest.World).Without,
			"gone":    (*reconciletest.World).Lose,
			"reissued": func(w *reconciletest.World, n int) {
				for _, c := range w.Desired.Certificates[:n] {
					c.Domains = append(c.Domains, spec.Domain{ASCII: "www." + c.Name + ".example.com"})
				}
			},
			"moved": func(w *reconciletest.World, n int) {
				for _, c := range w.Desired.Certificates[:n] {
					c.Vault.Path = "elsewhere/" + c.Name
				}
			},
		} {
			w := fleet(t, test.live)
			change(w, test.n)
			if got := w.Stopped(); got != test.want {
				t.Errorf("%d of %d %s: %d are held, want %d", test.n, test.live, name, got, test.want)
			}
		}
	}
}

// TestNothingHeldIsDone checks that held actions delete and order nothing, with any
// command and however often, while other due actions continue.
func TestNothingHeldIsDone(t *testing.T) {
	w := fleet(t, 10)
	other := reconciletest.Certificate("other", "other.example.com")
	w.Without(5)
	w.Lose(2)
	delete(w.Vault.Secrets, "secret/tls/c07")
	w.Desired.Certificates = append(w.Desired.Certificates, other)
	for range 3 {
		w.At = w.At.Add(time.Hour)
		w.Settle()
	}
	if n := len(w.Ca.Orders); n != 11 {
		t.Errorf("%d orders, want those of before and the new certificate's", n)
	}
	for i := 2; i < 5; i++ {
		if s := w.Vault.Secrets[fmt.Sprintf("secret/tls/c%02d", i)]; s == nil || s.Versions[0].Deleted {
			t.Errorf("c%02d is deleted", i)
		}
	}
	var events []ledger.Event
	for _, e := range w.Ledger.Events(t) {
		if e.Reason == ledger.ReasonMass {
			events = append(events, e)
		}
	}
	if len(events) != 1 || events[0].Severity != ledger.SeverityPage || len(events[0].Certificates) != 6 || events[0].Operation != ledger.KindHold ||
		!strings.Contains(events[0].Detail, "6 of 10 live certificates at once: 5 gone from the config repo, 1 gone from Vault") {
		t.Errorf("told: %+v", events)
	}
	w.At = w.At.Add(times.Day)
	w.Settle()
	if events := w.Ledger.Events(t); events[len(events)-1].Reason != ledger.ReasonMass {
		t.Error("it is not told again the day after")
	}
}

// TestAcceptReleasesWhatIsHeld checks that accepting releases exactly the held actions,
// once.
func TestAcceptReleasesWhatIsHeld(t *testing.T) {
	w := fleet(t, 10)
	blocks := slices.Clone(w.Desired.Certificates)
	w.Without(6)
	w.Settle()
	set := plan.MassHold(w.Plan())
	if set == nil {
		t.Fatal("nothing is held")
	}
	if _, err := w.Accept("0123"); err == nil || !strings.Contains(err.Error(), set.ID) {
		t.Fatalf("accepting another set: %v", err)
	}
	if accepted, err := w.Accept(set.ID); err != nil || accepted.AcceptedBy != "ann@desk" {
		t.Fatal(accepted, err)
	}
	e := w.Ledger.Events(t)
	if e := e[len(e)-1]; e.Reason != ledger.ReasonAccepted || e.Actor != "ann@desk" || e.Subject != "mass "+set.ID || len(e.Certificates) != 6 {
		t.Errorf("event: %+v", e)
	}
	if _, err := w.Accept(set.ID); err == nil || !strings.Contains(err.Error(), "ann@desk accepted it") {
		t.Errorf("accepting it again: %v", err)
	}
	// A stopped pass does half of it.
	r, planned := w.Planned()
	planned.Actions = planned.Actions[:3]
	if _, err := r.Apply(t.Context(), w.Desired, ledger.Revision{Commit: "c0ffee"}, planned); err != nil {
		t.Fatal(err)
	}
	if n := w.Stopped(); n != 0 {
		t.Errorf("the rest is held, %d", n)
	}
	w.Settle()
	for i := range 6 {
		if !w.Vault.Secrets[fmt.Sprintf("secret/tls/c%02d", i)].Versions[0].Deleted {
			t.Errorf("c%02d was not deleted", i)
		}
	}
	if w.Stopped() != 0 {
		t.Error("what was accepted and done counts")
	}
	// The same blocks return, and are removed again.
	w.Desired.Certificates = blocks
	w.At = w.At.Add(time.Hour)
	w.Settle()
	w.Without(6)
	if n := w.Stopped(); n != 6 {
		t.Errorf("%d are held: consent is used up once", n)
	}
}

// TestTheBrakeCountsOverADay checks that the brake counts per day, not per pass or
// commit.
func TestTheBrakeCountsOverADay(t *testing.T) {
	w := fleet(t, 40)
	for i := range 7 {
		w.Without(1)
		w.At = w.At.Add(time.Hour)
		if n := w.Stopped(); n != 0 {
			t.Fatalf("%d are held after %d", n, i)
		}
		w.Settle()
	}
	w.Without(1)
	if n := w.Stopped(); n != 1 {
		t.Errorf("%d are held of the eighth of 40 within a day", n)
	}
	w.At = w.At.Add(times.Day)
	if n := w.Stopped(); n != 0 {
		t.Errorf("%d are held a day later", n)
	}
}

// TestTheBrakeCountsAllOfAFewOverADay checks two of two certificates, removed one after
// the other.
func TestTheBrakeCountsAllOfAFewOverADay(t *testing.T) {
	w := fleet(t, 2)
	w.Without(1)
	w.Settle()
	w.Without(1)
	if n := w.Stopped(); n != 1 {
		t.Errorf("%d are held", n)
	}
}

// TestTheBrakeLeavesAlone checks that the brake ignores ARI requests, due renewals,
// rotations by a person, new certificates and mere renames.
func TestTheBrakeLeavesAlone(t *testing.T) {
	for name, change := range map[string]func(*reconciletest.World){
		"due":   func(w *reconciletest.World) { w.At = w.At.Add(61 * times.Day) },
		"ended": func(w *reconciletest.World) { w.At = w.At.Add(91 * times.Day) },
		"rotated": func(w *reconciletest.World) {
			for _, c := range w.Desired.Certificates {
				reconciletest.Compromised(c)
			}
		},
		"new": func(w *reconciletest.World) {
			for i := range 50 {
				w.Desired.Certificates = append(w.Desired.Certificates, reconciletest.Certificate(fmt.Sprintf("new%02d", i), fmt.Sprintf("new%02d.example.com", i)))
			}
		},
		"renamed": func(w *reconciletest.World) {
			for _, c := range w.Desired.Certificates {
				c.Name = "other-" + c.Name
			}
		},
	} {
		w := fleet(t, 10)
		change(w)
		if n := w.Stopped(); n != 0 {
			t.Errorf("%s: %d are held", name, n)
		}
		w.Settle()
		w.Without(1)
		if n := w.Stopped(); n != 0 {
			t.Errorf("%s: %d are held after it", name, n)
		}
	}
}

// TestWhatMayNotMoveIsRenewedWhereItIs checks that a renewal does not wait for the
// acceptance of a move: it writes to the old path until a person accepts.
func TestWhatMayNotMoveIsRenewedWhereItIs(t *testing.T) {
	w := fleet(t, 6)
	for _, c := range w.Desired.Certificates {
		c.Vault.Path = "elsewhere/" + c.Name
	}
	w.Settle()
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	set := plan.MassHold(w.Plan())
	if set == nil || w.Stopped() != 6 {
		t.Fatalf("held: %+v", set)
	}
	for i := range 6 {
		if s := w.Vault.Secrets[fmt.Sprintf("secret/tls/c%02d", i)]; len(s.Versions) != 2 {
			t.Errorf("c%02d has %d versions where it is", i, len(s.Versions))
		}
		if w.Vault.Secrets[fmt.Sprintf("secret/elsewhere/c%02d", i)] != nil {
			t.Errorf("c%02d moved", i)
		}
	}
	if _, err := w.Accept(set.ID); err != nil {
		t.Fatal(err)
	}
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	for i := range 6 {
		if w.Vault.Secrets[fmt.Sprintf("secret/elsewhere/c%02d", i)] == nil {
			t.Errorf("c%02d did not move", i)
		}
	}
}

// TestHeldMoveRenewsByTheLongerChain checks that a certificate whose move is held is
// still planned with all known facts, such as a longer chain that the CA now has.
func TestHeldMoveRenewsByTheLongerChain(t *testing.T) {
	end := reconciletest.Start.Add(30 * times.Day)
	chain := func(l *ledger.Live) { l.ChainRead, l.ChainNotAfter, l.ChainKept = true, &end, true }
	obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{}, Records: map[string]*ledger.Record{}}
	desired := reconciletest.Desire()
	for i := range 6 {
		c := reconciletest.Certificate(fmt.Sprintf("c%d", i), fmt.Sprintf("c%d.example.com", i))
		s := reconciletest.LiveSecret(c, chain)
		if i == 0 { // the newest certificate has a longer-lived chain
			s = reconciletest.LiveSecret(c, func(l *ledger.Live) { l.ChainRead, l.IssuedAt = true, reconciletest.Start.Add(times.Day) })
		}
		obs.Secrets[plan.TargetOf(c)], obs.Records[c.Name] = s, reconciletest.LiveRecord(c, s)
		if i > 0 {
			c.Vault.Path = "elsewhere/" + c.Name
		}
		desired.Certificates = append(desired.Certificates, c)
	}
	for _, a := range plan.New(desired, obs, reconciletest.Start.Add(25*times.Day)).Actions[1:] {
		if a.Mass == nil || a.Kind != ledger.KindRenew {
			t.Errorf("%s: %s %s, %s: want its renewal at %s", a.Certificate, a.Kind, a.Reason, a.Detail, a.At)
		}
	}
}

// TestAHoldThatIsOver checks that the end of a hold is recorded, and that a hold that
// returns the same day is recorded again.
func TestAHoldThatIsOver(t *testing.T) {
	w := fleet(t, 6)
	blocks := slices.Clone(w.Desired.Certificates)
	r := w.Reconciler()
	pass := func() {
		t.Helper()
		obs, err := r.Observe(t.Context(), w.Desired)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Apply(t.Context(), w.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(w.Desired, obs, w.At)); err != nil {
			t.Fatal(err)
		}
		w.At = w.At.Add(time.Hour)
	}
	held := func() *ledger.HeldSet {
		t.Helper()
		set, err := archive.ReadHeld(w.Snapshot(t))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	w.Desired.Certificates = nil
	pass()
	pass()
	if held() == nil || len(held().Certificates) != 6 {
		t.Fatalf("held: %+v", held())
	}
	w.Desired.Certificates = blocks
	pass()
	pass()
	if held() != nil {
		t.Errorf("still held: %+v", held())
	}
	w.Desired.Certificates = nil
	pass()
	if held() == nil {
		t.Error("it is not held when it comes back")
	}
	var events []string
	for _, e := range w.Ledger.Events(t) {
		if e.Reason == ledger.ReasonMass {
			events = append(events, string(e.Status))
		}
	}
	if got := strings.Join(events, " "); got != "held success" {
		t.Errorf("told: %s", got)
	}
}

// TestHeldFileThatCannotBeRead checks that an unreadable file of held actions is
// reported, delays nothing and counts as no consent.
func TestHeldFileThatCannotBeRead(t *testing.T) {
	for name, text := range map[string]string{"garbage": "{", "of a newer certroll": `{"schema":2,"sets":[]}`, "empty": ""} {
		w := fleet(t, 6)
		w.Desired.Certificates = nil
		w.Settle()
		w.Ledger.Tree[ledger.HeldFile].Data = []byte(text)
		obs, err := w.Reconciler().Observe(t.Context(), w.Desired)
		if err != nil || len(obs.Unread) != 1 || obs.Unread[0].File != ledger.HeldFile {
			t.Errorf("%s: %+v, %v", name, obs.Unread, err)
		}
		if n := w.Stopped(); n != 6 {
			t.Errorf("%s: %d are held", name, n)
		}
	}
}
