package attempt_test

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
)

// TestChainThatEndsFirst checks that plan, record and metadata use the end of an
// intermediate that expires before the leaf. If a renewal does not bring a later end,
// certroll pages once and renews again only when the CA offers another chain.
func TestChainThatEndsFirst(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	end := reconciletest.Start.Add(10 * times.Day)
	w.Ca.SignBy(t, end, false)
	w.Settle()
	l := w.Ledger.Record(t, "api").Live
	if !l.End().Equal(end) || !l.NotAfter.After(end) {
		t.Fatalf("it ends %s, the certificate itself %s; want %s", l.End(), l.NotAfter, end)
	}
	if _, _, meta, _ := w.Vault.ReadMetadata(t.Context(), "secret", "tls/api"); meta["chain_not_after"] != end.Format(time.RFC3339) {
		t.Errorf("metadata: %v", meta)
	}
	a := w.Only()
	reconciletest.Expect(t, a, ledger.KindNone, ledger.ReasonUpToDate, "before its chain ends")
	if third := reconciletest.Start.Add(10 * times.Day * 2 / 3); a.NotBefore.Sub(third).Abs() > time.Hour {
		t.Errorf("due %s, want about %s", a.NotBefore, third)
	}

	w.At = a.NotBefore
	reconciletest.Expect(t, w.Only(), ledger.KindRenew, ledger.ReasonThreshold, "its chain ends")
	w.Settle()
	if n := len(w.Ca.Replaced); n != 2 {
		t.Fatalf("%d orders, want 2", n)
	}
	for _, at := range []time.Time{w.At, end.Add(-time.Hour), end.Add(times.Day)} {
		w.At = at
		a = w.Only()
		reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonChainEnds, "no other chain")
		w.Settle()
	}
	if n := len(w.Ca.Replaced); n != 2 {
		t.Errorf("%d orders while the CA offers nothing else, want 2", n)
	}
	l = w.Ledger.Record(t, "api").Live
	if due := l.NotAfter.Add(-30 * times.Day); !a.NotBefore.Equal(due) {
		t.Errorf("renewed at the latest %s, want the certificate's own threshold %s", a.NotBefore, due)
	}
	pages := 0
	for _, e := range w.Ledger.Events(t) {
		if e.Reason == ledger.ReasonChainEnds && e.Severity == ledger.SeverityPage {
			pages++
		}
	}
	if pages != 1 {
		t.Errorf("%d events of severity page, want 1", pages)
	}
	if s := w.Ledger.Record(t, "api").StateAt(w.At); s.Well() {
		t.Errorf("its state is %s", s)
	}

	// Another certificate of this CA gets a longer-lived chain, so this one may get it
	// too.
	w.Ca.SignBy(t, reconciletest.Start.Add(1000*times.Day), false)
	w.Desired.Certificates = append(w.Desired.Certificates, reconciletest.Certificate("web", "web.example.com"))
	w.Settle()
	w.Settle()
	if l = w.Ledger.Record(t, "api").Live; l.ChainKept || l.ChainNotAfter != nil || !l.End().Equal(l.NotAfter) {
		t.Errorf("after the CA offered another chain: %+v", l)
	}
	if n := len(w.Ca.Replaced); n != 4 {
		t.Errorf("%d orders, want one more for each certificate", n)
	}
}

// TestChainFactsOfAnotherCertificate checks metadata whose chain facts belong to an
// older certificate, because an earlier certroll renewed without updating them.
func TestChainFactsOfAnotherCertificate(t *testing.T) {
	end := reconciletest.Start.Add(times.Day)
	m := observe.EncodeMeta(nil, "api", &ledger.Live{Serial: "a1", NotBefore: reconciletest.Start, NotAfter: reconciletest.Start.Add(90 * times.Day), KeySince: reconciletest.Start, IssuedAt: reconciletest.Start, ChainRead: true, ChainNotAfter: &end, ChainKept: true})
	_, l, err := observe.DecodeMeta(m)
	if err != nil || !l.End().Equal(end) || !l.ChainKept {
		t.Fatalf("read back: %+v, error %v", l, err)
	}
	m[observe.MetaSerial] = "b2"
	if _, l, err = observe.DecodeMeta(m); err != nil || l.ChainNotAfter != nil || l.ChainKept {
		t.Errorf("of another certificate: %+v, error %v", l, err)
	}
}

