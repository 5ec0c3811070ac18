package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"certroll/examples/lab/labtest"
	"certroll/reconcile/keypair"
)

const nextCertificate = `
certificate "mail" {
  domains = ["mail.lab.test"]
  issuer  = issuer.pebble
  dns     = dns.lab
  key {
    next = true
  }
  vault {
    fields = {
      fullchain   = cert.fullchain
      chain       = cert.chain
      private_key = cert.private_key
      tlsa        = "${cert.key_digest} ${cert.next_key_digest}"
    }
  }
}
`

// TestNextKeyIsKnownAhead: a renewal uses the key whose TLSA record could be published before. The examples' policies
// suffice.
func TestNextKeyIsKnownAhead(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": nextCertificate})
	w.settings("")
	w.token = w.policyToken("apply")
	w.certroll(0, "apply", "-auto-approve")
	leaf := w.checkPair("tls/mail", "mail.lab.test")
	next := w.checkNextKey("mail", leaf)
	if said := w.certroll(0, "status", "mail"); !strings.Contains(said, "3 1 1 "+spki(leaf)) || !strings.Contains(said, "3 1 1 "+next) {
		t.Errorf("status:\n%s", said)
	}
	if got := w.secret("tls/mail")["tlsa"]; got != spki(leaf)+" "+next {
		t.Errorf("the secret says %q", got)
	}
	t.Run("read by nobody else", func(t *testing.T) { w.as(t).onlyCertrollReads("secret/data/certroll/pending/next/mail") })

	// A rotation uses the published key.
	w.push(map[string]string{"certs.hcl": strings.Replace(nextCertificate, "  key {", "  rotate = \"leaked\"\n  key {", 1)}, "Rotate")
	if said := w.planBy("plan", 2); !strings.Contains(said, "the staged one, SPKI SHA-256 "+next) {
		t.Errorf("plan:\n%s", said)
	}
	w.certroll(0, "apply", "-auto-approve")
	renewed := w.checkPair("tls/mail", "mail.lab.test")
	published := dns.TLSA{Usage: 3, Selector: 1, MatchingType: 1, Certificate: next}
	if err := published.Verify(renewed); err != nil {
		t.Errorf("the TLSA record that was published ahead: %v", err)
	}
	second := w.checkNextKey("mail", renewed)
	if second == next || w.secret("tls/mail")["tlsa"] != next+" "+second {
		t.Errorf("next %s, then %s; the secret says %q", next, second, w.secret("tls/mail")["tlsa"])
	}
	if said := w.planBy("plan", 0); !strings.Contains(said, "Nothing to do.") {
		t.Errorf("plan:\n%s", said)
	}
	w.loseAndWithdraw(second)
}

// loseAndWithdraw deletes the staged key behind certroll's back, and disables key.next after certroll has staged
// another one.
func (w *world) loseAndWithdraw(next string) {
	w.t.Helper()
	if err := w.vault.API(w.t.Context(), http.MethodDelete, "secret/data/certroll/pending/next/mail", nil, nil); err != nil {
		w.t.Fatal(err)
	}
	if said := w.planBy("plan", 2); !strings.Contains(said, "mail  will stage its next key") || !strings.Contains(said, next) {
		w.t.Errorf("plan:\n%s", said)
	}
	w.certroll(0, "apply", "-auto-approve")
	third := w.checkNextKey("mail", w.checkPair("tls/mail", "mail.lab.test"))
	if e := w.events(); third == next || e[len(e)-1].Operation != "stage" || e[len(e)-1].Reason != "next_key_lost" {
		w.t.Errorf("next %s, then %s; events %+v", next, third, e)
	}
	w.push(map[string]string{"certs.hcl": strings.Replace(nextCertificate, "next = true", "next = false", 1)}, "Withdraw it")
	w.certroll(0, "apply", "-auto-approve")
	m := w.metadata("tls/mail")
	if m.Data.Custom["next_key_digest"] != "" || m.Data.CurrentVersion != 2 {
		w.t.Errorf("metadata: %+v", m)
	}
	if got := w.statusOf("secret/metadata/certroll/pending/next/mail"); got != http.StatusNotFound {
		w.t.Errorf("the staged key is still there: %d", got)
	}
	w.planBy("plan", 0)
}

func (w *world) policyToken(name string) string {
	w.t.Helper()
	rules, err := os.ReadFile("../../examples/vault-policies/" + name + ".hcl")
	if err != nil {
		w.t.Fatal(err)
	}
	return newToken(w.t, w.vault, name, string(rules))
}

// planBy runs plan with the token of a policy.
func (w *world) planBy(policy string, code int) string {
	w.t.Helper()
	was := w.token
	defer func() { w.token = was }()
	w.token = w.policyToken(policy)
	return w.certroll(code, "plan", "-detailed-exitcode")
}

// onlyCertrollReads requires that the tokens of plan and of consumers cannot read a path.
func (w *world) onlyCertrollReads(path string) {
	w.t.Helper()
	labtest.NeedsPolicies(w.t, w.vault)
	if got := w.statusOf(path); got != http.StatusOK {
		w.t.Errorf("certroll itself reads %s: %d", path, got)
	}
	was := w.token
	defer func() { w.token = was }()
	for _, policy := range []string{"plan", "consumer"} {
		w.token = w.policyToken(policy)
		if got := w.statusOf(path); got != http.StatusForbidden {
			w.t.Errorf("a token of the policy %s reads %s: %d", policy, path, got)
		}
	}
}

// checkNextKey requires that the staged key differs from the live one, that its digest is published, and that the key
// is only in Vault.
func (w *world) checkNextKey(name string, leaf *x509.Certificate) string {
	w.t.Helper()
	text := w.secret(w.prefix + "/pending/next/" + name)["key"]
	staged, err := keypair.PublicOf(text)
	if err != nil {
		w.t.Fatalf("the staged key of %s: %v", name, err)
	}
	sum := sha256.Sum256(staged)
	next := hex.EncodeToString(sum[:])
	if got := w.metadata("tls/" + name).Data.Custom["next_key_digest"]; got != next || got == spki(leaf) {
		w.t.Errorf("%s: staged %s, published %s, live %s", name, next, got, spki(leaf))
	}
	if !strings.Contains(w.ledgerFile("certificates/"+name+".json"), `"next_key_digest": "`+next+`"`) {
		w.t.Errorf("%s: the record does not name %s", name, next)
	}
	body := strings.Split(text, "\n")[1]
	if strings.Contains(w.git("log", "-p", "certroll/status"), body) {
		w.t.Errorf("%s: the ledger holds the staged key", name)
	}
	return next
}

func spki(leaf *x509.Certificate) string {
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
