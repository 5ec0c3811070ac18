package apply_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// crlWorld is a world whose certificates name a CRL.
func crlWorld(t testing.TB, certificates ...*spec.Certificate) (*reconciletest.World, *reconciletest.MemCRLs) {
	w := reconciletest.NewWorld(t, certificates...)
	w.Ca.SignBy(t, reconciletest.Start.Add(1000*times.Day), false)
	w.Ca.Wrong = func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"ldap://x/y", reconciletest.CrlURL} }
	crls := &reconciletest.MemCRLs{}
	w.Opts.CRLs = crls
	w.Opts.Moments = reconciletest.MemMoments{}
	return w, crls
}

func live(w *reconciletest.World, name string) *ledger.Live {
	w.T.Helper()
	return w.Ledger.Record(w.T, name).Live
}

// TestRevokedByCRL checks that a certificate listed in a CRL gets its state, an event
// of severity page and an immediate renewal. certroll fetches each CRL once a day for
// all certificates.
func TestRevokedByCRL(t *testing.T) {
	w, crls := crlWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("web", "web.example.com"))
	w.Settle()
	if l := live(w, "api"); l.CRL != reconciletest.CrlURL || l.IssuerKey == "" || l.Adopted {
		t.Fatalf("live: %+v", l)
	}
	w.Publish(crls, 4, w.Ca.MidKey)
	for range 3 {
		w.LookedUp()
	}
	if crls.Asked != 1 {
		t.Errorf("the list was read %d times for 2 certificates, want once a day", crls.Asked)
	}
	serial := live(w, "api").Serial
	w.At = w.At.Add(25 * time.Hour)
	w.Publish(crls, 4, w.Ca.MidKey, serial)
	actions := w.LookedUp()
	if crls.Asked != 2 {
		t.Errorf("the list was read %d times by the second day", crls.Asked)
	}
	reconciletest.Expect(t, actions[0], ledger.KindRenew, ledger.ReasonRevoked, "superseded")
	reconciletest.Expect(t, actions[1], ledger.KindNone, ledger.ReasonUpToDate, "")
	if s := actions[0].Record.StateAt(w.At); s != ledger.StateRevoked || s.Well() {
		t.Errorf("its state is %s", s)
	}
	w.Settle()
	if l := live(w, "api"); l.Serial == serial {
		t.Error("it was not renewed")
	}
	r := w.Ledger.Record(t, "api")
	if r.Revoked != nil || r.RevokedBefore != serial || r.StateAt(w.At) != ledger.StateInOrder {
		t.Errorf("record: %+v", r)
	}
	pages := 0
	for _, e := range w.Ledger.Events(t) {
		if e.Reason == ledger.ReasonRevoked && e.Operation == ledger.KindNote {
			pages++
			if e.Severity != ledger.SeverityPage || e.Status != ledger.Failed || e.OldSerial != serial {
				t.Errorf("event: %+v", e)
			}
		}
	}
	if pages != 1 {
		t.Errorf("%d events, want 1", pages)
	}
}

// TestWrongCRL checks that a CA whose CRL lists every certificate it issues costs one
// order, and then at most one per tenth of the certificate's lifetime.
func TestWrongCRL(t *testing.T) {
	w, crls := crlWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	for range 12 {
		w.Publish(crls, 1, w.Ca.MidKey, live(w, "api").Serial)
		w.LookedUp()
		w.Settle()
		w.At = w.At.Add(25 * time.Hour)
	}
	if n := len(w.Ca.Replaced); n > 3 {
		t.Errorf("%d orders in 12 days, want the first one, one for the list, and one for a tenth of its life", n)
	}
	// The CA corrects its CRL.
	w.Publish(crls, 1, w.Ca.MidKey)
	w.LookedUp()
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.Revoked != nil || r.StateAt(w.At) != ledger.StateInOrder {
		t.Errorf("record: %+v, state %s", r.Revoked, r.StateAt(w.At))
	}
}

