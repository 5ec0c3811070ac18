package reconcile

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

const crlURL = "http://crl.example.com/1.crl"

// memCRLs are revocation lists in memory.
type memCRLs struct {
	mu    sync.Mutex
	lists map[string][]byte
	asked int
}

func (c *memCRLs) CRL(_ context.Context, url string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.lists[url] == nil {
		return nil, errors.New("404 Not Found")
	}
	return c.lists[url], nil
}

// publish puts a list of the world's intermediate in its place, with these serials.
func (w *world) publish(c *memCRLs, code int, key *ecdsa.PrivateKey, serials ...string) {
	w.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(w.at.Unix()), ThisUpdate: w.at.Add(-time.Hour), NextUpdate: w.at.Add(7 * times.Day)}
	for _, s := range serials {
		n, ok := new(big.Int).SetString(s, 16)
		if !ok {
			w.t.Fatal(s)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: w.at.Add(-2 * time.Hour), ReasonCode: code})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, w.ca.mid, key)
	if err != nil {
		w.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists = map[string][]byte{crlURL: der}
}

// crlWorld is a world whose certificates say where they are revoked.
func crlWorld(t testing.TB, certificates ...*spec.Certificate) (*world, *memCRLs) {
	w := newWorld(t, certificates...)
	w.ca.signBy(t, start.Add(1000*times.Day), false)
	w.ca.wrong = func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"ldap://x/y", crlURL} }
	crls := &memCRLs{}
	w.opts.CRLs = crls
	w.opts.Moments = memMoments{}
	return w, crls
}

