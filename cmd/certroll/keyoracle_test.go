package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// oracleFields returns fields that fail only for the real key, in a field named after one character of it.
func oracleFields(position int) string {
	var b strings.Builder
	b.WriteString("{\n      zz = \"${cert.private_key}${cert.fullchain}\"\n")
	for i, letter := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" {
		fmt.Fprintf(&b, "      f%02d = cert.serial == \"0a:1b:2c\" ? \"x\" : (substr(cert.private_key, %d, 1) == \"%c\" ? tostring(tonumber(\"no\")) : \"x\")\n", i, position, letter)
	}
	b.WriteString("    }")
	return b.String()
}

func withFields(fields string) string {
	return strings.Replace(oneCertificate, "dns.lab", "dns.lab\n  vault {\n    fields = "+fields+"\n  }", 1)
}

// TestKeyOracle: a person who may change a certificate's fields learns no bit of its key from the ledger. Eight commits
// each test for one character; then plain fields cost one order.
func TestKeyOracle(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"README.md": "certificates\n"})
	w.settings("")
	for position := 100; position < 108; position++ {
		w.push(map[string]string{"certs.hcl": withFields(oracleFields(position))}, fmt.Sprintf("Ask for character %d", position))
		w.says("plan", "Private key computed on", "cert.private_key stands in a condition", "certs.hcl:")
		w.says("apply --auto-approve", "Private key computed on")
	}
	// Fields that pass validate and fail for the certificate: certroll discards the key, and the next commit does not
	// order at once.
	failing := `{ zz = "${cert.private_key}${cert.fullchain}", n = tostring(tonumber(length(cert.names) == 1 ? "1" : "no")) }`
	two := func(fields string) string {
		return strings.Replace(withFields(fields), `["api.lab.test"]`, `["api.lab.test", "www.api.lab.test"]`, 1)
	}
	w.push(map[string]string{"certs.hcl": two(failing)}, "Fail for two names")
	w.certroll(1, "apply", "-auto-approve")
	w.push(map[string]string{"certs.hcl": two(strings.Replace(failing, "n =", "m =", 1))}, "Fail again")
	w.certroll(0, "apply", "-auto-approve") // held: nothing happens
	failures := 0
	for _, e := range w.events() {
		if e.Certificate == "api" && e.Status == "failure" {
			failures++
			if !strings.Contains(e.Message, "the key was destroyed") {
				t.Errorf("event: %+v", e)
			}
		}
	}
	if failures != 1 {
		t.Errorf("%d failures are told of", failures)
	}
	var pending struct{ Data any }
	if err := w.vault.API(t.Context(), http.MethodGet, "secret/data/certroll/pending/api", nil, &pending); err == nil {
		t.Error("the pending secret is there still")
	}
	w.push(map[string]string{"certs.hcl": oneCertificate}, "Plain fields")
	w.certroll(0, "retry", "api")
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/api", "api.lab.test")
}

// TestRepoReachesNoKey: a vault() reference in the config repo, within trust.vault, reaches neither a path recorded as
// a certificate's nor a secret that certroll manages according to its metadata.
func TestRepoReachesNoKey(t *testing.T) {
	t.Parallel()
	at := func(name, path string) string {
		return strings.Replace(certificateNamed(name), "dns.lab", "dns.lab\n  vault { path = \""+path+"\" }", 1)
	}
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": at("old", "dns/old")})
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	password := func(path, field string) string {
		return withFields(fmt.Sprintf(`{ p12 = pkcs12(vault(%q, %q)) }`, path, field))
	}
	reached := func(path, field, why string) {
		t.Helper()
		w.push(map[string]string{"certs.hcl": password(path, field)}, "Reach for "+path)
		w.certroll(1, "apply", "-auto-approve")
		events := w.events()
		if last := events[len(events)-1]; last.Certificate != "api" || last.Status != "failure" || !strings.Contains(last.Message, why) {
			t.Errorf("%s: %+v", path, last)
		}
		w.certroll(0, "retry", "api")
	}
	// A certificate in today's config.
	w.push(map[string]string{"certs.hcl": at("old", "dns/old") + password("secret/dns/old", "private_key")}, "Reach for what is live")
	w.says("plan", "Reference out of reach", "leads to the secret of certificate old")
	// The block is gone, the secret stays.
	reached("secret/dns/old", "private_key", "the ledger records that path as a certificate's")
	// A secret of another certroll, absent from this ledger.
	if err := w.vault.API(t.Context(), http.MethodPost, "secret/data/dns/theirs", map[string]any{"data": map[string]string{"private_key": "theirs-0123"}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.vault.API(t.Context(), http.MethodPost, "secret/metadata/dns/theirs", map[string]any{"custom_metadata": map[string]string{"managed_by": "certroll"}}, nil); err != nil {
		t.Fatal(err)
	}
	reached("secret/dns/theirs", "private_key", "certroll manages that secret")
	// Ordinary credentials can still be referenced.
	if err := w.vault.API(t.Context(), http.MethodPost, "secret/data/dns/p12", map[string]any{"data": map[string]string{"password": "correct-horse-battery"}}, nil); err != nil {
		t.Fatal(err)
	}
	w.push(map[string]string{"certs.hcl": password("secret/dns/p12", "password")}, "A password of its own")
	w.certroll(0, "apply", "-auto-approve")
	if w.secret("tls/api")["p12"] == "" {
		t.Error("there is no keystore")
	}
}
