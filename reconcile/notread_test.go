package reconcile

import (
	"slices"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// TestWhatIsNotReadIsNotRetired: a certificate whose file became something that is
// not read keeps what it has. Others go on, and the hold ends with its cause.
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
			w := newWorld(t, certificate("api", "api.example.com"), certificate("other", "other.example.com"), certificate("third", "third.example.com"))
			for _, c := range w.desired.Certificates[:2] {
				c.File, c.OnRemove = "certs/api.hcl", spec.Revoke
			}
			w.settle()
			w.desired.Certificates = w.desired.Certificates[1:]
			w.desired.Unread = c.unread
			for range 3 {
				w.at = w.at.Add(time.Minute)
				w.settle()
			}
			_, there := w.vault.secrets["secret/tls/api"]
			if there = there && !w.vault.secrets["secret/tls/api"].versions[0].deleted; there != c.held {
				t.Errorf("the secret is there: %v", there)
			}
			var told []ledger.Event
			for _, e := range w.ledger.events(t) {
				if e.Reason == ledger.ReasonNotRead {
					told = append(told, e)
				}
			}
			if !c.held {
				if len(told) != 0 {
					t.Errorf("told: %+v", told)
				}
				return
			}
			a := w.plan()[0]
			expect(t, a, ledger.KindHold, ledger.ReasonNotRead, c.unread[len(c.unread)-1].Path)
			if a.Wants != ledger.KindRetire {
				t.Errorf("it waits to %s", a.Wants)
			}
			if len(told) != 1 || told[0].Severity != ledger.SeverityPage || told[0].Certificate != "api" || told[0].Status != ledger.Held {
				t.Errorf("told: %+v", told)
			}
			w.desired.Unread = nil // what lay there is gone: that is meant
			w.settle()
			if !w.vault.secrets["secret/tls/api"].versions[0].deleted {
				t.Error("it is held though nothing lies there any more")
			}
		})
	}
}

// TestManyThatAreNotRead wait as many do. A person's consent ends both holds.
func TestManyThatAreNotRead(t *testing.T) {
	w := fleet(t, 6)
	w.without(6)
	w.desired.Unread = []spec.Unread{{Path: "certs.hcl.json", Why: "is not read"}}
	if got := w.stopped(); got != 6 {
		t.Fatalf("%d are held as many", got)
	}
	w.settle()
	r, actions := w.planned()
	if _, err := r.AcceptHeld(t.Context(), plan.MassHold(actions).ID, nil, "A. Person", "by a test"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if i := slices.IndexFunc(w.plan(), func(a plan.Action) bool { return a.Kind != ledger.KindNone }); i >= 0 {
		t.Errorf("left to do: %+v", w.plan()[i])
	}
}

// TestAnHeirIsNoRetirement: the block moved to a file that is read, under another
// name and for the same secret.
func TestAnHeirIsNoRetirement(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	heir := certificate("web", "api.example.com")
	heir.Vault.Path, heir.File = "tls/api", "more.hcl"
	w.desired.Certificates = []*spec.Certificate{heir}
	w.desired.Unread = []spec.Unread{{Path: "certs.hcl", Why: "is a symbolic link"}}
	for _, a := range w.plan() {
		if a.Certificate == "api" && a.Kind != ledger.KindRetire {
			t.Errorf("api: %s %s", a.Kind, a.Detail)
		}
	}
}
