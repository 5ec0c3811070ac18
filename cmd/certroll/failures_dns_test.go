package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

// TestDNSFails checks failures of a DNS server: refused updates and missing responses.
func TestDNSFails(t *testing.T) {
	sideBySide(t, map[string]func(*testing.T, *world){
		"wrong key": wrongKey, "new key": newKeyInVault, "down": nameserverDown, "down for a moment": nameserverHiccup, "another account": anotherAccount,
	})
}

// failingDNS is a name server that a test can make fail: BIND, or the lab's own server in tests limited to Go and Git.
type failingDNS struct {
	nameserver
	pause, resume func() error
	// refusals returns the number of updates with a wrong signature.
	refusals   func() int
	challenges func() ([]string, error)
	logs       func() string
}

func newFailingDNS(t *testing.T) failingDNS {
	t.Helper()
	if labtest.Only() {
		return ownDNS(labtest.DNS(t, zone))
	}
	bind := labtest.BIND(t, zone)
	return failingDNS{
		nameserver{bind.Addr, bind.KeyName, bind.Secret, bind.Algorithm}, bind.Pause, bind.Resume,
		// After each refusal certroll queries BIND for the reason. BIND refuses that query too, so each refusal counts
		// twice.
		func() int { return strings.Count(bind.Logs(), "(BADSIG)") / 2 },
		func() ([]string, error) { return bind.Challenges(t.Context()) }, bind.Logs,
	}
}

// ownDNS sends no response while it is paused.
func ownDNS(d *lab.DNS) failingDNS {
	all := func(f lab.Fault) func() error {
		return func() error {
			d.FailQueries(f)
			d.FailUpdates(f)
			return nil
		}
	}
	return failingDNS{
		nameserver{d.Addr, d.KeyName, d.Secret, d.Algorithm}, all(lab.Drop), all(lab.None),
		func() int { return d.Unverified() / 2 }, // twice per refusal, as with BIND
		func() ([]string, error) { return d.Challenges(), nil }, func() string { return "" },
	}
}

// onFailingDNS returns the lab with a failing server as its only name server.
func (w world) onFailingDNS(t *testing.T) (*world, failingDNS) {
	t.Helper()
	d := newFailingDNS(t)
	w.pebble = labtest.Pebble(t, lab.PebbleOptions{DNS: d.addr})
	w.nameserver = d.nameserver
	return &w, d
}

// wrongKey: certroll tries a rejected credential once. With the right credential the renewal continues with the same
// order.
func wrongKey(t *testing.T, l *world) {
	on, server := l.onFailingDNS(t)
	w, f := on.issued(t, "key")
	was := w.serial("key")
	right := w.nameserver.secret
	w.nameserver.secret = "d3Jvbmcta2V5LXdyb25nLWtleQ=="
	w.says(applyNow, "failed (dns_unauthorized)", "DNS account lab", "BADSIG", "check that the account's credentials are current")
	e := w.failed("key", ledger.ClassDNSUnauthorized, "BADSIG", 1)
	if e.DNSAccount != "lab" || e.Issuer != "pebble" || len(e.PassedOver) != 0 {
		t.Errorf("the event blames %q at %q, having passed over %v", e.DNSAccount, e.Issuer, e.PassedOver)
	}
	w.waits(e, time.Minute, 66*time.Second)
	w.stays("key", 1, was)
	if n := server.refusals(); n != 1 {
		t.Errorf("the server refused %d updates, want 1:\n%s", n, server.logs())
	}
	w.quiet(f, "the account is held")
	w.nameserver.secret = right
	w.nudge()
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/key", "key.lab.test")
	w.tells("key", "issue success, rotate failure, rotate success")
	f.orders(2, 2)
	if left, err := server.challenges(); err != nil || len(left) > 0 {
		t.Errorf("challenge records are left: %v, %v", left, err)
	}
}

