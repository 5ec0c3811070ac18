package reconcile

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
)

// somebodys is a secret with a pair that somebody else made: signed by the key, or by
// itself where that is nil.
func (w *world) somebodys(life time.Duration, parent *x509.Certificate, signer crypto.Signer, edit func(map[string]string)) map[string]string {
	w.t.Helper()
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		w.t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(w.at.UnixNano()), DNSNames: []string{"api.example.com"}, NotBefore: w.at.Add(-time.Minute), NotAfter: w.at.Add(life - time.Minute)}
	if parent == nil {
		parent, signer = leaf, key
	} else {
		leaf.AuthorityKeyId = w.ca.cert.SubjectKeyId // anybody can write that
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), signer)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := keypair.EncodeKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	chain := string(pemOf(parent.Raw))
	if parent == leaf {
		chain = ""
	}
	data := map[string]string{"certificate": string(pemOf(der)), "private_key": text, "chain": chain, "fullchain": string(pemOf(der)) + chain}
	if edit != nil {
		edit(data)
	}
	return data
}

// overwrite puts data over a version of the secret.
func (w *world) overwrite(data map[string]string, version int) {
	w.t.Helper()
	if _, err := w.vault.Write(w.t.Context(), "secret", "tls/api", data, version); err != nil {
		w.t.Fatal(err)
	}
}

// TestForeignPair: a pair that one of the certificate's issuers signed is taken over;
// any other is put back, however sound it is by itself. Both page.
func TestForeignPair(t *testing.T) {
	stranger := newMemCA(t, func() time.Time { return start })
	for name, tc := range map[string]struct {
		data func(w *world) map[string]string
		took bool
		says string
	}{
		"of its issuer":     {func(w *world) map[string]string { return w.somebodys(90*times.Day, w.ca.cert, w.ca.key, nil) }, true, "issuer.ca signed"},
		"signed by itself":  {func(w *world) map[string]string { return w.somebodys(3650*times.Day, nil, nil, nil) }, false, "none of the certificate's issuers"},
		"of another CA":     {func(w *world) map[string]string { return w.somebodys(90*times.Day, stranger.cert, stranger.key, nil) }, false, "none of the certificate's issuers"},
		"that lives longer": {func(w *world) map[string]string { return w.somebodys(398*times.Day, w.ca.cert, w.ca.key, nil) }, false, "lives for 398 days"},
		"that ends before":  {func(w *world) map[string]string { return w.somebodys(45*times.Day, w.ca.cert, w.ca.key, nil) }, false, "before certroll's own"},
		"without the chain": {func(w *world) map[string]string {
			return w.somebodys(90*times.Day, w.ca.cert, w.ca.key, func(m map[string]string) { delete(m, "chain") })
		}, false, `no field "chain"`},
		"with an old leaf too": {func(w *world) map[string]string {
			return w.somebodys(90*times.Day, w.ca.cert, w.ca.key, func(m map[string]string) { m["certificate"] = string(pemOf(w.ca.cert.Raw)) })
		}, false, `field "certificate"`},
		"no pair": {func(*world) map[string]string { return map[string]string{"oops": "wrong path"} }, false, "no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, certificate("api", "api.example.com"))
			w.settle()
			was := w.ledger.record(t, "api").Live
			w.at = w.at.Add(times.Day)
			w.overwrite(tc.data(w), 1)
			w.settle()
			l := w.ledger.record(t, "api").Live
			if took := l.Serial != was.Serial; took != tc.took {
				t.Errorf("taken over: %v", took)
			}
			if got := keypair.SerialOf(w.secretPair("tls/api").Leaf()); got != l.Serial {
				t.Errorf("the record speaks of %s, live is %s", l.Serial, got)
			}
			events := w.ledger.events(t)
			e := events[len(events)-1]
			if e.Operation != ledger.KindRepair || e.Severity != ledger.SeverityPage || !strings.Contains(e.Detail, tc.says) {
				t.Errorf("event: %+v", e)
			}
			expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
			if n := len(w.ca.replaced); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
		})
	}
}

