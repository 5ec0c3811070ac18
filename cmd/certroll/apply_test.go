package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const twoCertificates = `
certificate "api" {
  domains = ["api.lab.test", "www.lab.test"]
  issuer  = issuer.pebble
  dns     = dns.lab
}

certificate "wild" {
  domains = ["lab.test", "*.lab.test"]
  issuer  = issuer.pebble
  dns     = dns.lab
  labels  = { team = "edge" }
}
`

func TestMainJob(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": twoCertificates})
	w.settings("")

	if out := w.certroll(2, "plan", "-detailed-exitcode"); !strings.Contains(out, "Plan: 2 to issue.") {
		t.Errorf("plan:\n%s", out)
	}
	w.certroll(0, "apply", "-auto-approve")
	api := w.checkPair("tls/api", "api.lab.test", "www.lab.test")
	w.checkPair("tls/wild", "lab.test", "*.lab.test")
	if m := w.metadata("tls/api"); m.Data.CurrentVersion != 1 || m.Data.Custom["managed_by"] != "certroll" || m.Data.Custom["version"] != "1" {
		t.Errorf("metadata: %+v", m)
	}
	if status := w.ledgerFile("STATUS.md"); !strings.Contains(status, "2 live, 0 failing") {
		t.Errorf("STATUS.md:\n%s", status)
	}
	if n := w.git("rev-list", "--count", "certroll/status"); n != "2" { // the first commit checks that the ledger is writable
		t.Errorf("%s commits, want the ledger's first and one for what ended together", n)
	}

	t.Run("a second apply does nothing", func(t *testing.T) {
		head := w.git("rev-parse", "certroll/status")
		w.certroll(0, "plan", "-detailed-exitcode")
		if out := w.certroll(0, "apply", "-auto-approve"); !strings.Contains(out, "Nothing to do.") {
			t.Errorf("apply:\n%s", out)
		}
		if now := w.git("rev-parse", "certroll/status"); now != head {
			t.Error("it committed")
		}
		if m := w.metadata("tls/api"); m.Data.CurrentVersion != 1 {
			t.Errorf("it wrote: %+v", m)
		}
	})

	t.Run("a change is reissued with a fresh key", func(t *testing.T) {
		w.push(map[string]string{"certs.hcl": strings.Replace(twoCertificates, `"www.lab.test"`, `"www.lab.test", "new.lab.test"`, 1)}, "Add a name")
		var plan struct {
			Actions []struct {
				Certificate, Action, Reason string
				Changes                     []struct{ Field, Old, New string }
			}
		}
		if err := json.Unmarshal([]byte(w.certroll(0, "plan", "-json")), &plan); err != nil {
			t.Fatal(err)
		}
		if a := plan.Actions[0]; a.Action != "reissue" || a.Changes[0].Old != "api.lab.test www.lab.test" || a.Changes[0].New != "api.lab.test www.lab.test new.lab.test" {
			t.Errorf("plan: %+v", a)
		}
		w.certroll(0, "apply", "-auto-approve")
		again := w.checkPair("tls/api", "api.lab.test", "www.lab.test", "new.lab.test")
		if pemOf(api) == pemOf(again) || string(api.RawSubjectPublicKeyInfo) == string(again.RawSubjectPublicKeyInfo) {
			t.Error("certificate or key stayed the same")
		}
		events := w.events()
		if e := events[len(events)-1]; e.Operation != "reissue" || e.OldSerial == "" || e.NewSerial == e.OldSerial || e.DNSAccount != "lab" {
			t.Errorf("event: %+v", e)
		}
	})

	t.Run("removing a block retires it", func(t *testing.T) {
		w.push(map[string]string{"certs.hcl": strings.Split(twoCertificates, `certificate "wild"`)[0]}, "Remove wild")
		w.certroll(0, "apply", "-auto-approve", "-accept-removals", "2") // both of the two certificates changed within a day
		w.checkPair("tls/wild", "lab.test", "*.lab.test")                // on_remove = "keep"
		if out := w.certroll(0, "status", "wild"); !strings.Contains(out, "retired") {
			t.Errorf("status:\n%s", out)
		}
		w.certroll(0, "plan", "-detailed-exitcode")
	})
}
