package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"certroll/gitsync/atomicfile"
	"certroll/reconcile/ledger"
)

// TestNewCredentialInAFile: a hold ends when the file with the rejected credential changes, and not before.
func TestNewCredentialInAFile(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": strings.ReplaceAll(oneCertificate, "dns.lab", "dns.filed")})
	secret := filepath.Join(w.dir, "tsig")
	if err := os.WriteFile(secret, []byte(base64.StdEncoding.EncodeToString([]byte("not the key of this server"))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.settings(fmt.Sprintf(`
interval = "1h"
dns "filed" {
  provider = "rfc2136"
  credentials = {
    RFC2136_NAMESERVER     = %q
    RFC2136_TSIG_KEY       = %q
    RFC2136_TSIG_ALGORITHM = %q
    RFC2136_TSIG_SECRET    = file(%q)
    RFC2136_TTL            = "1"
  }
  propagation {
    nameservers = [%[1]q]
  }
}`, w.nameserver.addr, w.nameserver.key, w.nameserver.algorithm, secret))
	cmd, out := w.startRun()
	w.until("the refusal", out, func() bool { return w.countEvents("issue", "failure") == 1 })
	if err := atomicfile.Write(secret, []byte(w.nameserver.secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.until("the certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	w.stopRun(cmd, out)
	es := slices.DeleteFunc(w.audit(), func(e ledger.Event) bool { return e.Operation != ledger.KindIssue }) // the daily examination may report it too
	if len(es) != 2 || es[0].Class != ledger.ClassDNSUnauthorized || es[0].HoldUntil == nil || es[1].Time.After(*es[0].HoldUntil) {
		t.Errorf("the hold did not end early: %+v", es)
	}
	w.checkPair("tls/api", "api.lab.test")
}

// TestConfigDirIsWatched: certroll reads a file written below the config directory long before the next pull.
func TestConfigDirIsWatched(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"README.md": "nothing\n"})
	w.settings(`interval = "1h"`)
	dir := filepath.Join(w.dir, "config")
	if err := os.MkdirAll(filepath.Join(dir, "teams"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte(oneCertificate), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := w.started("run", "-config-dir", dir)
	w.until("the first certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	if err := os.WriteFile(filepath.Join(dir, "teams", "b.hcl"), []byte(strings.ReplaceAll(oneCertificate, "api", "more")), 0o600); err != nil {
		t.Fatal(err)
	}
	w.until("the second certificate", out, func() bool { return w.countEvents("issue", "success") == 2 })
	w.stopRun(cmd, out)
}
