package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// fleet is a world with n live certificates c00, c01, ...
func fleet(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t)
	for i := range n {
		c := certificate(fmt.Sprintf("c%02d", i), fmt.Sprintf("c%02d.example.com", i))
		c.OnRemove = spec.Delete
		w.desired.Certificates = append(w.desired.Certificates, c)
	}
	w.settle()
	return w
}

// without takes the first n blocks out of the spec.
func (w *world) without(n int) { w.desired.Certificates = w.desired.Certificates[n:] }

// lose removes the secrets of the first n certificates, metadata and all.
func (w *world) lose(n int) {
	for i := range n {
		delete(w.vault.secrets, fmt.Sprintf("secret/tls/c%02d", i))
	}
}

// stopped counts what the brake holds, and fails where what it holds is acted on.
func (w *world) stopped() int {
	w.t.Helper()
	n := 0
	for _, a := range w.plan() {
		if a.Reason == ledger.ReasonMass {
			n++
			if a.Kind != ledger.KindHold || !strings.Contains(a.Detail, "certroll accept --missing "+a.Mass.ID) {
				w.t.Errorf("%s: %s %s", a.Certificate, a.Kind, a.Detail)
			}
		}
	}
	return n
}

// TestTheBrakeTrips where a fifth of what is live would change, and five at least,
// or all of it.
func TestTheBrakeTrips(t *testing.T) {
	for _, test := range []struct{ live, n, want int }{
		{1, 1, 0}, {2, 1, 0}, {2, 2, 2}, {4, 3, 0}, {4, 4, 4}, {20, 4, 0}, {20, 5, 5}, {30, 5, 0}, {30, 6, 6}, {26, 5, 0},
	} {
		for name, change := range map[string]func(*world, int){
			"retired": (*world).without,
			"gone":    (*world).lose,
			"reissued": func(w *world, n int) {
				for _, c := range w.desired.Certificates[:n] {
					c.Domains = append(c.Domains, spec.Domain{ASCII: "www." + c.Name + ".example.com"})
				}
			},
			"moved": func(w *world, n int) {
				for _, c := range w.desired.Certificates[:n] {
					c.Vault.Path = "elsewhere/" + c.Name
				}
			},
		} {
			w := fleet(t, test.live)
			change(w, test.n)
			if got := w.stopped(); got != test.want {
				t.Errorf("%d of %d %s: %d are held, want %d", test.n, test.live, name, got, test.want)
			}
		}
	}
}

// TestNothingHeldIsDone: no secret is deleted, nothing is ordered, whoever applies,
// and however often; what else is due goes on.
func TestNothingHeldIsDone(t *testing.T) {
	w := fleet(t, 10)
	other := certificate("other", "other.example.com")
	w.without(5)
	w.lose(2)
	delete(w.vault.secrets, "secret/tls/c07")
	w.desired.Certificates = append(w.desired.Certificates, other)
	for range 3 {
		w.at = w.at.Add(time.Hour)
		w.settle()
	}
	if n := len(w.ca.orders); n != 11 {
		t.Errorf("%d orders, want those of before and the new certificate's", n)
	}
	for i := 2; i < 5; i++ {
		if s := w.vault.secrets[fmt.Sprintf("secret/tls/c%02d", i)]; s == nil || s.versions[0].deleted {
			t.Errorf("c%02d is deleted", i)
		}
	}
	var told []ledger.Event
	for _, e := range w.ledger.events(t) {
		if e.Reason == ledger.ReasonMass {
			told = append(told, e)
		}
	}
	if len(told) != 1 || told[0].Severity != ledger.SeverityPage || len(told[0].Certificates) != 6 || told[0].Operation != ledger.KindHold ||
		!strings.Contains(told[0].Detail, "6 of 10 live certificates at once: 5 gone from the config repo, 1 gone from Vault") {
		t.Errorf("told: %+v", told)
	}
	w.at = w.at.Add(times.Day)
	w.settle()
	if told := w.ledger.events(t); told[len(told)-1].Reason != ledger.ReasonMass {
		t.Error("it is not told again the day after")
	}
}

// consented is what was observed with a person's consent to all that is held.
func consented(desired *spec.Spec, obs *plan.Observed, now time.Time) {
	set := *plan.MassHold(plan.Plan(desired, obs, now))
	set.AcceptedAt = &now
	obs.Accept(&set)
}

