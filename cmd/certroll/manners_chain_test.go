package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/ledger"
)

// ownCA is a CA of the test. The front replaces the certificates that Pebble issues by its own.
type ownCA struct {
	t             testing.TB
	mu            sync.Mutex // guards the fields below, once the CA is behind a front
	root, mid     *x509.Certificate
	rootKey, key  *ecdsa.PrivateKey
	from          time.Time // notBefore of the certificates; zero: a minute ago
	names         []string  // additional names
	crl           string    // URL of the CRL in the certificates
	serials       []*big.Int
	csr           *x509.CertificateRequest
	made          map[string][]byte // the signed leaf, by path
	arrange       func(leaf []byte) []byte
	alternate     []byte // an alternate chain, offered in a Link header
	intermediates int64
}

const certificates = "/certZ/"

func newOwnCA(t testing.TB, midEnds time.Time) *ownCA {
	t.Helper()
	ca := &ownCA{t: t, made: map[string][]byte{}, intermediates: 1}
	ca.rootKey, ca.key = ecKey(t), ecKey(t)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "own root"}, NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1, 2, 3}}
	ca.root = issueBy(t, root, root, ca.rootKey.Public().(*ecdsa.PublicKey), ca.rootKey)
	ca.mid = ca.intermediate(midEnds)
	ca.arrange = func(leaf []byte) []byte { return append(leaf, pemBytes(ca.mid)...) }
	return ca
}

// intermediate returns a certificate of the signing key, issued by the root.
func (ca *ownCA) intermediate(ends time.Time) *x509.Certificate {
	ca.t.Helper()
	ca.intermediates++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.intermediates), Subject: pkix.Name{CommonName: "own intermediate"}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: ends,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{4, 5, 6}}
	return issueBy(ca.t, tmpl, ca.root, &ca.key.PublicKey, ca.rootKey)
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issueBy(t testing.TB, tmpl, parent *x509.Certificate, pub any, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// leaf returns the certificate for the last finalized request, signed once for each download path.
func (ca *ownCA) leaf(path string) []byte {
	if ca.made[path] != nil {
		return bytes.Clone(ca.made[path])
	}
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		ca.t.Error(err)
	}
	from := ca.from
	if from.IsZero() {
		from = time.Now().Add(-time.Minute)
	}
	tmpl := &x509.Certificate{SerialNumber: n, DNSNames: append(ca.csr.DNSNames, ca.names...), NotBefore: from, NotAfter: from.AddDate(0, 0, 90),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ca.crl != "" {
		tmpl.CRLDistributionPoints = []string{ca.crl}
	}
	ca.serials = append(ca.serials, n)
	ca.made[path] = pemBytes(issueBy(ca.t, tmpl, ca.mid, ca.csr.PublicKey, ca.key))
	return bytes.Clone(ca.made[path])
}

// serveBehind makes a front respond with the certificates of ownCA.
func (ca *ownCA) serveBehind(f *front) {
	f.breaks(func(rw http.ResponseWriter, req *http.Request) bool {
		ca.mu.Lock()
		if strings.HasPrefix(req.URL.Path, finalization) {
			ca.csr = requestOf(ca.t, req)
		}
		alternate := ca.alternate
		ca.mu.Unlock()
		if req.URL.Path == "/own-alternate" && alternate != nil {
			rw.Header().Set("Content-Type", "application/pem-certificate-chain")
			rw.Header().Set("Replay-Nonce", nonceFrom(f)) // the request for it also comes through the front
			_, _ = rw.Write(alternate)
			return true
		}
		return false
	})
	f.edits(func(resp *http.Response) error {
		ca.mu.Lock()
		defer ca.mu.Unlock()
		if !strings.HasPrefix(resp.Request.URL.Path, certificates) || resp.StatusCode != http.StatusOK || ca.csr == nil {
			return nil
		}
		chain := ca.arrange(ca.leaf(resp.Request.URL.Path))
		if ca.alternate != nil {
			resp.Header.Add("Link", "<https://"+f.addr+"/own-alternate>;rel=\"alternate\"")
		}
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(chain)), int64(len(chain))
		resp.Header.Set("Content-Length", fmt.Sprint(len(chain)))
		return nil
	})
}

// nonceFrom returns a fresh nonce of the CA behind a front.
func nonceFrom(f *front) string {
	resp, err := f.server.Client().Head("https://" + f.addr + "/nonce-plz")
	if err != nil {
		f.t.Error(err)
		return ""
	}
	resp.Body.Close()
	return resp.Header.Get("Replay-Nonce")
}

