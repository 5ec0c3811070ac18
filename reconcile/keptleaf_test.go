package reconcile

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/times"
	"certroll/spec"
)

const keptAt = "secret/certroll/replaced/api"

// TestRevokesWhatItsOwnWriteDestroys: of a secret that keeps one version the old
// certificate is kept, without its key, before the new one takes its place.
func TestRevokesWhatItsOwnWriteDestroys(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	compromised(c)
	w.vault.fail = func(op, path string) error {
		s := w.vault.secrets["secret/tls/api"]
		if op == "write-metadata" && path == "secret/tls/api" && len(s.versions) == 2 {
			s.versions[0] = memVersion{deleted: true} // as max_versions = 1 does
		}
		if s := w.vault.secrets[keptAt]; s != nil {
			for _, v := range s.versions {
				for serial, text := range v.data {
					if serial != before.Serial || !strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----") || strings.Contains(text, "KEY") {
						t.Errorf("kept: %s %s", serial, text)
					}
				}
			}
		}
		return nil
	}
	w.settle()
	es := w.ledger.events(t)
	if e := es[len(es)-1]; e.Revoked != before.Serial || len(w.ca.revoked) != 1 {
		t.Fatalf("event %+v, %d revoked", e, len(w.ca.revoked))
	}
	if w.vault.secrets[keptAt] != nil {
		t.Error("what was kept is there after it was revoked and told")
	}
	expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
}

// TestRevokesLaterWhatIsGone: the CA is away when the rotation is done, and the
// secret is removed with its metadata before it is back.
func TestRevokesLaterWhatIsGone(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	compromised(c)
	w.ca.fail = revocationsFail("ca_unavailable", "503")
	w.settle()
	if w.vault.secrets[keptAt] == nil {
		t.Fatal("nothing is kept while it waits")
	}
	w.ca.fail = nil
	gone["removed with its metadata"](w)
	w.settle() // it is issued again
	w.at = w.at.Add(time.Hour)
	w.settle()
	events := w.ledger.events(t)
	if !slices.ContainsFunc(events, func(e ledger.Event) bool { return e.Revoked == before.Serial }) || w.vault.secrets[keptAt] != nil {
		t.Errorf("not revoked, or kept on: %+v", events[len(events)-1])
	}
}

// TestAKeptCertificateThatIsLiveIsNotRevoked, whatever the ledger says.
func TestAKeptCertificateThatIsLiveIsNotRevoked(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	leaf := w.secretPair("tls/api").Leaf()
	r := w.reconciler()
	if err := r.Leaves.Keep(t.Context(), "api", leaf, w.at); err != nil {
		t.Fatal(err)
	}
	live := w.ledger.record(t, "api").Live
	a := &attempt.Attempt{Applier: &attempt.Applier{Means: r.Means, Desired: w.desired}, Action: w.only(), Live: live}
	err := a.RevokeOne(t.Context(), &ledger.Revocation{Serial: live.Serial, Issuer: "ca", Directory: live.Directory, Mount: "secret", Path: "tls/api", Version: 1})
	if err == nil || !strings.Contains(err.Error(), "it is what is live") || len(w.ca.revoked) != 0 {
		t.Errorf("revoked %v, error %v", w.ca.revoked, err)
	}
}

// TestARotationGoesOnWhereNothingCanBeKept: the key leaked, and a policy that is
// older than certroll's does not let it keep anything.
func TestARotationGoesOnWhereNothingCanBeKept(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	before := w.ledger.record(t, "api").Live
	compromised(c)
	w.vault.fail = func(op, path string) error {
		if path == keptAt {
			return errors.New("permission denied")
		}
		return nil
	}
	w.settle()
	es := w.ledger.events(t)
	if e := es[len(es)-1]; e.Revoked != before.Serial {
		t.Errorf("event %+v", e)
	}
}

// TestKeptCertificatesAreBounded: what has expired goes, and what is kept never
// grows without end.
func TestKeptCertificatesAreBounded(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	w.ca.fail = revocationsFail("ca_unavailable", "503")
	for range pending.MostLeaves + 5 {
		w.at = w.at.Add(time.Hour)
		c.Rotate, c.RotateRevoke = w.at.String(), &spec.Revocation{Code: 1}
		w.settle()
	}
	s := w.vault.secrets[keptAt]
	if n := len(s.versions[len(s.versions)-1].data); n != pending.MostLeaves {
		t.Errorf("%d are kept", n)
	}
	w.at = w.at.Add(91 * times.Day)
	w.settle() // the renewal
	c.Rotate = "later"
	w.settle()
	s = w.vault.secrets[keptAt]
	if n := len(s.versions[len(s.versions)-1].data); n != 1 {
		t.Errorf("%d are kept after all others have expired", n)
	}
}