// accept is a person's consent, on a machine without Vault.
func (w *world) accept(id string) (*ledger.HeldSet, error) {
	r := apply.New(&observe.Observer{}, nil, nil, w.ledger, nil, attempt.Options{Now: w.opts.Now})
	return r.AcceptHeld(context.Background(), id, nil, "ann@desk", "what is held")
}

// TestAcceptReleasesWhatIsHeld, that and nothing else, once.
func TestAcceptReleasesWhatIsHeld(t *testing.T) {
	w := fleet(t, 10)
	blocks := slices.Clone(w.desired.Certificates)
	w.without(6)
	w.settle()
	set := plan.MassHold(w.plan())
	if set == nil {
		t.Fatal("nothing is held")
	}
	if _, err := w.accept("0123"); err == nil || !strings.Contains(err.Error(), set.ID) {
		t.Fatalf("accepting another set: %v", err)
	}
	if accepted, err := w.accept(set.ID); err != nil || accepted.AcceptedBy != "ann@desk" {
		t.Fatal(accepted, err)
	}
	e := w.ledger.events(t)
	if e := e[len(e)-1]; e.Reason != ledger.ReasonAccepted || e.Actor != "ann@desk" || e.Subject != "mass "+set.ID || len(e.Certificates) != 6 {
		t.Errorf("event: %+v", e)
	}
	if _, err := w.accept(set.ID); err == nil || !strings.Contains(err.Error(), "ann@desk accepted it") {
		t.Errorf("accepting it again: %v", err)
	}
	// Half of it is done by a pass that is stopped.
	r, actions := w.planned()
	if _, err := r.Apply(t.Context(), w.desired, ledger.Revision{Commit: "c0ffee"}, actions[:3]); err != nil {
		t.Fatal(err)
	}
	if n := w.stopped(); n != 0 {
		t.Errorf("the rest is held, %d", n)
	}
	w.settle()
	for i := range 6 {
		if !w.vault.secrets[fmt.Sprintf("secret/tls/c%02d", i)].versions[0].deleted {
			t.Errorf("c%02d was not deleted", i)
		}
	}
	if w.stopped() != 0 {
		t.Error("what was accepted and done counts")
	}
	// The same blocks come back, and go again.
	w.desired.Certificates = blocks
	w.at = w.at.Add(time.Hour)
	w.settle()
	w.without(6)
	if n := w.stopped(); n != 6 {
		t.Errorf("%d are held: consent is used up once", n)
	}
}

// TestTheBrakeCountsOverADay, and not by pass or by commit.
func TestTheBrakeCountsOverADay(t *testing.T) {
	w := fleet(t, 40)
	for i := range 7 {
		w.without(1)
		w.at = w.at.Add(time.Hour)
		if n := w.stopped(); n != 0 {
			t.Fatalf("%d are held after %d", n, i)
		}
		w.settle()
	}
	w.without(1)
	if n := w.stopped(); n != 1 {
		t.Errorf("%d are held of the eighth of 40 within a day", n)
	}
	w.at = w.at.Add(times.Day)
	if n := w.stopped(); n != 0 {
		t.Errorf("%d are held a day later", n)
	}
}

// TestTheBrakeCountsAllOfAFewOverADay: two of two, one after the other.
func TestTheBrakeCountsAllOfAFewOverADay(t *testing.T) {
	w := fleet(t, 2)
	w.without(1)
	w.settle()
	w.without(1)
	if n := w.stopped(); n != 1 {
		t.Errorf("%d are held", n)
	}
}

// TestTheBrakeLeavesAlone what the CA asks for, what is due, what a person rotates,
// what is new, and what only has another name.
func TestTheBrakeLeavesAlone(t *testing.T) {
	for name, change := range map[string]func(*world){
		"due":   func(w *world) { w.at = w.at.Add(61 * times.Day) },
		"ended": func(w *world) { w.at = w.at.Add(91 * times.Day) },
		"rotated": func(w *world) {
			for _, c := range w.desired.Certificates {
				compromised(c)
			}
		},
		"new": func(w *world) {
			for i := range 50 {
				w.desired.Certificates = append(w.desired.Certificates, certificate(fmt.Sprintf("new%02d", i), fmt.Sprintf("new%02d.example.com", i)))
			}
		},
		"renamed": func(w *world) {
			for _, c := range w.desired.Certificates {
				c.Name = "other-" + c.Name
			}
		},
	} {
		w := fleet(t, 10)
		change(w)
		if n := w.stopped(); n != 0 {
			t.Errorf("%s: %d are held", name, n)
		}
		w.settle()
		w.without(1)
		if n := w.stopped(); n != 0 {
			t.Errorf("%s: %d are held after it", name, n)
		}
	}
}