// TestExpiredIntermediate checks that certroll does not replace a valid pair with a
// chain that clients reject. It keeps the order, fetches it daily and writes the
// certificate once the CA offers another chain.
func TestExpiredIntermediate(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.SignBy(t, reconciletest.Start.Add(1000*times.Day), false)
	w.Settle()
	good := w.Ledger.Record(t, "api").Live.Serial
	mid := w.Ca.Mid
	w.At = reconciletest.Start.Add(61 * times.Day)
	expired := w.Ca.SignBy(t, w.At.Add(-times.Day), true)
	for n := range 2 {
		report, err := w.Apply(t.Context())
		if err != nil || report.Failed() != 1 {
			t.Fatalf("attempt %d: report %+v, error %v", n, report, err)
		}
		e := report.Results[0].Event
		if e.Class != ledger.ClassCARejected || !e.Unfit || !strings.Contains(e.Message, `"test intermediate"`) || !strings.Contains(e.Message, "expired") {
			t.Errorf("event: %+v", e)
		}
		a := w.Only()
		if a.Kind != ledger.KindHold || a.NotBefore.Sub(w.At) < 20*time.Hour {
			t.Errorf("attempt %d: %s until %s, want a hold of a day", n, a.Kind, a.NotBefore)
		}
		w.At = a.NotBefore
	}
	if n := len(w.Ca.Replaced); n != 2 {
		t.Errorf("%d orders, want the first and one more", n)
	}
	if got := keypair.SerialOf(w.SecretPair("tls/api").Leaf()); got != good {
		t.Error("what is live was replaced")
	}
	w.Ca.Resend = func(chain []byte) []byte {
		leaf, _ := pem.Decode(chain)
		return slices.Concat(reconciletest.PemOf(leaf.Bytes), reconciletest.PemOf(expired.Raw), reconciletest.PemOf(mid.Raw))
	}
	w.Settle()
	if l := w.Ledger.Record(t, "api").Live; l.Serial == good || !l.End().Equal(l.NotAfter) {
		t.Errorf("after the CA offered another chain: %+v", l)
	}
	if n := len(w.Ca.Replaced); n != 2 {
		t.Errorf("%d orders, want 2", n)
	}
}

// TestUnfitOrderIsGone checks the case that the CA no longer has the order of a
// rejected certificate, for example after a new registration. certroll orders again
// within a tenth of the lifetime: a 160-hour certificate cannot wait a week.
func TestUnfitOrderIsGone(t *testing.T) {
	for life, most := range map[time.Duration]int{160 * time.Hour: 4, 90 * times.Day: 2} {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
		w.Ca.Lifetime = life
		w.Ca.SignBy(t, reconciletest.Start.Add(1000*times.Day), false)
		w.Settle()
		good := w.Ca.Mid
		w.At = reconciletest.Start.Add(life/3*2 + time.Hour)
		w.Ca.SignBy(t, w.At.Add(-times.Day), true)
		refused := w.At
		for w.At.Before(refused.Add(2*times.Day)) && w.At.Before(reconciletest.Start.Add(life)) {
			if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
				t.Fatalf("report %+v, error %v", report, err)
			}
			clear(w.Ca.Orders)
			clear(w.Ca.Issued) // the CA loses its issued certificates
			w.At = w.Only().NotBefore
		}
		if n := len(w.Ca.Replaced) - 1; n < most-1 || n > most {
			t.Errorf("%d orders in two days of certificates of %s, want %d", n, life, most)
		}
		w.Ca.Mid = good
		w.UntilLive(12) // daily
	}
}

// TestExpiredIntermediateOfWhatIsWorse checks that a pair with an expired intermediate
// replaces a pair that has itself expired, and is never written where nothing is live.
func TestExpiredIntermediateOfWhatIsWorse(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.SignBy(t, reconciletest.Start.Add(times.Day), false)
	w.Settle()
	w.At = reconciletest.Start.Add(3 * times.Day)
	w.Ca.SignBy(t, reconciletest.Start.Add(2*times.Day), true)
	serial := w.Ledger.Record(t, "api").Live.Serial
	w.Settle()
	if got := w.Ledger.Record(t, "api").Live; got.Serial == serial || !got.End().Equal(reconciletest.Start.Add(2*times.Day)) {
		t.Errorf("live: %+v", got)
	}

	first := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	first.Ca.SignBy(t, reconciletest.Start.Add(-time.Minute), false)
	if report, err := first.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Errorf("the first certificate: report %+v, error %v", report, err)
	}
	if n, _, _, _ := first.Vault.ReadMetadata(t.Context(), "secret", "tls/api"); n != 0 {
		t.Error("an expired chain was written")
	}
}