// TestCRLThatCountsForNothing checks that certroll ignores a CRL that has another
// signer, lies in the future or cannot be parsed, and fetches it again after an hour.
func TestCRLThatCountsForNothing(t *testing.T) {
	for name, spoil := range map[string]func(*reconciletest.World, *reconciletest.MemCRLs){
		"another key": func(w *reconciletest.World, c *reconciletest.MemCRLs) {
			key, err := keypair.NewKey("ecdsa-P-256")
			if err != nil {
				t.Fatal(err)
			}
			mid := w.Ca.Mid
			w.Ca.Mid = &x509.Certificate{Subject: mid.Subject, RawSubject: mid.RawSubject, SubjectKeyId: mid.SubjectKeyId, KeyUsage: mid.KeyUsage, PublicKey: key.Public()}
			w.Publish(c, 1, key.(*ecdsa.PrivateKey), live(w, "api").Serial)
			w.Ca.Mid = mid
		},
		"of the future": func(w *reconciletest.World, c *reconciletest.MemCRLs) {
			at := w.At
			w.At = at.Add(times.Day)
			w.Publish(c, 1, w.Ca.MidKey, live(w, "api").Serial)
			w.At = at
		},
		"nonsense": func(_ *reconciletest.World, c *reconciletest.MemCRLs) {
			c.Lists = map[string][]byte{reconciletest.CrlURL: []byte("<html>")}
		},
		"gone": func(_ *reconciletest.World, c *reconciletest.MemCRLs) { c.Lists = nil },
		"an end of it": func(w *reconciletest.World, c *reconciletest.MemCRLs) {
			w.Publish(c, apply.RemoveFromCRL, w.Ca.MidKey, live(w, "api").Serial)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, crls := crlWorld(t, reconciletest.Certificate("api", "api.example.com"))
			w.Settle()
			spoil(w, crls)
			for range 3 {
				reconciletest.Expect(t, w.LookedUp()[0], ledger.KindNone, ledger.ReasonUpToDate, "")
				w.At = w.At.Add(10 * time.Minute)
			}
			if crls.Asked != 1 {
				t.Errorf("asked %d times within half an hour", crls.Asked)
			}
		})
	}
}

// TestUncheckedByCRLForLong checks that certroll fetches a CRL that leaves a certificate
// unchecked every hour for a day, and then once a day, across restarts. Once the CRL is in
// order, the next fault counts from its own beginning.
func TestUncheckedByCRLForLong(t *testing.T) {
	for name, spoil := range map[string]func(*reconciletest.World, *reconciletest.MemCRLs){
		"no answer": func(_ *reconciletest.World, c *reconciletest.MemCRLs) { c.Lists = nil },
		"expired": func(w *reconciletest.World, c *reconciletest.MemCRLs) {
			at := w.At
			w.At = at.Add(-8 * times.Day)
			w.Publish(c, 1, w.Ca.MidKey)
			w.At = at
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, crls := crlWorld(t, reconciletest.Certificate("api", "api.example.com"))
			w.Settle()
			asked := func(span time.Duration) int {
				before := crls.Asked
				for end := w.At.Add(span); w.At.Before(end); w.At = w.At.Add(30 * time.Minute) {
					w.LookedUp()
				}
				return crls.Asked - before
			}
			spoil(w, crls)
			if n := asked(times.Day); n != 24 {
				t.Errorf("the list was read %d times on the first day, want 24", n)
			}
			if n := asked(5 * times.Day); n < 5 || n > 7 {
				t.Errorf("the list was read %d times in the next five days, want once a day", n)
			}
			w.Publish(crls, 1, w.Ca.MidKey)
			if n := asked(2 * times.Day); n > 3 {
				t.Errorf("a list in order was read %d times in two days", n)
			}
			spoil(w, crls)
			if n := asked(2 * times.Day); n < 24 {
				t.Errorf("the list was read %d times in two days after a new fault, want every hour for a day", n)
			}
		})
	}
}