func pemBytes(cert *x509.Certificate) []byte { return []byte(pemOf(cert)) }

// requestOf returns the certificate request in a finalize request.
func requestOf(t testing.TB, req *http.Request) *x509.CertificateRequest {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Error(err)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var jws struct {
		Payload string `json:"payload"`
	}
	var payload struct {
		CSR string `json:"csr"`
	}
	_ = json.Unmarshal(body, &jws)
	text, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	_ = json.Unmarshal(text, &payload)
	der, _ := base64.RawURLEncoding.DecodeString(payload.CSR)
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Error(err)
	}
	return csr
}

// TestChainsOfCAs runs certroll with the kinds of chains that CAs send.
func TestChainsOfCAs(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, lab.PebbleOptions{})
	year := time.Now().AddDate(1, 0, 0)
	t.Run("an intermediate that ends first", func(t *testing.T) {
		w, f := l.faulty(t, declare("", "midshort"))
		ends := time.Now().AddDate(0, 0, 10)
		newOwnCA(t, ends).serveBehind(f)
		w.certroll(0, "apply", "-auto-approve")
		end := ends.UTC().Format(time.RFC3339)
		if out := w.certroll(0, "expiring", "14"); !strings.Contains(out, "midshort") || !strings.Contains(out, ends.UTC().Format(time.DateOnly)) {
			t.Errorf("expiring: %s", out)
		}
		if r := w.record("midshort"); r.Live.End().Format(time.RFC3339) != end || r.RenewAt == nil || r.RenewAt.After(ends) {
			t.Errorf("the record ends %s and is renewed %v, want %s", r.Live.End(), r.RenewAt, end)
		}
		if out := w.certroll(0, "explain", "midshort"); !strings.Contains(out, "its chain ends") {
			t.Errorf("explain: %s", out)
		}
		w.certroll(0, "doctor", "-no-canary")
	})
	t.Run("an intermediate that has expired", func(t *testing.T) {
		w, f := l.faulty(t, declare("", "midexpired"))
		ca := newOwnCA(t, time.Now().AddDate(0, 0, -1))
		ca.serveBehind(f)
		w.certroll(1, "apply", "-auto-approve")
		e := w.failed("midexpired", ledger.ClassCARejected, "own intermediate", 1)
		if !e.Unfit || e.VaultVer != 0 {
			t.Errorf("event: %+v", e)
		}
		// The same order, after the CA offers another chain.
		ca.mu.Lock()
		for path := range ca.made {
			ca.alternate = append(ca.leaf(path), pemBytes(ca.intermediate(year))...)
		}
		ca.mu.Unlock()
		w.certroll(0, "retry", "midexpired")
		w.certroll(0, "apply", "-auto-approve")
		w.tells("midexpired", "issue failure, issue success")
		f.orders(1, 1)
	})
	for name, arrange := range map[string]func(leaf, mid, root []byte) []byte{
		"dupmid":    func(l, m, _ []byte) []byte { return bytes.Join([][]byte{l, m, m}, nil) },
		"rootfirst": func(l, m, r []byte) []byte { return bytes.Join([][]byte{l, r, m}, nil) },
		"duproot":   func(l, m, r []byte) []byte { return bytes.Join([][]byte{l, m, r, r}, nil) },
		"dupleaf":   func(l, m, _ []byte) []byte { return bytes.Join([][]byte{l, l, m}, nil) },
		"leaflast":  func(l, m, r []byte) []byte { return bytes.Join([][]byte{m, r, l}, nil) },
		"extra": func(l, m, r []byte) []byte {
			return bytes.Join([][]byte{l, m, r, pemBytes(newOwnCA(t, year).root)}, nil)
		},
		"text": func(l, m, _ []byte) []byte {
			return bytes.Join([][]byte{[]byte("subject=CN = x\nissuer=CN = y\n\n"), l, []byte("\nsubject=CN = own intermediate\n"), m}, nil)
		},
		"leafonly": func(l, _, _ []byte) []byte { return l },
	} {
		t.Run(name, func(t *testing.T) {
			w, f := l.faulty(t, declare("", name))
			ca := newOwnCA(t, year)
			ca.arrange = func(leaf []byte) []byte { return arrange(leaf, pemBytes(ca.mid), pemBytes(ca.root)) }
			ca.serveBehind(f)
			w.certroll(0, "apply", "-auto-approve")
			w.tells(name, "issue success")
			f.orders(1, 1)
			block, rest := pem.Decode([]byte(w.secret("tls/" + name)["fullchain"]))
			if block == nil {
				t.Fatal("there is no chain")
			}
			if leaf, err := x509.ParseCertificate(block.Bytes); err != nil || len(leaf.DNSNames) != 1 {
				t.Errorf("the first certificate is not the leaf: %v", err)
			}
			if next, _ := pem.Decode(rest); name != "leafonly" && (next == nil || !bytes.Equal(next.Bytes, ca.mid.Raw)) {
				t.Error("the second certificate is not the intermediate")
			}
		})
	}
	for name, spoil := range map[string]func(*ownCA){
		"www":   func(ca *ownCA) { ca.names = []string{"www.www.lab.test"} },
		"clock": func(ca *ownCA) { ca.from = time.Now().Add(70 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			w, f := l.faulty(t, declare("", name))
			ca := newOwnCA(t, year)
			spoil(ca)
			ca.serveBehind(f)
			for range 3 {
				w.certroll(1, "apply", "-auto-approve")
				w.certroll(0, "retry", name)
			}
			f.orders(1, 1)
		})
	}
}

