package main

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
)

const owner = "A. Owner <owner@example.com>"

// lastEvent returns the newest event, which must be a success.
func (w *world) lastEvent() auditEvent {
	w.t.Helper()
	events := w.events()
	e := events[len(events)-1]
	if e.Status != "success" {
		w.t.Errorf("the last event is %+v", e)
	}
	return e
}

// atCA returns Pebble's status of a certificate: "Valid" or "Revoked".
func (w *world) atCA(serial string) string {
	w.t.Helper()
	resp, err := w.pebble.Client().Get(w.pebble.Management + "/cert-status-by-serial/" + serial)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var answer struct{ Status string }
	if err != nil || json.Unmarshal(body, &answer) != nil {
		w.t.Fatalf("%v: %s", err, body)
	}
	return answer.Status
}

// rotated checks that everything except the names is new.
func (w *world) rotated(was *x509.Certificate, keyWas string) *x509.Certificate {
	w.t.Helper()
	is := w.checkPair("tls/api", "api.lab.test", "www.lab.test")
	if is.SerialNumber.Cmp(was.SerialNumber) == 0 || string(is.RawSubjectPublicKeyInfo) == string(was.RawSubjectPublicKeyInfo) || w.secret("tls/api")["private_key"] == keyWas {
		w.t.Error("serial, public key or private key stayed the same")
	}
	if !slices.Equal(is.DNSNames, was.DNSNames) {
		w.t.Errorf("the names were %v and are %v", was.DNSNames, is.DNSNames)
	}
	return is
}

// TestRotateCommand: a rotation requested at the command line goes through Git. The ledger records its reason and the
// person who requested it.
func TestRotateCommand(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs/certs.hcl": "# ours\n" + twoCertificates, "README.md": "certificates"})
	w.repoMore = `directory = "certs"`
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	first, firstKey := w.checkPair("tls/api", "api.lab.test", "www.lab.test"), w.secret("tls/api")["private_key"]
	firstSerial := w.lastEventOf("api").NewSerial

	// Far from expiry, certroll refuses the rotation and names its cost.
	out := w.certroll(1, "rotate", "api", "-reason", "suspected compromise", "-author", owner)
	for _, text := range []string{"api is far from expiry", "secret/tls/api", "issuer.pebble states none", "-force"} {
		if !strings.Contains(out, text) {
			t.Errorf("it says\n%s\nwant in it: %s", out, text)
		}
	}
	if n := w.git("rev-list", "--count", "main"); n != "1" {
		t.Fatalf("a refused change made %s commits", n)
	}

	w.certroll(0, "rotate", "api", "-reason", "suspected compromise", "-force", "-author", owner)
	if got := w.git("log", "-1", "--format=%an <%ae>|%s", "main"); got != owner+"|Rotate api: suspected compromise" {
		t.Errorf("the commit is %q", got)
	}
	if got := w.git("diff", "--stat=200", "main^", "main"); !strings.Contains(got, "1 file changed, 1 insertion(+)") {
		t.Errorf("the commit changes\n%s", got)
	}
	w.certroll(0, "apply", "-auto-approve")
	second, secondKey := w.rotated(first, firstKey), w.secret("tls/api")["private_key"]
	e := w.lastEvent()
	if e.Operation != "rotate" || e.Detail != "suspected compromise" || e.Actor != owner || e.OldSerial != firstSerial || e.NewSerial == firstSerial ||
		e.Revision != w.git("rev-parse", "main") || e.Revoked != "" {
		t.Errorf("the event is %+v", e)
	}
	if got := w.atCA(firstSerial); got != "Valid" {
		t.Errorf("the old certificate is %s at the CA, though nobody asked to revoke it", got)
	}

	// The request causes exactly one rotation.
	ledger := w.git("rev-parse", "certroll/status")
	if out := w.certroll(0, "apply", "-auto-approve"); !strings.Contains(out, "Nothing to do.") || w.git("rev-parse", "certroll/status") != ledger {
		t.Errorf("a second apply does something:\n%s", out)
	}

	// The same reason again is a new request. This one also revokes.
	w.certroll(0, "rotate", "api", "-reason", "suspected compromise", "-revoke", "-code", "keyCompromise", "-force", "-author", owner)
	w.certroll(0, "apply", "-auto-approve")
	w.rotated(second, secondKey)
	e = w.lastEvent()
	if e.Operation != "rotate" || !strings.HasSuffix(e.Detail, " suspected compromise") || e.Revoked != e.OldSerial || e.Revoked == "" {
		t.Errorf("the event is %+v", e)
	}
	if got := w.atCA(e.OldSerial); got != "Revoked" {
		t.Errorf("the old certificate is %s at the CA", got)
	}
	if got := w.atCA(e.NewSerial); got != "Valid" {
		t.Errorf("the new certificate is %s at the CA", got)
	}
	w.certroll(0, "plan", "-detailed-exitcode")

	// A commit on another branch changes neither main nor the live certificate.
	main := w.git("rev-parse", "main")
	if out := w.certroll(0, "rotate", "wild", "-reason", "drill", "-force", "-branch", "drill/wild", "-author", owner); !strings.Contains(out, "drill/wild") {
		t.Errorf("the branch is not named:\n%s", out)
	}
	if got := w.git("rev-parse", "main", "drill/wild^"); got != main+"\n"+main {
		t.Errorf("main and the branch's parent are\n%s\nwant %s twice", got, main)
	}
	w.certroll(0, "plan", "-detailed-exitcode")
	w.moveWild()
}