// TestUncheckedByCRLIsReported checks that a CRL that does not cover some certificates
// is reported for each of their issuers, with its URL and since when. certroll fetches
// it again within the hour and uses what it does prove.
func TestUncheckedByCRLIsReported(t *testing.T) {
	setup := func(t *testing.T) (*reconciletest.World, *reconciletest.MemCRLs, *[]string) {
		w, crls := crlWorld(t, reconciletest.Certificate("api", "api.example.com"))
		w.Settle()
		w.Ca.SignBy(t, reconciletest.Start.Add(1000*times.Day), false) // another key
		w.Desired.Certificates = append(w.Desired.Certificates, reconciletest.Certificate("web", "web.example.com"))
		w.Settle()
		said := &[]string{}
		w.Opts.Progress = func(certificate, step, detail string) {
			if step == "crl" {
				*said = append(*said, certificate+": "+detail)
			}
		}
		return w, crls, said
	}
	readAgain := func(t *testing.T, w *reconciletest.World, crls *reconciletest.MemCRLs) {
		t.Helper()
		w.At = w.At.Add(61 * time.Minute)
		if w.LookedUp(); crls.Asked != 2 {
			t.Errorf("the list was read %d times in an hour, want 2", crls.Asked)
		}
	}
	t.Run("one of two issuers", func(t *testing.T) {
		w, crls, said := setup(t)
		w.Publish(crls, 4, w.Ca.MidKey, live(w, "web").Serial)
		actions := w.LookedUp()
		reconciletest.Expect(t, actions[0], ledger.KindNone, ledger.ReasonUpToDate, "")
		reconciletest.Expect(t, actions[1], ledger.KindRenew, ledger.ReasonRevoked, "superseded")
		want := "api: could not check its revocation; certroll retries within an hour: the CRL " + reconciletest.CrlURL + ", dated 20"
		if len(*said) != 1 || !strings.HasPrefix((*said)[0], want) || !strings.Contains((*said)[0], "is not signed by the key that issuer.ca signed api with") {
			t.Errorf("said %q, want %s", *said, want)
		}
		readAgain(t, w, crls)
	})
	t.Run("expired", func(t *testing.T) {
		w, crls, said := setup(t)
		w.Publish(crls, 4, w.Ca.MidKey, live(w, "web").Serial)
		w.Desired.Certificates = append(w.Desired.Certificates, reconciletest.Certificate("shop", "shop.example.com"))
		w.Settle()
		w.At = w.At.Add(8 * times.Day)
		crls.Asked, *said = 0, nil
		w.Opts.Moments = reconciletest.MemMoments{}
		actions := w.LookedUp()
		reconciletest.Expect(t, actions[2], ledger.KindRenew, ledger.ReasonRevoked, "superseded")
		expired := false
		for _, s := range *said {
			expired = expired || strings.HasPrefix(s, "shop: could not check its revocation") && strings.Contains(s, "the CRL "+reconciletest.CrlURL+" of issuer.ca expired at 20") && strings.Contains(s, "since then")
		}
		if len(*said) != 2 || !expired {
			t.Errorf("said %q, want one for the other key, and one for what an expired list does not have", *said)
		}
		readAgain(t, w, crls)
	})
}

// TestRevokedWhilePaused checks that with renewal.auto off a revocation notifies a
// person and writes nothing.
func TestRevokedWhilePaused(t *testing.T) {
	w, crls := crlWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	w.Desired.Certificates[0].Renewal.Auto = false
	w.Settle()
	w.Publish(crls, 1, w.Ca.MidKey, live(w, "api").Serial)
	reconciletest.Expect(t, w.LookedUp()[0], ledger.KindNone, ledger.ReasonUnmanaged, "")
	w.Settle()
	if s := w.Ledger.Record(t, "api").StateAt(w.At); s != ledger.StateRevoked {
		t.Errorf("its state is %s", s)
	}
	if n := len(w.Ca.Replaced); n != 1 {
		t.Errorf("%d orders", n)
	}
}