// lookedUp is a process that asks, and plans by what it has heard.
func (w *world) lookedUp() []plan.Action {
	w.t.Helper()
	r := w.reconciler()
	obs, err := r.Observe(w.t.Context(), w.desired)
	if err == nil {
		err = r.Ask(w.t.Context(), w.desired, obs)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return plan.Plan(w.desired, obs, w.at)
}

func live(w *world, name string) *ledger.Live {
	w.t.Helper()
	return w.ledger.record(w.t, name).Live
}

// TestRevokedByCRL: what a CRL lists is a state, an event of severity page, and a
// renewal now; a list is read once a day, once for all certificates.
func TestRevokedByCRL(t *testing.T) {
	w, crls := crlWorld(t, certificate("api", "api.example.com"), certificate("web", "web.example.com"))
	w.settle()
	if l := live(w, "api"); l.CRL != crlURL || l.IssuerKey == "" || l.Adopted {
		t.Fatalf("live: %+v", l)
	}
	w.publish(crls, 4, w.ca.midKey)
	for range 3 {
		w.lookedUp()
	}
	if crls.asked != 1 {
		t.Errorf("the list was read %d times for 2 certificates, want once a day", crls.asked)
	}
	serial := live(w, "api").Serial
	w.at = w.at.Add(25 * time.Hour)
	w.publish(crls, 4, w.ca.midKey, serial)
	actions := w.lookedUp()
	if crls.asked != 2 {
		t.Errorf("the list was read %d times by the second day", crls.asked)
	}
	expect(t, actions[0], ledger.KindRenew, ledger.ReasonRevoked, "superseded")
	expect(t, actions[1], ledger.KindNone, ledger.ReasonUpToDate, "")
	if s := actions[0].Record.Stands(w.at); s != ledger.StandsRevoked || s.Well() {
		t.Errorf("it stands %s", s)
	}
	w.settle()
	if l := live(w, "api"); l.Serial == serial {
		t.Error("it was not renewed")
	}
	r := w.ledger.record(t, "api")
	if r.Revoked != nil || r.RevokedBefore != serial || r.Stands(w.at) != ledger.StandsInOrder {
		t.Errorf("record: %+v", r)
	}
	pages := 0
	for _, e := range w.ledger.events(t) {
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

// TestWrongCRL: a CA whose list has each certificate that it issues costs one order,
// and from then on no more than one for a tenth of the life.
func TestWrongCRL(t *testing.T) {
	w, crls := crlWorld(t, certificate("api", "api.example.com"))
	w.settle()
	for range 12 {
		w.publish(crls, 1, w.ca.midKey, live(w, "api").Serial)
		w.lookedUp()
		w.settle()
		w.at = w.at.Add(25 * time.Hour)
	}
	if n := len(w.ca.replaced); n > 3 {
		t.Errorf("%d orders in 12 days, want the first one, one for the list, and one for a tenth of its life", n)
	}
	// The list is mended.
	w.publish(crls, 1, w.ca.midKey)
	w.lookedUp()
	w.settle()
	if r := w.ledger.record(t, "api"); r.Revoked != nil || r.Stands(w.at) != ledger.StandsInOrder {
		t.Errorf("record: %+v, stands %s", r.Revoked, r.Stands(w.at))
	}
}

// TestCRLThatCountsForNothing: nothing is believed of a list that another key signed,
// is of the future, or cannot be read; it is read again within an hour and not before.
func TestCRLThatCountsForNothing(t *testing.T) {
	for name, spoil := range map[string]func(*world, *memCRLs){
		"another key": func(w *world, c *memCRLs) {
			key, err := keypair.NewKey("ecdsa-P-256")
			if err != nil {
				t.Fatal(err)
			}
			mid := w.ca.mid
			w.ca.mid = &x509.Certificate{Subject: mid.Subject, RawSubject: mid.RawSubject, SubjectKeyId: mid.SubjectKeyId, KeyUsage: mid.KeyUsage, PublicKey: key.Public()}
			w.publish(c, 1, key.(*ecdsa.PrivateKey), live(w, "api").Serial)
			w.ca.mid = mid
		},
		"of the future": func(w *world, c *memCRLs) {
			at := w.at
			w.at = at.Add(times.Day)
			w.publish(c, 1, w.ca.midKey, live(w, "api").Serial)
			w.at = at
		},
		"nonsense": func(_ *world, c *memCRLs) { c.lists = map[string][]byte{crlURL: []byte("<html>")} },
		"gone":     func(_ *world, c *memCRLs) { c.lists = nil },
		"an end of it": func(w *world, c *memCRLs) {
			w.publish(c, apply.RemoveFromCRL, w.ca.midKey, live(w, "api").Serial)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, crls := crlWorld(t, certificate("api", "api.example.com"))
			w.settle()
			spoil(w, crls)
			for range 3 {
				expect(t, w.lookedUp()[0], ledger.KindNone, ledger.ReasonUpToDate, "")
				w.at = w.at.Add(10 * time.Minute)
			}
			if crls.asked != 1 {
				t.Errorf("asked %d times within half an hour", crls.asked)
			}
		})
	}
}

// TestRevokedWhilePaused: with renewal.auto off nothing is written, and a person is
// told.
func TestRevokedWhilePaused(t *testing.T) {
	w, crls := crlWorld(t, certificate("api", "api.example.com"))
	w.settle()
	w.desired.Certificates[0].Renewal.Auto = false
	w.settle()
	w.publish(crls, 1, w.ca.midKey, live(w, "api").Serial)
	expect(t, w.lookedUp()[0], ledger.KindNone, ledger.ReasonUnmanaged, "")
	w.settle()
	if s := w.ledger.record(t, "api").Stands(w.at); s != ledger.StandsRevoked {
		t.Errorf("it stands %s", s)
	}
	if n := len(w.ca.replaced); n != 1 {
		t.Errorf("%d orders", n)
	}
}

// TestCompromisedKeyIsRotated: key.rotation = "never" keeps no key that the CA revoked
// as compromised; a revocation for another reason keeps it.
func TestCompromisedKeyIsRotated(t *testing.T) {
	for code, rotates := range map[int]bool{ledger.KeyCompromise: true, 4: false} {
		c := certificate("api", "api.example.com")
		c.Key.Rotation = spec.RotateNever
		w, crls := crlWorld(t, c)
		w.settle()
		was := live(w, "api")
		w.publish(crls, code, w.ca.midKey, was.Serial)
		a := w.lookedUp()[0]
		expect(t, a, ledger.KindRenew, ledger.ReasonRevoked, "")
		if said := strings.Contains(a.Detail, "rotated once"); said != rotates {
			t.Errorf("code %d: %s", code, a.Detail)
		}
		w.settle()
		now := live(w, "api")
		if now.Serial == was.Serial || (now.KeyDigest != was.KeyDigest) != rotates {
			t.Errorf("code %d: the key changed: %v", code, now.KeyDigest != was.KeyDigest)
		}
		w.at = start.Add(70 * times.Day) // the next renewal keeps the new key
		w.settle()
		if got := live(w, "api"); got.Serial == now.Serial || got.KeyDigest != now.KeyDigest {
			t.Errorf("code %d: the next renewal has another key", code)
		}
	}
}

// TestBlockedKey: a key that the CA does not take is replaced at once, also where it
// is kept by key.rotation = "never", and the event says so; a CA that takes none gets
// one order more.
func TestBlockedKey(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.Key.Rotation = spec.RotateNever
	w := newWorld(t, c)
	w.settle()
	was := live(w, "api")
	w.at = start.Add(61 * times.Day)
	blocked := 0
	w.ca.fail = func(op string, _ int) error {
		if op != "finish" || blocked == 1 {
			return nil
		}
		blocked++
		return &caError{class: "ca_rejected", gone: true, badKey: true, text: "badPublicKey: the key is blocked"}
	}
	report := w.settle()
	e := report.Results[0].Event
	if now := live(w, "api"); now.KeyDigest == was.KeyDigest || e.KeyDigest != now.KeyDigest || !now.KeySince.Equal(w.at) {
		t.Errorf("the key was kept, or dated %s", now.KeySince)
	}
	if !strings.Contains(e.Detail, was.KeyDigest[:12]) || !strings.Contains(e.Detail, `key.rotation is "never"`) || e.Orders != 2 {
		t.Errorf("event: %+v", e)
	}

	w = newWorld(t, certificate("api", "api.example.com"))
	w.ca.fail = func(op string, _ int) error {
		if op == "finish" {
			return &caError{class: "ca_rejected", gone: true, badKey: true, text: "badPublicKey: no such curve"}
		}
		return nil
	}
	for n := range 3 {
		if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
			t.Fatalf("report %+v, error %v", report, err)
		}
		if orders := w.ca.calls["order"]; orders != n+2 {
			t.Errorf("%d orders after %d attempts", orders, n+1)
		}
		w.at = w.only().NotBefore
	}
}

// TestBackfill: what an earlier version issued is read once for what it did not note
// of its chain, and never by a plan.
func TestBackfill(t *testing.T) {
	w, crls := crlWorld(t, certificate("api", "api.example.com"))
	end := start.Add(20 * times.Day)
	w.ca.signBy(t, end, false)
	w.settle()
	w.forgetChains("api")
	reads := 0
	w.vault.fail = func(op, path string) error {
		if op == "read" && path == "secret/tls/api" {
			reads++
		}
		return nil
	}
	w.plan()
	if l := live(w, "api"); l.ChainRead || reads != 0 {
		t.Fatalf("a plan read the secret %d times: %+v", reads, l)
	}
	serial := live(w, "api").Serial
	w.publish(crls, 1, w.ca.midKey, serial)
	expect(t, w.lookedUp()[0], ledger.KindRenew, ledger.ReasonRevoked, "")
	w.lookedUp()
	if reads != 1 {
		t.Errorf("the secret was read %d times, want once", reads)
	}
	r := w.reconciler()
	obs, err := r.Observe(t.Context(), w.desired)
	if err != nil {
		t.Fatal(err)
	}
	if l := obs.Records["api"].Live; !l.End().Equal(end) || l.IssuerKey == "" || len(l.Names) == 0 {
		t.Errorf("live: %+v", l)
	}
}

// forgetChains takes out of metadata and record what earlier versions did not write.
func (w *world) forgetChains(name string) {
	w.t.Helper()
	custom := w.vault.secrets["secret/tls/"+name].custom
	for _, key := range []string{observe.MetaChainOf, observe.MetaChainEnd, observe.MetaChainKept, observe.MetaCRL, observe.MetaIssuerKey, observe.MetaAdopted} {
		delete(custom, key)
	}
	r := w.ledger.record(w.t, name)
	l := *r.Live
	l.ChainRead, l.CRL, l.IssuerKey, l.ChainNotAfter, l.ChainKept = false, "", "", nil, false
	r.Live = &l
	b, err := ledger.MarshalRecord(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ledger.tree[ledger.RecordFile(name)].Data = b
}