// TestAdoptedPairVouchesForNobody: the CA of a pair that was taken over at the start is
// not known to be the issuer's.
func TestAdoptedPairVouchesForNobody(t *testing.T) {
	stranger := newMemCA(t, func() time.Time { return start })
	w := newWorld(t, certificate("api", "api.example.com"))
	w.overwrite(w.somebodys(90*times.Day, stranger.cert, stranger.key, nil), 0)
	w.settle()
	was := w.ledger.record(t, "api").Live
	if !was.Adopted {
		t.Fatalf("live: %+v", was)
	}
	w.at = w.at.Add(times.Day)
	w.overwrite(w.somebodys(90*times.Day, stranger.cert, stranger.key, nil), 1)
	w.settle()
	if got := keypair.SerialOf(w.secretPair("tls/api").Leaf()); got != was.Serial {
		t.Error("another pair of that CA was taken over")
	}
}

// TestOwnPairWrittenAgain: who adds a field to certroll's own secret is not undone.
func TestOwnPairWrittenAgain(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	data, _, err := w.vault.Read(t.Context(), "secret", "tls/api")
	if err != nil {
		t.Fatal(err)
	}
	data["note"] = "mine"
	w.overwrite(data, 1)
	w.settle()
	if got, version, _ := w.vault.Read(t.Context(), "secret", "tls/api"); got["note"] != "mine" || version != 2 {
		t.Errorf("version %d: %v", version, got["note"])
	}
	if l := w.ledger.record(t, "api").Live; l.Version != 2 || l.Adopted || l.ARI == "" {
		t.Errorf("live: %+v", l)
	}
	expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
}

// TestLeftAlone: with renewal.auto off certroll writes nothing but for an explicit
// rotate, and notes once for each version that somebody changed it.
func TestLeftAlone(t *testing.T) {
	nonsense := map[string]string{"oops": "the next manager's"}
	for name, tc := range map[string]struct {
		change func(w *world)
		says   string
	}{
		"overwritten":        {func(w *world) { w.overwrite(nonsense, 1) }, "version 2 of secret/tls/api was not written by certroll"},
		"a shorter pair":     {func(w *world) { w.overwrite(w.somebodys(6*times.Day, w.ca.cert, w.ca.key, nil), 1) }, "version 2"},
		"deleted":            {func(w *world) { _ = w.vault.Delete(w.t.Context(), "secret", "tls/api") }, "was deleted"},
		"gone with its past": {func(w *world) { _ = w.vault.Destroy(w.t.Context(), "secret", "tls/api") }, "any more"},
		"replaced with its metadata": {func(w *world) {
			_ = w.vault.Destroy(w.t.Context(), "secret", "tls/api")
			w.overwrite(nonsense, 0)
		}, "was not written by certroll"},
	} {
		t.Run(name, func(t *testing.T) {
			c := certificate("api", "api.example.com")
			w := newWorld(t, c)
			w.settle()
			c.Renewal.Auto = false
			w.settle()
			tc.change(w)
			expect(t, w.only(), ledger.KindNote, ledger.ReasonLeftAlone, tc.says)
			writes := w.vault.writes
			for range 3 {
				w.settle()
				w.at = w.at.Add(40 * times.Day)
			}
			expect(t, w.only(), ledger.KindNone, ledger.ReasonUnmanaged, tc.says)
			notes := 0
			for _, e := range w.ledger.events(t) {
				if e.Reason == ledger.ReasonLeftAlone {
					notes++
				}
			}
			if notes != 1 || w.vault.writes != writes {
				t.Errorf("%d notes and %d writes, want one note alone", notes, w.vault.writes-writes)
			}
			if n := len(w.ca.replaced); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
			w.settle()
			if name == "replaced with its metadata" {
				return // not certroll's any more: a rotation does not overwrite it either
			}
			c.Rotate = "now"
			w.settle()
			if err := w.secretPair("tls/api").Check([]string{"api.example.com"}, w.at); err != nil {
				t.Errorf("after a rotation was asked for: %v", err)
			}
			if r := w.ledger.record(t, "api"); r.ForeignVersion != nil {
				t.Errorf("record: foreign version %d", *r.ForeignVersion)
			}
		})
	}
}

// TestLeftAloneUntilItIsOn: what was left alone is mended once renewal.auto is on.
func TestLeftAloneUntilItIsOn(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.settle()
	c.Renewal.Auto = false
	w.settle()
	w.overwrite(map[string]string{"oops": "wrong"}, 1)
	w.settle()
	c.Renewal = spec.Renewal{Auto: true, ThresholdDays: 30}
	w.settle()
	w.settle()
	expect(t, w.only(), ledger.KindNone, ledger.ReasonUpToDate, "")
	if err := w.secretPair("tls/api").Check([]string{"api.example.com"}, w.at); err != nil {
		t.Error(err)
	}
}