// TestCompromisedKeyIsRotated checks that key.rotation = "never" does not keep a key
// revoked as compromised, and keeps a key revoked for another reason.
func TestCompromisedKeyIsRotated(t *testing.T) {
	for code, rotates := range map[int]bool{ledger.KeyCompromise: true, 4: false} {
		c := reconciletest.Certificate("api", "api.example.com")
		c.Key.Rotation = spec.RotateNever
		w, crls := crlWorld(t, c)
		w.Settle()
		was := live(w, "api")
		w.Publish(crls, code, w.Ca.MidKey, was.Serial)
		a := w.LookedUp()[0]
		reconciletest.Expect(t, a, ledger.KindRenew, ledger.ReasonRevoked, "")
		if said := strings.Contains(a.Detail, "rotated once"); said != rotates {
			t.Errorf("code %d: %s", code, a.Detail)
		}
		w.Settle()
		now := live(w, "api")
		if now.Serial == was.Serial || (now.KeyDigest != was.KeyDigest) != rotates {
			t.Errorf("code %d: the key changed: %v", code, now.KeyDigest != was.KeyDigest)
		}
		w.At = reconciletest.Start.Add(70 * times.Day) // the next renewal keeps the new key
		w.Settle()
		if got := live(w, "api"); got.Serial == now.Serial || got.KeyDigest != now.KeyDigest {
			t.Errorf("code %d: the next renewal has another key", code)
		}
	}
}

// TestBlockedKey checks that a key that the CA rejects is replaced at once, even with
// key.rotation = "never", and that the event says so. A CA that rejects every key gets
// one more order.
func TestBlockedKey(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Key.Rotation = spec.RotateNever
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	was := live(w, "api")
	w.At = reconciletest.Start.Add(61 * times.Day)
	blocked := 0
	w.Ca.Fail = func(op string, _ int) error {
		if op != "finish" || blocked == 1 {
			return nil
		}
		blocked++
		return &reconciletest.CaError{Code: "ca_rejected", Gone: true, KeyRefused: true, Text: "badPublicKey: the key is blocked"}
	}
	report := w.Settle()
	e := report.Results[0].Event
	if now := live(w, "api"); now.KeyDigest == was.KeyDigest || e.KeyDigest != now.KeyDigest || !now.KeySince.Equal(w.At) {
		t.Errorf("the key was kept, or dated %s", now.KeySince)
	}
	if !strings.Contains(e.Detail, was.KeyDigest[:12]) || !strings.Contains(e.Detail, `key.rotation is "never"`) || e.Orders != 2 {
		t.Errorf("event: %+v", e)
	}

	w = reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			return &reconciletest.CaError{Code: "ca_rejected", Gone: true, KeyRefused: true, Text: "badPublicKey: no such curve"}
		}
		return nil
	}
	for n := range 3 {
		if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
			t.Fatalf("report %+v, error %v", report, err)
		}
		if orders := w.Ca.Calls["order"]; orders != n+2 {
			t.Errorf("%d orders after %d attempts", orders, n+1)
		}
		w.At = w.Only().NotBefore
	}
}

// TestBackfill checks that certroll reads a secret of an earlier version once, to note
// missing facts about its chain, and that a plan never reads it.
func TestBackfill(t *testing.T) {
	w, crls := crlWorld(t, reconciletest.Certificate("api", "api.example.com"))
	end := reconciletest.Start.Add(20 * times.Day)
	w.Ca.SignBy(t, end, false)
	w.Settle()
	w.ForgetChains("api")
	reads := 0
	w.Vault.Fail = func(op, path string) error {
		if op == "read" && path == "secret/tls/api" {
			reads++
		}
		return nil
	}
	w.Plan()
	if l := live(w, "api"); l.ChainRead || reads != 0 {
		t.Fatalf("a plan read the secret %d times: %+v", reads, l)
	}
	serial := live(w, "api").Serial
	w.Publish(crls, 1, w.Ca.MidKey, serial)
	reconciletest.Expect(t, w.LookedUp()[0], ledger.KindRenew, ledger.ReasonRevoked, "")
	w.LookedUp()
	if reads != 1 {
		t.Errorf("the secret was read %d times, want once", reads)
	}
	r := w.Reconciler()
	obs, err := r.Observe(t.Context(), w.Desired)
	if err != nil {
		t.Fatal(err)
	}
	if l := obs.Records["api"].Live; !l.End().Equal(end) || l.IssuerKey == "" || len(l.Names) == 0 {
		t.Errorf("live: %+v", l)
	}
}
