package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/view"
	"certroll/examples/lab/labtest"
)

// identify puts a proxy in front of Pebble whose directory names the CA's CAA domain, which Pebble's own lacks.
func (w *world) identify(identity string) {
	w.t.Helper()
	w.saysOfItself(func(meta map[string]any) { meta["caaIdentities"] = []string{identity} })
}

// saysOfItself puts a proxy in front of Pebble that changes the meta object of its directory.
func (w *world) saysOfItself(change func(meta map[string]any)) {
	w.t.Helper()
	resp, err := w.pebble.Client().Get(w.pebble.Directory)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	directory := map[string]any{}
	if err != nil || json.Unmarshal(body, &directory) != nil {
		w.t.Fatalf("Pebble's directory is %s (%v)", body, err)
	}
	change(directory["meta"].(map[string]any))
	s := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(directory)
	}))
	w.t.Cleanup(s.Close)
	w.directory = s.URL + "/directory"
	w.caBundle += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// found runs doctor --json and returns its report.
func (w *world) found(code int, args ...string) view.Examination {
	w.t.Helper()
	var x view.Examination
	out := w.certroll(code, append([]string{"doctor", "-json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		w.t.Fatalf("doctor --json printed %s (%v)", out, err)
	}
	if strings.Contains(out, ": null") {
		w.t.Errorf("an array is null:\n%s", out)
	}
	return x
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var rules []string
	for _, name := range []string{"doctor", "apply"} {
		text, err := os.ReadFile("../../examples/vault-policies/" + name + ".hcl")
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, string(text))
	}
	token := newToken(t, l.vault, "apply", rules[1])

	t.Run("by its own policy", func(t *testing.T) {
		labtest.NeedsPolicies(t, l.vault)
		w := l.fresh(t, map[string]string{"certs.hcl": oneCertificate})
		w.token = newToken(t, l.vault, "doctor", rules[0])
		w.settings("")
		out := w.certroll(0, "doctor")
		if !strings.Contains(out, "so it is not the token of apply or run") || !strings.Contains(out, "1 canary tried: 0 errors, 1 warning.") {
			t.Errorf("it says:\n%s", out)
		}
	})

	t.Run("fine", func(t *testing.T) {
		w := l.fresh(t, map[string]string{"certs.hcl": oneCertificate})
		w.token = token
		w.settings("")
		out := w.certroll(0, "doctor")
		if !strings.Contains(out, "ok 1 certificate checked, 1 canary tried: nothing stands in the way of a renewal.") {
			t.Errorf("it says:\n%s", out)
		}
		if left := w.dns.Challenges(); len(left) != 0 {
			t.Errorf("canaries are left at %v", left)
		}
		if refs := w.git("for-each-ref"); strings.Contains(refs, "certroll/status") {
			t.Errorf("it wrote a ledger: %s", refs)
		}
		if x := w.found(0, "-no-canary"); x.Canaries != 0 || x.Certificates != 1 || x.Schema != view.ExaminationSchema || len(x.Findings) != 0 {
			t.Errorf("found %+v", x)
		}
		w.saysWith(console.ExitUnseen, "doctor nobody", `"nobody"`, "declares no certificate of this name")
	})

	t.Run("a rotated key", func(t *testing.T) {
		server := newFailingDNS(t)
		w := l.fresh(t, map[string]string{"certs.hcl": oneCertificate + strings.ReplaceAll(oneCertificate, "api", "web")})
		w.token = token
		w.nameserver = server.nameserver
		w.nameserver.secret = "d3Jvbmcta2V5LXdyb25nLWtleQ=="
		w.settings("")
		w.says("doctor", "Error: dns.lab (dns_unauthorized)", "BADSIG", "check that the account's credentials are current", "touches 2 certificates: api, web", "1 error, 0 warnings")
		w.certroll(0, "doctor", "-no-canary")
		w.nameserver.secret = server.secret
		w.certroll(0, "doctor")
		if left, err := server.challenges(); err != nil || len(left) != 0 {
			t.Errorf("canaries are left at %v (%v)", left, err)
		}
	})

	t.Run("CAA", func(t *testing.T) {
		w := l.fresh(t, map[string]string{"certs.hcl": oneCertificate + strings.ReplaceAll(oneCertificate, "api", "shut")})
		w.identify("ca.example.net")
		w.settings("")
		if err := w.dns.Add(`shut.lab.test. 60 IN CAA 0 issue "ca.example.org"`); err != nil {
			t.Fatal(err)
		}
		w.says("doctor", "Error: CAA at shut.lab.test", `0 issue "ca.example.org"`, "ca.example.org is not ca.example.net", "touches 1 certificate: shut (shut.lab.test)")
		x := w.found(1)
		if len(x.Findings) != 1 || x.Findings[0].Class != "caa" || x.Errors != 1 || strings.Join(x.Findings[0].Certificates, " ") != "shut" {
			t.Errorf("found %+v", x.Findings)
		}
		w.certroll(0, "doctor", "api")

		// The record names an account. doctor warns until certroll has an account, and compares it afterwards.
		w.dns.Remove("shut.lab.test", "CAA")
		if err := w.dns.Add(`shut.lab.test. 60 IN CAA 0 issue "ca.example.net; accounturi=https://ca.example.net/acct/1"`); err != nil {
			t.Fatal(err)
		}
		if x := w.found(0); x.Warnings != 1 || !strings.Contains(x.Findings[0].Message, "there is none of ours at the CA yet") {
			t.Errorf("found %+v", x.Findings)
		}
		w.certroll(0, "apply", "-auto-approve") // Pebble ignores CAA
		w.token = token
		if x := w.found(1); x.Errors != 1 || !strings.Contains(x.Findings[0].Message, "and ours is https://") {
			t.Errorf("found %+v", x.Findings)
		}
		_, ours, _ := strings.Cut(w.found(1).Findings[0].Message, "and ours is ")
		w.dns.Remove("shut.lab.test", "CAA")
		if err := w.dns.Add(`shut.lab.test. 60 IN CAA 0 issue "ca.example.net; accounturi=` + ours + `"`); err != nil {
			t.Fatal(err)
		}
		w.certroll(0, "doctor")
	})

	t.Run("directory", func(t *testing.T) {
		w := l.fresh(t, map[string]string{"certs.hcl": strings.ReplaceAll(oneCertificate+strings.ReplaceAll(oneCertificate, "api", "web"), "issuer.pebble", "issuer.short")})
		w.saysOfItself(func(meta map[string]any) { meta["profiles"] = map[string]string{"long": "for long"} })
		w.settings(fmt.Sprintf("issuer \"short\" {\n  directory               = %q\n  profile                 = \"default\"\n"+
			"  terms_of_service_agreed = true\n  ca_bundle               = <<-PEM\n%s\n  PEM\n}\n", w.directory, w.caBundle))
		w.says("doctor", "Error: profile of issuer.short (config)", `does not offer profile = "default"; it offers "long"`, "touches 2 certificates: api, web")
		if refs := w.git("for-each-ref"); strings.Contains(refs, "certroll/status") {
			t.Errorf("it wrote a ledger: %s", refs)
		}
	})

	t.Run("delegation", func(t *testing.T) {
		w := l.fresh(t, map[string]string{"certs.hcl": strings.ReplaceAll(oneCertificate, "api", "lost")})
		w.settings("")
		if err := w.dns.Add("_acme-challenge.lost.lab.test. 60 IN CNAME lost.gone.test."); err != nil {
			t.Fatal(err)
		}
		w.says("doctor", "Error: zone of gone.test (validation)", "_acme-challenge.lost.lab.test leads to lost.gone.test", "no canary tried: 1 error")
	})
}
