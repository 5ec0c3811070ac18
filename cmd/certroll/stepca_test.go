package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/acme" //nolint:depguard // the test revokes with an account's key, as somebody else may

	"certroll/cmd/certroll/settings"
	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

// compromise is keyCompromise of RFC 5280 section 5.3.1.
const compromise = 1

// TestStepCA: step-ca is a second real CA, without renewal information and profiles but with a CRL. The tests cover all
// kinds of certificates, a rotation that revokes, a certificate revoked by the CA, an account that the CA rejects, and
// an outage of the CA.
func TestStepCA(t *testing.T) {
	labtest.Needs(t, "step-ca")
	t.Parallel()
	l := newLabWithoutCA(t)
	ca := labtest.StepCA(t, lab.StepCAOptions{DNS: l.dns.Addr})
	l.directory, l.caBundle, l.root = ca.Directory, ca.CABundle, ca.CABundle
	for _, part := range []struct {
		name string
		test func(*testing.T, *world, *lab.StepCA)
	}{
		{"main-job", stepMainJob}, {"rotation", stepRotation}, {"revoked", stepRevoked}, {"account", stepAccount}, {"outage", stepOutage},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, l, ca) })
	}
}

// onStep returns a new world on a step-ca.
func (w world) onStep(t *testing.T, ca *lab.StepCA, files map[string]string) *world {
	t.Helper()
	w.prefix = "certroll-" + notInName.ReplaceAllString(strings.ToLower(t.Name()), "-")
	w.env = slices.Clone(w.env)
	fresh := w.fresh(t, files)
	fresh.settings(fmt.Sprintf("probe {\n  allow = [\"127.0.0.0/8:*\"]\n}\ndns \"web\" {\n  challenge = \"http-01\"\n  listen    = \"127.0.0.1:%d\"\n}\n", ca.HTTPPort))
	return fresh
}

// listed returns the CRL's entries, by serial.
func listed(t *testing.T, ca *lab.StepCA) map[string]int {
	t.Helper()
	entries, err := ca.Revoked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]int{}
	for _, e := range entries {
		codes[hex.EncodeToString(e.SerialNumber.Bytes())] = e.ReasonCode
	}
	return codes
}

// stepMainJob: one apply issues several certificates, with a wildcard, an RSA key and http-01.
func stepMainJob(t *testing.T, l *world, ca *lab.StepCA) {
	w := l.onStep(t, ca, map[string]string{"certs.hcl": twoCertificates + declare("key {\n    algorithm = \"rsa\"\n  }", "rsa")["certs.hcl"] +
		strings.ReplaceAll(declare("", "web")["certs.hcl"], "dns.lab", "dns.web")})
	w.certroll(0, "validate", "-config", settings.DefaultFile)
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/api", "api.lab.test", "www.lab.test")
	w.checkPair("tls/wild", "lab.test", "*.lab.test")
	w.checkPair("tls/web", "web.lab.test")
	leaf := w.checkPair("tls/rsa", "rsa.lab.test")
	if got := leaf.PublicKeyAlgorithm.String(); got != "RSA" {
		t.Errorf("rsa has a key of %s", got)
	}
	if live := w.record("api").Live; live.CRL != ca.CRL {
		t.Errorf("the record has the CRL %q, the CA has it at %s", live.CRL, ca.CRL)
	}
	if out := w.certroll(0, "apply", "-auto-approve"); !strings.Contains(out, "Nothing to do.") {
		t.Errorf("a second apply:\n%s", out)
	}
	if left := w.dns.Challenges(); len(left) > 0 {
		t.Errorf("challenge records are left: %v", left)
	}
}

// stepRotation: a person rotates and revokes a leaked certificate. The CRL contains the old one with the reason, and
// not the new one.
func stepRotation(t *testing.T, l *world, ca *lab.StepCA) {
	w := l.onStep(t, ca, declare("", "leaked"))
	w.certroll(0, "apply", "-auto-approve")
	was := w.record("leaked").Live
	w.push(declare("rotate {\n    reason = \"leaked\"\n    revoke = true\n    code   = \"keyCompromise\"\n  }", "leaked"), "Rotate it")
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/leaked", "leaked.lab.test")
	now := w.record("leaked").Live
	if now.Serial == was.Serial || now.KeyDigest == was.KeyDigest {
		t.Errorf("it was not rotated: %+v", now)
	}
	codes := listed(t, ca)
	if code, ok := codes[was.Serial]; !ok || code != compromise {
		t.Errorf("the CRL has %v, want %s for the reason %d", codes, was.Serial, compromise)
	}
	if _, ok := codes[now.Serial]; ok {
		t.Error("the CRL lists the new certificate")
	}
	w.tells("leaked", "issue success, rotate success")
}