// moveWild renames a certificate with a moved block.
func (w *world) moveWild() {
	w.t.Helper()
	was := w.lastEventOf("wild")
	text := strings.Replace(w.git("show", "main:certs/certs.hcl"), "certificate \"wild\"", "certificate \"star\"", 1)
	w.push(map[string]string{"certs/certs.hcl": text + "\nmoved {\n  from = \"wild\"\n  to   = \"star\"\n}\n"}, "Rename wild")
	if out := w.certroll(2, "plan", "-detailed-exitcode"); !strings.Contains(out, "star  moved from wild") || !strings.Contains(out, "Plan: 1 to move to another name, 1 unchanged.") {
		w.t.Errorf("plan:\n%s", out)
	}
	w.certroll(0, "apply", "-auto-approve")
	if e := w.lastEventOf("star"); e.Operation != "adopt" || e.Reason != "renamed" || e.Actor == "schedule" || e.NewSerial != was.NewSerial || e.Status != "success" {
		w.t.Errorf("the event is %+v", e)
	}
	w.checkPair("tls/wild", "lab.test", "*.lab.test")
	if out := w.certroll(0, "audit", "-certificate", "star"); !strings.Contains(out, "issue") {
		w.t.Errorf("audit:\n%s", out)
	}
	if out := w.certroll(0, "status", "star"); !strings.Contains(out, "secret/tls/wild version 1") || !strings.Contains(out, "last renewal") {
		w.t.Errorf("status:\n%s", out)
	}
	w.certroll(0, "plan", "-detailed-exitcode")
}

// lastEventOf returns the newest event of a certificate.
func (w *world) lastEventOf(name string) auditEvent {
	w.t.Helper()
	var last auditEvent
	for _, e := range w.events() {
		if e.Certificate == name {
			last = e
		}
	}
	return last
}

// TestDisableCommand: the ledger records who disabled a renewal, and why, until someone enables it again. The test uses
// HTTP and SSH.
func TestDisableCommand(t *testing.T) { newLab(t).overNetwork(t, (*world).disableAndEnable) }

func (w *world) disableAndEnable(name string) {
	w.t.Helper()
	source := strings.ReplaceAll(oneCertificate, "api", name)
	w.push(map[string]string{"certs.hcl": source}, "Declare it")
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")

	w.env = append(w.env, "GIT_AUTHOR_NAME=A. Owner", "GIT_AUTHOR_EMAIL=owner@example.com")
	w.certroll(0, "disable", name, "-reason", "moves to another team", "-until", "2199-12-31")
	w.certroll(0, "apply", "-auto-approve")
	e := w.lastEvent()
	if e.Reason != "renewal_off" || e.Actor != owner || e.Revision != w.git("rev-parse", "main") || !strings.Contains(e.Detail, "moves to another team") {
		w.t.Errorf("the event is %+v", e)
	}
	if off := w.unmanaged(name); off == nil || off.By != owner || off.Reason != "moves to another team" || off.Until != "2200-01-01T00:00:00Z" {
		w.t.Errorf("the record says %+v", off)
	}

	w.certroll(0, "enable", name, "-reason", "it has moved")
	w.certroll(0, "apply", "-auto-approve")
	if e := w.lastEvent(); e.Reason != "renewal_on" || e.Actor != owner {
		w.t.Errorf("the event is %+v", e)
	}
	if off := w.unmanaged(name); off != nil {
		w.t.Errorf("the record says %+v", off)
	}
	if got := w.git("show", "main:certs.hcl"); got != strings.TrimSpace(source) {
		w.t.Errorf("the file is not as it was:\n%s", got)
	}
	w.certroll(0, "plan", "-detailed-exitcode")
	if m := w.metadata("tls/" + name); m.Data.CurrentVersion != 1 {
		w.t.Errorf("Vault was written to: %+v", m)
	}
}

type unmanaged struct{ Reason, By, Until string }

// unmanaged returns the part of the record about a disabled renewal.
func (w *world) unmanaged(name string) *unmanaged {
	w.t.Helper()
	var r struct{ Unmanaged *unmanaged }
	if err := json.Unmarshal([]byte(w.ledgerFile("certificates/"+name+".json")), &r); err != nil {
		w.t.Fatal(err)
	}
	return r.Unmanaged
}