// TestRevokedWithoutARI: a CA without renewal information revokes a live certificate. The next run finds it in the CA's
// signed CRL, alerts, and renews it at once.
func TestRevokedWithoutARI(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, lab.PebbleOptions{})
	w, f := l.faulty(t, declare("key {\n    rotation = \"never\"\n  }", "unwanted"))
	w.settings("probe {\n  allow = [\"127.0.0.0/8:*\"]\n}\n")
	ca := newOwnCA(t, time.Now().AddDate(1, 0, 0))
	var mu sync.Mutex
	var revoked []x509.RevocationListEntry
	lists := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Hour),
			NextUpdate: time.Now().AddDate(0, 0, 7), RevokedCertificateEntries: revoked}, ca.mid, ca.key)
		if err != nil {
			t.Error(err)
		}
		_, _ = rw.Write(der)
	}))
	defer lists.Close()
	ca.crl = lists.URL + "/1.crl"
	ca.serveBehind(f)
	w.certroll(0, "apply", "-auto-approve")
	was := w.record("unwanted").Live
	if was.CRL != ca.crl || was.IssuerKey == "" {
		t.Fatalf("live: %+v", was)
	}
	mu.Lock()
	revoked = append(revoked, x509.RevocationListEntry{SerialNumber: ca.serials[0], RevocationTime: time.Now().Add(-time.Minute), ReasonCode: 1})
	mu.Unlock()
	out := w.certroll(0, "apply", "-auto-approve")
	if !strings.Contains(out, "keyCompromise") {
		t.Errorf("the plan does not say why: %s", out)
	}
	now := w.record("unwanted")
	if now.Live.Serial == was.Serial || now.Live.KeyDigest == was.KeyDigest || now.RevokedBefore != was.Serial {
		t.Errorf("record: %+v", now)
	}
	reported := false
	for _, e := range w.audit() {
		reported = reported || e.Reason == ledger.ReasonRevoked && e.Operation == ledger.KindNote && e.Severity == ledger.SeverityPage
	}
	if !reported {
		t.Error("no event of severity page")
	}
	w.certroll(0, "status")
	f.orders(2, 2)
}

// TestBlockedKeyOfTheCA: the CA permanently rejects a kept key, as Boulder does with a compromised one.
func TestBlockedKeyOfTheCA(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, lab.PebbleOptions{})
	const never = "key {\n    rotation = \"never\"\n  }"
	w, f := l.faulty(t, declare(never, "blk"))
	w.certroll(0, "apply", "-auto-approve")
	was := w.record("blk").Live.KeyDigest
	f.breaks(func(rw http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, finalization) {
			return false
		}
		pub := requestOf(t, req).RawSubjectPublicKeyInfo
		if sum := sha256.Sum256(pub); hex.EncodeToString(sum[:]) != was {
			return false
		}
		problem(http.StatusBadRequest, "badPublicKey", "Error finalizing order :: public key is forbidden")(rw, req)
		return true
	})
	w.push(map[string]string{"certs.hcl": strings.Replace(declare(never, "blk")["certs.hcl"], `"blk.lab.test"`, `"blk.lab.test", "blk2.lab.test"`, 1)}, "Another name")
	w.certroll(0, "apply", "-auto-approve")
	if got := w.record("blk").Live.KeyDigest; got == was {
		t.Error("the key was kept")
	}
	story := w.story("blk")
	if e := story[len(story)-1]; e.Status != ledger.Success || !strings.Contains(e.Detail, "the CA does not take the key") || !strings.Contains(e.Detail, `"never"`) {
		t.Errorf("event: %+v", e)
	}
	f.orders(3, 3)
}
