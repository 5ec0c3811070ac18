package plan_test

import (
	"slices"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// TestWhatIsNotReadIsNotRetired checks that a certificate is kept when its file is
// replaced by something that certroll does not read. Other certificates continue, and
// the hold ends with its cause.
func TestWhatIsNotReadIsNotRetired(t *testing.T) {
	const link = "is a symbolic link, which is not followed"
	for name, c := range map[string]struct {
		unread []spec.Unread
		held   bool
	}{
		"nothing":                   {nil, false},
		"the file":                  {[]spec.Unread{{Path: "certs/api.hcl", Why: link}}, true},
		"a directory above":         {[]spec.Unread{{Path: "certs", Why: "is a submodule"}}, true},
		"HCL's JSON":                {[]spec.Unread{{Path: "certs/api.hcl.json", Why: "is not read"}}, true},
		"Terraform's":               {[]spec.Unread{{Path: "certs/api.tf", Why: "is not read"}}, true},
		"upper case":                {[]spec.Unread{{Path: "certs/API.HCL", Why: "is not read"}}, true},
		"another file":              {[]spec.Unread{{Path: "certs/other.hcl", Why: link}}, false},
		"the name in another place": {[]spec.Unread{{Path: "api.hcl", Why: link}, {Path: "cert", Why: link}}, false},
		"one of many":               {[]spec.Unread{{Path: "a.hcl", Why: link}, {Path: "certs/api.hcl", Why: link}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("other", "other.example.com"), reconciletest.Certificate("third", "third.example.com"))
			for _, c := range w.Desired.Certificates[:2] {
				c.File, c.OnRemove = "certs/api.hcl", spec.Revoke
			}
			w.Settle()
			w.Desired.Certificates = w.Desired.Certificates[1:]
			w.Desired.Unread = c.unread
			for range 3 {
				w.At = w.At.Add(time.Minute)
				w.Settle()
			}
			_, there := w.Vault.Secrets["secret/tls/api"]
			if there = there && !w.Vault.Secrets["secret/tls/api"].Versions[0].Deleted; there != c.held {
				t.Errorf("the secret is there: %v", there)
			}
			var events []ledger.Event
			for _, e := range w.Ledger.Events(t) {
				if e.Reason == ledger.ReasonNotRead {
					events = append(events, e)
				}
			}
			if !c.held {
				if len(events) != 0 {
					t.Errorf("told: %+v", events)
				}
				return
			}
			a := w.Plan()[0]
			reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonNotRead, c.unread[len(c.unread)-1].Path)
			if a.Wants != ledger.KindRetire {
				t.Errorf("it waits to %s", a.Wants)
			}
			if len(events) != 1 || events[0].Severity != ledger.SeverityPage || events[0].Certificate != "api" || events[0].Status != ledger.Held {
				t.Errorf("told: %+v", events)
			}
			w.Desired.Unread = nil // nothing is left at that path: an intended removal
			w.Settle()
			if !w.Vault.Secrets["secret/tls/api"].Versions[0].Deleted {
				t.Error("it is held though nothing lies there any more")
			}
		})
	}
}

// TestManyThatAreNotRead checks that many such certificates also trip the brake, and
// that a person's consent ends both holds.
func TestManyThatAreNotRead(t *testing.T) {
	w := fleet(t, 6)
	w.Without(6)
	w.Desired.Unread = []spec.Unread{{Path: "certs.hcl.json", Why: "is not read"}}
	if got := w.Stopped(); got != 6 {
		t.Fatalf("%d are held as many", got)
	}
	w.Settle()
	r, planned := w.Planned()
	if _, err := r.AcceptHeld(t.Context(), plan.MassHold(planned.Actions).ID, nil, "A. Person", "by a test"); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	if i := slices.IndexFunc(w.Plan(), func(a plan.Action) bool { return a.Kind != ledger.KindNone }); i >= 0 {
		t.Errorf("left to do: %+v", w.Plan()[i])
	}
}

// TestAnHeirIsNoRetirement checks a block that moved to a file that certroll reads,
// under another name and with the same secret.
func TestAnHeirIsNoRetirement(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	heir := reconciletest.Certificate("web", "api.example.com")
	heir.Vault.Path, heir.File = "tls/api", "more.hcl"
	w.Desired.Certificates = []*spec.Certificate{heir}
	w.Desired.Unread = []spec.Unread{{Path: "certs.hcl", Why: "is a symbolic link"}}
	for _, a := range w.Plan() {
		if a.Certificate == "api" && a.Kind != ledger.KindRetire {
			t.Errorf("api: %s %s", a.Kind, a.Detail)
		}
	}
}