// newKeyInVault: the daemon's hold ends with the next version of the secret that contains the credential.
func newKeyInVault(t *testing.T, l *world) {
	on, server := l.onFailingDNS(t)
	w, f := on.issued(t, "fresh")
	put := func(secret string) {
		t.Helper()
		in := map[string]any{"data": map[string]string{"key": secret}}
		if err := w.vault.API(t.Context(), http.MethodPost, "secret/data/dns/fresh", in, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("d3Jvbmcta2V5LXdyb25nLWtleQ==")
	w.editSettings(func(text string) string {
		return strings.Replace(text, `env("CERTROLL_DNS_TSIG_SECRET")`, `vault("secret/dns/fresh", "key")`, 1) + "\ninterval = \"1s\"\n"
	})
	cmd, out := w.startRun()
	w.until("the refusal", out, func() bool { return w.countEvents("rotate", "failure") == 1 })
	hold := *w.failed("fresh", ledger.ClassDNSUnauthorized, "BADSIG", 1).HoldUntil
	put(server.secret)
	w.until("the renewal", out, func() bool { return w.countEvents("rotate", "success") == 1 })
	if !time.Now().Before(hold) {
		t.Errorf("it waited for the hold's end, %s", hold)
	}
	w.stopRun(cmd, out)
	w.checkPair("tls/fresh", "fresh.lab.test")
	w.tells("fresh", "issue success, rotate failure, rotate success")
	f.orders(2, 2)
}

// nameserverDown: the server hangs for longer than an attempt lasts, and recovers.
func nameserverDown(t *testing.T, l *world) {
	on, server := l.onFailingDNS(t)
	w, f := on.issued(t, "hung")
	was := w.serial("hung")
	if err := server.pause(); err != nil {
		t.Fatal(err)
	}
	out := w.says(applyNow, "failed (dns_unavailable)", "DNS account lab", "i/o timeout")
	if n := strings.Count(out, "trying again in"); n != 2 {
		t.Errorf("it tried again %d times, want 2:\n%s", n, out)
	}
	w.waits(w.failed("hung", ledger.ClassDNSUnavailable, "i/o timeout", 1), time.Minute, 66*time.Second)
	w.stays("hung", 1, was)
	w.quiet(f, "the name server is not asked at once again")
	if err := server.resume(); err != nil {
		t.Fatal(err)
	}
	w.nudge()
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/hung", "hung.lab.test")
	w.tells("hung", "issue success, rotate failure, rotate success")
	f.orders(2, 2)
}

// nameserverHiccup: an outage that ends within the attempt is not a failure.
func nameserverHiccup(t *testing.T, l *world) {
	on, server := l.onFailingDNS(t)
	w, f := on.issued(t, "hiccup")
	w.env = append(w.env, patienceVariable+"=200ms 20s") // the last value of a variable applies
	if err := server.pause(); err != nil {
		t.Fatal(err)
	}
	cmd, out := w.command("apply", "-auto-approve"), &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("the second try", out, func() bool { return strings.Contains(out.String(), "trying again in 200ms") })
	if err := server.resume(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("it ended with %v:\n%s", err, out)
	}
	w.checkPair("tls/hiccup", "hiccup.lab.test")
	w.tells("hiccup", "issue success, rotate success")
	f.orders(2, 2)
}

// anotherAccount: the second account of the list takes over at once, and the event says so. After three failures
// certroll no longer tries the first one.
func anotherAccount(t *testing.T, l *world) {
	server := newFailingDNS(t)
	w, f := l.faulty(t, declare("", "dr1"))
	w.editSettings(func(text string) string {
		return text + fmt.Sprintf(`
dns "bad" {
  provider = "rfc2136"
  credentials = {
    RFC2136_NAMESERVER     = %q
    RFC2136_TSIG_KEY       = %q
    RFC2136_TSIG_ALGORITHM = %q
    RFC2136_TSIG_SECRET    = env("CERTROLL_DNS_BAD_SECRET")
  }
}
`, server.addr, server.key, server.algorithm)
	})
	w.env = append(w.env, "CERTROLL_DNS_BAD_SECRET=d3Jvbmcta2V5LXdyb25nLWtleQ==")
	declared := func(names ...string) map[string]string {
		files := declare("", names...)
		files["certs.hcl"] = strings.ReplaceAll(files["certs.hcl"], "= dns.lab", "= [dns.bad, dns.lab]")
		return files
	}
	w.push(declared("dr1", "dr2", "dr3"), "Declare them")
	out := w.certroll(0, "apply", "-auto-approve")
	if !strings.Contains(out, "going on with the DNS account lab") {
		t.Errorf("it does not say that it goes on with the other account:\n%s", out)
	}
	for _, e := range w.audit() {
		if e.Status != ledger.Success || e.DNSAccount != "lab" || len(e.PassedOver) != 1 || e.PassedOver[0].Account != "bad" ||
			e.PassedOver[0].Class != ledger.ClassDNSUnauthorized || !strings.Contains(e.PassedOver[0].Message, "BADSIG") {
			t.Errorf("event %+v", e)
		}
	}
	refused := server.refusals()
	if refused != 3 {
		t.Errorf("the server refused %d updates, want one of each certificate", refused)
	}
	w.push(declared("dr1", "dr2", "dr3", "dr4", "dr5"), "Declare two more")
	w.certroll(0, "apply", "-auto-approve")
	for _, e := range w.audit()[3:] {
		if e.Status != ledger.Success || e.DNSAccount != "lab" || len(e.PassedOver) != 0 {
			t.Errorf("event %+v", e)
		}
	}
	if n := server.refusals(); n != refused {
		t.Errorf("an account that fails for all was tried %d times more", n-refused)
	}
	f.orders(5, 5)
}
