package main

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"certroll/examples/lab"
)

// shops are six certificates of one for_each, with their secrets in a separate mount.
const shops = `
locals {
  shops = ["a", "b", "c", "d", "e", "f"]
}
defaults {
  vault {
    mount = "certs"
  }
  on_remove = "delete"
}
certificate "shop" {
  for_each = toset(local.shops)
  domains  = ["${each.key}.lab.test"]
  issuer   = issuer.pebble
  dns      = dns.lab
}
`

var heldID = regexp.MustCompile(`certroll accept --missing ([0-9a-f]{24})`)

// TestTheBrake: a change that would delete or order a large share of all certificates waits for a person. The test uses
// the real commands and servers.
func TestTheBrake(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	mount := func(t testing.TB, method string) {
		t.Helper()
		var body any
		if method == http.MethodPost {
			body = map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}
		}
		if err := l.vault.API(t.Context(), method, "sys/mounts/certs", body, nil); err != nil {
			t.Fatal(err)
		}
	}
	empty := func(w *world) { mount(w.t, http.MethodDelete); mount(w.t, http.MethodPost) }
	mount(t, http.MethodPost)
	remove := func(w *world, files ...string) {
		if err := lab.Remove(w.t.Context(), w.repo, "main", "Remove", files...); err != nil {
			w.t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*world){
		"an empty repo":       func(w *world) { w.push(map[string]string{"README": ""}, "Say"); remove(w, "certs.hcl") },
		"a renamed extension": func(w *world) { w.push(map[string]string{"certs.hcl.json": shops}, "Rename"); remove(w, "certs.hcl") },
		"a for_each that became empty": func(w *world) {
			w.push(map[string]string{"certs.hcl": strings.Replace(shops, `["a", "b", "c", "d", "e", "f"]`, "[]", 1)}, "Slip")
		},
		"another mount by default": func(w *world) {
			w.push(map[string]string{"certs.hcl": strings.Replace(shops, `mount = "certs"`, `mount = "secret"`, 1)}, "Move")
		},
		"a Vault that is empty": empty,
	} {
		t.Run(name, func(t *testing.T) {
			w := l.fresh(t, map[string]string{"certs.hcl": shops})
			empty(w)
			w.settings("")
			w.certroll(0, "apply", "-auto-approve")
			before := w.countEvents("issue", "success")
			change(w)
			out := w.certroll(1, "apply", "-auto-approve")
			if !strings.Contains(out, "Held: 6 of 6 live certificates at once") {
				t.Fatalf("apply does not say that it holds them:\n%s", out)
			}
			w.certroll(1, "apply", "-auto-approve", "-accept-removals", "5")
			if w.countEvents("issue", "success") != before || w.countEvents("retire", "success") != 0 {
				t.Fatalf("something was done:\n%s", w.ledgerFile("STATUS.md"))
			}
			if w.countEvents("hold", "held") != 1 {
				t.Error("it is not told once")
			}
			id := heldID.FindStringSubmatch(strings.Join(strings.Fields(w.certroll(0, "plan")), " "))
			if id == nil {
				t.Fatal("the plan does not say how to accept it")
			}
			if out := w.certroll(0, "accept", "-missing", id[1]); !strings.Contains(out, "6 of 6 live certificates at once") {
				t.Errorf("accept says:\n%s", out)
			}
			w.certroll(1, "accept", "-missing", id[1])
			w.certroll(0, "apply", "-auto-approve")
			if name == "another mount by default" {
				return // the secrets move with the next renewals
			}
			if n := w.countEvents("issue", "success") - before + w.countEvents("retire", "success"); n != 6 {
				t.Errorf("%d of 6 are done after it was accepted", n)
			}
		})
	}
}

// TestConsentToWhatIsHeld: a person can consent by a number, by a plan file, and for the daemon by `certroll accept`.
func TestConsentToWhatIsHeld(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	two := oneCertificate + strings.ReplaceAll(oneCertificate, "api", "www")
	held := func(t *testing.T) *world {
		t.Helper()
		w := l.fresh(t, map[string]string{"certs.hcl": two})
		w.prefix = "state-" + strings.ReplaceAll(filepath.Base(w.dir), "/", "-")
		w.settings(`interval = "1s"`)
		for _, name := range []string{"api", "www"} {
			if err := w.vault.API(t.Context(), http.MethodDelete, "secret/metadata/tls/"+name, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		w.certroll(0, "apply", "-auto-approve")
		w.push(map[string]string{"certs.hcl": strings.ReplaceAll(two, `.lab.test"]`, `.lab.test", "more.lab.test"]`)}, "Other names")
		return w
	}
	w := held(t)
	w.certroll(0, "apply", "-auto-approve", "-accept-removals", "2")
	if w.countEvents("reissue", "success") != 2 {
		t.Error("a number of them does not release them")
	}
	w = held(t)
	w.certroll(0, "plan", "-out", "held.plan")
	w.certroll(0, "apply", "held.plan")
	if w.countEvents("reissue", "success") != 2 {
		t.Error("a plan file does not release them")
	}
	w = held(t)
	cmd, out := w.startRun()
	w.until("the hold", out, func() bool { return w.countEvents("hold", "held") == 1 })
	id := heldID.FindStringSubmatch(out.String())
	if id == nil {
		w.until("the log of the hold", out, func() bool { id = heldID.FindStringSubmatch(out.String()); return id != nil })
	}
	w.certroll(0, "accept", "-missing", id[1])
	w.until("what was accepted", out, func() bool { return w.countEvents("reissue", "success") == 2 })
	w.stopRun(cmd, out)
}

// TestPlanShowsTheHoldInAPullRequest: plan shows the hold before the merge.
func TestPlanShowsTheHoldInAPullRequest(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate + strings.ReplaceAll(oneCertificate, "api", "www")})
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	if err := lab.Push(t.Context(), w.repo, "empty", map[string]string{"README": ""}, "Say"); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-markdown", "-github", "-json"} {
		out := w.certroll(0, "plan", "-ref", "empty", "-base", "main", flag)
		if !strings.Contains(out, "2 of 2 live certificates at once") {
			t.Errorf("%s does not say that it will be held:\n%s", flag, out)
		}
	}
}
