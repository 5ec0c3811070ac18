package keypair

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// made is a certificate with its key.
type made struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serial int64

// make1 returns a certificate with this lifetime, signed by parent, or self-signed if
// that is nil.
func make1(t testing.TB, name string, isCA bool, life time.Duration, key crypto.Signer, parent *made) *made {
	t.Helper()
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	serial++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-365 * 24 * time.Hour), NotAfter: now.Add(life),
		IsCA: isCA, BasicConstraintsValid: true}
	if isCA {
		tmpl.KeyUsage = x509.KeyUsageCertSign
	}
	signer, signKey := tmpl, key
	if parent != nil {
		signer, signKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, signer, key.Public(), signKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &made{cert, key}
}

const year = 365 * 24 * time.Hour

// hierarchy returns a root, an intermediate, a leaf, and an unrelated certificate.
func hierarchy(t testing.TB) (root, mid, leaf, other *made) {
	root = make1(t, "root", true, 10*year, nil, nil)
	mid = make1(t, "mid", true, year, nil, root)
	leaf = make1(t, "leaf.example.com", false, 90*24*time.Hour, nil, mid)
	other = make1(t, "another root", true, year, nil, nil)
	return root, mid, leaf, other
}

func TestTidy(t *testing.T) {
	root, mid, leaf, other := hierarchy(t)
	l, m, r, o := leaf.cert, mid.cert, root.cert, other.cert
	for name, tc := range map[string]struct{ sent, want []*x509.Certificate }{
		"as it should be":         {[]*x509.Certificate{l, m}, []*x509.Certificate{l, m}},
		"the leaf alone":          {[]*x509.Certificate{l}, []*x509.Certificate{l}},
		"the intermediate twice":  {[]*x509.Certificate{l, m, m}, []*x509.Certificate{l, m}},
		"the leaf twice":          {[]*x509.Certificate{l, l, m}, []*x509.Certificate{l, m}},
		"the root first":          {[]*x509.Certificate{r, m, l}, []*x509.Certificate{l, m, r}},
		"the root in between":     {[]*x509.Certificate{l, r, m}, []*x509.Certificate{l, m, r}},
		"the root twice":          {[]*x509.Certificate{l, m, r, r}, []*x509.Certificate{l, m, r}},
		"one that signed nothing": {[]*x509.Certificate{l, m, r, o}, []*x509.Certificate{l, m, r}},
		"another one first":       {[]*x509.Certificate{o, l, m}, []*x509.Certificate{l, m}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Tidy(tc.sent, leaf.key.Public(), now)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %d certificates, error %v", len(got), err)
			}
		})
	}
}

func TestTidyRefuses(t *testing.T) {
	root, mid, leaf, other := hierarchy(t)
	var many []*x509.Certificate
	for range MostCertificates {
		many = append(many, make1(t, "mid", true, year, nil, nil).cert)
	}
	for name, tc := range map[string]struct {
		sent []*x509.Certificate
		want string
	}{
		"nothing for the key":      {[]*x509.Certificate{mid.cert, root.cert}, "not for this private key"},
		"no issuer of the leaf":    {[]*x509.Certificate{leaf.cert, other.cert}, "signed the certificate"},
		"more than are looked at":  {append(many, leaf.cert), "more than the 20"},
		"nothing at all":           {nil, "not for this private key"},
		"one that claims the name": {[]*x509.Certificate{leaf.cert, make1(t, "mid", true, year, nil, nil).cert}, "signed the certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Tidy(tc.sent, leaf.key.Public(), now); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %d certificates, error %v", len(got), err)
			}
		})
	}
}

// TestTidyPrefersWhatLasts checks that of an issuer certificate and its cross-signed
// copy the expired one is sorted last, in any order from the CA.
func TestTidyPrefersWhatLasts(t *testing.T) {
	root := make1(t, "root", true, 10*year, nil, nil)
	expired := make1(t, "mid", true, -time.Hour, nil, root)
	mid := make1(t, "mid", true, year, expired.key, root)
	leaf := make1(t, "leaf.example.com", false, 90*24*time.Hour, nil, mid)
	for _, sent := range [][]*x509.Certificate{{leaf.cert, expired.cert, mid.cert}, {leaf.cert, mid.cert, expired.cert}} {
		got, err := Tidy(sent, leaf.key.Public(), now)
		if err != nil || !slices.Equal(got, []*x509.Certificate{leaf.cert, mid.cert}) {
			t.Errorf("got %d certificates, error %v", len(got), err)
		}
	}
	got, err := Tidy([]*x509.Certificate{leaf.cert, expired.cert}, leaf.key.Public(), now)
	if err != nil || len(got) != 2 || !Ends(got).Equal(expired.cert.NotAfter) {
		t.Errorf("the expired one alone: got %d certificates, error %v", len(got), err)
	}
}

func TestEnds(t *testing.T) {
	root := make1(t, "root", true, time.Hour, nil, nil)
	short := make1(t, "mid", true, 10*24*time.Hour, nil, root)
	leaf := make1(t, "leaf.example.com", false, 90*24*time.Hour, nil, short)
	alone := make1(t, "alone.example.com", false, 90*24*time.Hour, nil, nil)
	for name, tc := range map[string]struct {
		chain []*x509.Certificate
		want  *x509.Certificate
	}{
		"the intermediate ends first":    {[]*x509.Certificate{leaf.cert, short.cert}, short.cert},
		"a root is left out":             {[]*x509.Certificate{leaf.cert, short.cert, root.cert}, short.cert},
		"the leaf alone":                 {[]*x509.Certificate{leaf.cert}, leaf.cert},
		"one that is signed by itself":   {[]*x509.Certificate{alone.cert}, alone.cert},
		"a root right above, which ends": {[]*x509.Certificate{leaf.cert, root.cert}, leaf.cert},
	} {
		t.Run(name, func(t *testing.T) {
			if got := EndsFirst(tc.chain); got != tc.want || !Ends(tc.chain).Equal(tc.want.NotAfter) {
				t.Errorf("it ends with %s", got.Subject)
			}
		})
	}
}