// stepRevoked: someone else revokes one of two certificates. certroll reads the CRL for both, alerts, renews the
// revoked one with a new key, and leaves the other alone.
func stepRevoked(t *testing.T, l *world, ca *lab.StepCA) {
	w := l.onStep(t, ca, declare("key {\n    rotation = \"never\"\n  }", "good", "bad"))
	w.certroll(0, "apply", "-auto-approve")
	good, bad := w.record("good").Live, w.record("bad").Live
	_, doc := w.onlyAccount()
	block, _ := pem.Decode([]byte(w.secret("tls/bad")["certificate"]))
	reason := uint(compromise)
	if err := w.client(ca.Client(), doc).Certificates.Revoke(acme.RevokeCertMessage{Certificate: base64.RawURLEncoding.EncodeToString(block.Bytes), Reason: &reason}); err != nil {
		t.Fatal(err)
	}
	if out := w.certroll(0, "apply", "-auto-approve"); !strings.Contains(out, "keyCompromise") {
		t.Errorf("the plan does not say why:\n%s", out)
	}
	if r := w.record("bad"); r.Live.Serial == bad.Serial || r.Live.KeyDigest == bad.KeyDigest || r.RevokedBefore != bad.Serial {
		t.Errorf("the revoked one: %+v", r)
	}
	if r := w.record("good"); r.Live.Serial != good.Serial || r.Revoked != nil {
		t.Errorf("the other one: %+v", r)
	}
	pages := 0
	for _, e := range w.audit() {
		if e.Reason == ledger.ReasonRevoked && e.Operation == ledger.KindNote {
			pages++
			if e.Certificate != "bad" || e.Severity != ledger.SeverityPage {
				t.Errorf("event: %+v", e)
			}
		}
	}
	if pages != 1 {
		t.Errorf("%d events tell of the revocation, want 1", pages)
	}
	if out := w.certroll(0, "apply", "-auto-approve"); !strings.Contains(out, "Nothing to do.") {
		t.Errorf("another apply:\n%s", out)
	}
}

// stepAccount: the CA rejects the account. certroll records one failure and holds the rest, and the advice in the error
// ends the holds.
func stepAccount(t *testing.T, l *world, ca *lab.StepCA) {
	names := []string{"acc-a", "acc-b", "acc-c"}
	w := l.onStep(t, ca, declare("", names...))
	w.certroll(0, "apply", "-auto-approve")
	id, doc := w.onlyAccount()
	w.deactivate(ca.Client(), doc)
	w.push(declare(`rotate = "now"`, names...), "All are due")
	if out := w.certroll(1, "doctor", "-no-canary"); !strings.Contains(out, "ACME account of issuer pebble") {
		t.Errorf("doctor does not find it:\n%s", out)
	}
	w.certroll(1, "apply", "-auto-approve")
	w.certroll(0, "apply", "-auto-approve") // all are held
	failed := slices.DeleteFunc(w.events(), func(e auditEvent) bool { return e.Status != string(ledger.Failed) })
	if len(failed) != 1 || failed[0].Owner != string(ledger.OwnerAccount) || !strings.Contains(failed[0].Message, "the CA answered 401 urn:ietf:params:acme:error:unauthorized") {
		t.Fatalf("failures: %+v", failed)
	}
	remedy := "vault kv metadata delete -mount=secret " + w.prefix + "/accounts/" + id
	if !strings.Contains(failed[0].Message, remedy) {
		t.Fatalf("it does not say what to do: %s", failed[0].Message)
	}
	w.removeAccount(id, doc, failed[0].Certificate, names)
}

// stepOutage: the CA is down when a renewal is due. The certificate is held, the live one stays, and the renewal
// succeeds with the same account when the CA is back.
func stepOutage(t *testing.T, l *world, ca *lab.StepCA) {
	w := l.onStep(t, ca, declare("", "outage"))
	w.certroll(0, "apply", "-auto-approve")
	was := w.serial("outage")
	_, account := w.onlyAccount()
	w.push(declare(`rotate = "now"`, "outage"), "Rotate it")
	if err := ca.Stop(); err != nil {
		t.Fatal(err)
	}
	w.says(applyNow, "failed (ca_unavailable)", "connection refused")
	w.waits(w.failed("outage", ledger.ClassCAUnavailable, "connection refused", 1), time.Minute, 66*time.Second)
	w.stays("outage", 1, was)
	if out := w.certroll(0, "apply", "-auto-approve"); !strings.Contains(out, "rotate waits until") {
		t.Errorf("it is not held:\n%s", out)
	}
	if err := ca.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.certroll(0, "retry", "outage")
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/outage", "outage.lab.test")
	w.tells("outage", "issue success, rotate failure, rotate success")
	if _, now := w.onlyAccount(); now["account_url"] != account["account_url"] {
		t.Error("another account was registered")
	}
	if w.serial("outage") == was {
		t.Error("it was not renewed")
	}
}
