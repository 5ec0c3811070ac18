package attempt_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

const keptAt = "secret/certroll/replaced/api"

// TestRevokesWhatItsOwnWriteDestroys checks a secret that keeps one version: certroll
// stores the old certificate, without its key, before it overwrites it, so that it can
// still revoke it.
func TestRevokesWhatItsOwnWriteDestroys(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	reconciletest.Compromised(c)
	w.Vault.Fail = func(op, path string) error {
		s := w.Vault.Secrets["secret/tls/api"]
		if op == "write-metadata" && path == "secret/tls/api" && len(s.Versions) == 2 {
			s.Versions[0] = reconciletest.MemVersion{Deleted: true} // like max_versions = 1
		}
		if s := w.Vault.Secrets[keptAt]; s != nil {
			for _, v := range s.Versions {
				for serial, text := range v.Data {
					if serial != before.Serial || !strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----") || strings.Contains(text, "KEY") {
						t.Errorf("kept: %s %s", serial, text)
					}
				}
			}
		}
		return nil
	}
	w.Settle()
	es := w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Revoked != before.Serial || len(w.Ca.Revoked) != 1 {
		t.Fatalf("event %+v, %d revoked", e, len(w.Ca.Revoked))
	}
	if w.Vault.Secrets[keptAt] != nil {
		t.Error("what was kept is there after it was revoked and told")
	}
	reconciletest.Expect(t, w.Only(), ledger.KindNone, ledger.ReasonUpToDate, "")
}

// TestRevokesLaterWhatIsGone checks that a revocation succeeds later if the CA is down
// after the rotation and the secret with its metadata is deleted meanwhile.
func TestRevokesLaterWhatIsGone(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	reconciletest.Compromised(c)
	w.Ca.Fail = revocationsFail("ca_unavailable", "503")
	w.Settle()
	if w.Vault.Secrets[keptAt] == nil {
		t.Fatal("nothing is kept while it waits")
	}
	w.Ca.Fail = nil
	gone["removed with its metadata"](w)
	w.Settle() // issued again
	w.At = w.At.Add(time.Hour)
	w.Settle()
	events := w.Ledger.Events(t)
	if !slices.ContainsFunc(events, func(e ledger.Event) bool { return e.Revoked == before.Serial }) || w.Vault.Secrets[keptAt] != nil {
		t.Errorf("not revoked, or kept on: %+v", events[len(events)-1])
	}
}

// TestAKeptCertificateThatIsLiveIsNotRevoked checks that certroll never revokes a live
// certificate, even if the ledger requests it.
func TestAKeptCertificateThatIsLiveIsNotRevoked(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	leaf := w.SecretPair("tls/api").Leaf()
	r := w.Reconciler()
	if err := r.Leaves.Keep(t.Context(), "api", leaf, w.At); err != nil {
		t.Fatal(err)
	}
	live := w.Ledger.Record(t, "api").Live
	a := &attempt.Attempt{Applier: &attempt.Applier{Means: r.Means, Desired: w.Desired}, Action: w.Only(), Live: live}
	err := a.RevokeOne(t.Context(), &ledger.Revocation{Serial: live.Serial, Issuer: "ca", Directory: live.Directory, Mount: "secret", Path: "tls/api", Version: 1})
	if err == nil || !strings.Contains(err.Error(), "it is what is live") || len(w.Ca.Revoked) != 0 {
		t.Errorf("revoked %v, error %v", w.Ca.Revoked, err)
	}
}

// TestARotationGoesOnWhereNothingCanBeKept checks that a compromised key is rotated
// even if an outdated Vault policy forbids storing the old certificate.
func TestARotationGoesOnWhereNothingCanBeKept(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	before := w.Ledger.Record(t, "api").Live
	reconciletest.Compromised(c)
	w.Vault.Fail = func(op, path string) error {
		if path == keptAt {
			return errors.New("permission denied")
		}
		return nil
	}
	w.Settle()
	es := w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Revoked != before.Serial {
		t.Errorf("event %+v", e)
	}
}

// TestKeptCertificatesAreBounded checks that stored old certificates are dropped when
// they expire, and that their number is bounded.
func TestKeptCertificatesAreBounded(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	w.Ca.Fail = revocationsFail("ca_unavailable", "503")
	for range pending.MostLeaves + 5 {
		w.At = w.At.Add(time.Hour)
		c.Rotate, c.RotateRevoke = w.At.String(), &spec.Revocation{Code: 1}
		w.Settle()
	}
	s := w.Vault.Secrets[keptAt]
	if n := len(s.Versions[len(s.Versions)-1].Data); n != pending.MostLeaves {
		t.Errorf("%d are kept", n)
	}
	w.At = w.At.Add(91 * times.Day)
	w.Settle() // renewal
	c.Rotate = "later"
	w.Settle()
	s = w.Vault.Secrets[keptAt]
	if n := len(s.Versions[len(s.Versions)-1].Data); n != 1 {
		t.Errorf("%d are kept after all others have expired", n)
	}
}