// TestWhatMayNotMoveIsRenewedWhereItIs: a renewal does not wait for a person, and
// goes to the new place once one has accepted that.
func TestWhatMayNotMoveIsRenewedWhereItIs(t *testing.T) {
	w := fleet(t, 6)
	for _, c := range w.desired.Certificates {
		c.Vault.Path = "elsewhere/" + c.Name
	}
	w.settle()
	w.at = w.at.Add(61 * times.Day)
	w.settle()
	set := plan.MassHold(w.plan())
	if set == nil || w.stopped() != 6 {
		t.Fatalf("held: %+v", set)
	}
	for i := range 6 {
		if s := w.vault.secrets[fmt.Sprintf("secret/tls/c%02d", i)]; len(s.versions) != 2 {
			t.Errorf("c%02d has %d versions where it is", i, len(s.versions))
		}
		if w.vault.secrets[fmt.Sprintf("secret/elsewhere/c%02d", i)] != nil {
			t.Errorf("c%02d moved", i)
		}
	}
	if _, err := w.accept(set.ID); err != nil {
		t.Fatal(err)
	}
	w.at = w.at.Add(61 * times.Day)
	w.settle()
	for i := range 6 {
		if w.vault.secrets[fmt.Sprintf("secret/elsewhere/c%02d", i)] == nil {
			t.Errorf("c%02d did not move", i)
		}
	}
}

// TestAHoldThatIsOver is told, and told again when it comes back the same day.
func TestAHoldThatIsOver(t *testing.T) {
	w := fleet(t, 6)
	blocks := slices.Clone(w.desired.Certificates)
	r := w.reconciler()
	pass := func() {
		t.Helper()
		obs, err := r.Observe(t.Context(), w.desired)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Apply(t.Context(), w.desired, ledger.Revision{Commit: "c0ffee"}, plan.Plan(w.desired, obs, w.at)); err != nil {
			t.Fatal(err)
		}
		w.at = w.at.Add(time.Hour)
	}
	held := func() *ledger.HeldSet {
		t.Helper()
		set, err := archive.ReadHeld(w.snapshot(t))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	w.desired.Certificates = nil
	pass()
	pass()
	if held() == nil || len(held().Certificates) != 6 {
		t.Fatalf("held: %+v", held())
	}
	w.desired.Certificates = blocks
	pass()
	pass()
	if held() != nil {
		t.Errorf("still held: %+v", held())
	}
	w.desired.Certificates = nil
	pass()
	if held() == nil {
		t.Error("it is not held when it comes back")
	}
	var told []string
	for _, e := range w.ledger.events(t) {
		if e.Reason == ledger.ReasonMass {
			told = append(told, string(e.Status))
		}
	}
	if got := strings.Join(told, " "); got != "held success" {
		t.Errorf("told: %s", got)
	}
}

// TestHeldFileThatCannotBeRead is named, holds nobody up and consents to nothing.
func TestHeldFileThatCannotBeRead(t *testing.T) {
	for name, text := range map[string]string{"garbage": "{", "of a newer certroll": `{"schema":2,"sets":[]}`, "empty": ""} {
		w := fleet(t, 6)
		w.desired.Certificates = nil
		w.settle()
		w.ledger.tree[ledger.HeldFile].Data = []byte(text)
		obs, err := w.reconciler().Observe(t.Context(), w.desired)
		if err != nil || len(obs.Unread) != 1 || obs.Unread[0].File != ledger.HeldFile {
			t.Errorf("%s: %+v, %v", name, obs.Unread, err)
		}
		if n := w.stopped(); n != 6 {
			t.Errorf("%s: %d are held", name, n)
		}
	}
}