// TestUntidyChains checks that certroll sorts chains, drops duplicates and unrelated
// certificates, and writes the result.
func TestUntidyChains(t *testing.T) {
	other := reconciletest.NewMemCA(t, func() time.Time { return reconciletest.Start })
	for name, shape := range map[string]func(leaf, mid, root []byte) []byte{
		"the intermediate twice":  func(l, m, _ []byte) []byte { return slices.Concat(l, m, m) },
		"the root first":          func(l, m, r []byte) []byte { return slices.Concat(l, r, m) },
		"the leaf twice":          func(l, m, _ []byte) []byte { return slices.Concat(l, l, m) },
		"the leaf last":           func(l, m, r []byte) []byte { return slices.Concat(r, m, l) },
		"one that signed nothing": func(l, m, _ []byte) []byte { return slices.Concat(l, m, reconciletest.PemOf(other.Cert.Raw)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
			mid := w.Ca.SignBy(t, reconciletest.Start.Add(1000*times.Day), false)
			w.Ca.Resend = func(chain []byte) []byte {
				leaf, _ := pem.Decode(chain)
				return shape(reconciletest.PemOf(leaf.Bytes), reconciletest.PemOf(mid.Raw), reconciletest.PemOf(w.Ca.Cert.Raw))
			}
			w.Settle()
			p := w.SecretPair("tls/api")
			if err := p.Check([]string{"api.example.com"}, w.At); err != nil || len(p.Chain) < 2 || !p.Chain[1].Equal(mid) {
				t.Errorf("%d certificates are served, error %v", len(p.Chain), err)
			}
			if n := len(w.Ca.Replaced); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
		})
	}
}

// spoilNames makes the CA add a name that the order does not have.
func spoilNames(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "www."+c.DNSNames[0]) }

// TestRefusedCertificateIsNotOrderedAnew checks that a certificate that does not match
// its request causes a second order after a day and then one per week, within the CA's
// limits.
func TestRefusedCertificateIsNotOrderedAnew(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Wrong = spoilNames
	attempts := 0
	for w.At.Before(reconciletest.Start.Add(20 * times.Day)) {
		report, err := w.Apply(t.Context())
		if err != nil || report.Failed() != 1 {
			t.Fatalf("report %+v, error %v", report, err)
		}
		attempts++
		w.At = w.Only().NotBefore
	}
	if n := len(w.Ca.Replaced); n != 4 || attempts < 15 {
		t.Errorf("%d orders in %d attempts of 20 days, want 4", n, attempts)
	}
	b := throttle.NewBook(w.Ledger.Events(t), throttle.AccountsOf(w.Desired))
	if n := len(b.Drawn[throttle.SetKey("https://ca.example/dir", keypair.NamesDigest([]string{"api.example.com"}))]); n != 4 {
		t.Errorf("%d certificates count against the limit, want 4", n)
	}
	// A changed spec may fix it.
	w.Ca.Wrong = nil
	w.Desired.Certificates[0] = reconciletest.Certificate("api", "api.example.com", "www.api.example.com")
	w.Settle()
}

// TestGoneOrderOfRefusedCertificate checks that a CA that drops the order of a rejected
// certificate does not get a new order every day.
func TestGoneOrderOfRefusedCertificate(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Wrong = spoilNames
	for n := range 7 {
		if n == 2 {
			w.Ca.Fail = func(op string, _ int) error {
				if op == "finish" {
					return &reconciletest.CaError{Code: "ca_rejected", Gone: true, Text: "no such order"}
				}
				return nil
			}
		}
		if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
			t.Fatalf("report %+v, error %v", report, err)
		}
		w.At = w.Only().NotBefore
	}
	if n := len(w.Ca.Replaced); n != 2 {
		t.Errorf("%d orders in 7 days, want 2", n)
	}
}

// TestCertificateOfTheFuture checks that certroll keeps the order of a certificate that
// becomes valid soon, and waits for it.
func TestCertificateOfTheFuture(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	from := reconciletest.Start.Add(70 * time.Minute)
	w.Ca.Wrong = func(c *x509.Certificate) { c.NotBefore = from }
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	a := w.Only()
	if a.NotBefore.Before(from.Add(-keypair.MaxSkew)) || a.NotBefore.After(from) {
		t.Errorf("tried again %s, want soon after %s", a.NotBefore, from.Add(-keypair.MaxSkew))
	}
	w.At = a.NotBefore
	w.Settle()
	if n := len(w.Ca.Replaced); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// TestChainThatIsNotOffered checks that event and record say that the CA does not offer
// the preferred chain.
func TestChainThatIsNotOffered(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.ChainNote = `the CA offers no chain up to "No Such Root"`
	e := w.Settle().Results[0].Event
	if l := w.Ledger.Record(t, "api").Live; !strings.Contains(e.Detail, w.Ca.ChainNote) || l.ChainNote != w.Ca.ChainNote {
		t.Errorf("event: %s; record: %s", e.Detail, l.ChainNote)
	}
}
