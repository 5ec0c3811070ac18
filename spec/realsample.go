package spec

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"time"
)

// realSample returns a pair like one from a CA, made once per process. Its key, serial,
// dates and names are random, so that no expression can tell it from a real pair. The
// digests of fields use SampleValue, which never changes.
var realSample = sync.OnceValues(makeSample)

// makeSample makes a random CA and a certificate of 90 days from it.
func makeSample() (*parsedPair, error) {
	var leaf, above [12]byte
	_, _ = rand.Read(leaf[:])
	_, _ = rand.Read(above[:])
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now().Add(-time.Hour)
	ca := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(above[:]), Subject: pkix.Name{CommonName: label(above[:4])},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(2, 0, 0), IsCA: true, BasicConstraintsValid: true}
	host := label(leaf[:5]) + "." + label(leaf[5:9]) + ".com"
	cert := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(leaf[:]), DNSNames: []string{host}, NotBefore: now, NotAfter: now.AddDate(0, 0, 90)}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certificate, chain := pemOf("CERTIFICATE", der), pemOf("CERTIFICATE", caDER)
	return parseMaterial(Material{Certificate: certificate, Chain: chain, FullChain: certificate + chain, PrivateKey: pemOf("PRIVATE KEY", keyDER),
		NextKeyDigest: strings.Repeat("0b", 32)})
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func label(b []byte) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return 'x'
		}
		return r
	}, base64.RawURLEncoding.EncodeToString(b)))
}

// chargedKey returns a stand-in for the private key while render decides whether the
// fields can be made, and charges their cost. All keys of one shape get the same length:
// the PEM of real RSA keys varies by a few bytes, and the cost must not reveal that.
func (p *parsedPair) chargedKey() string {
	der := make([]byte, 256) // longer than any ECDSA key
	if k, ok := p.key.(*rsa.PrivateKey); ok {
		// PKCS #8 around RFC 8017 A.1.2: n and d, and five numbers of half their size.
		der = make([]byte, 5*k.Size()+128)
	}
	text := pemOf("PRIVATE KEY", der)
	for len(text) < len(p.PrivateKey) { // a shape that certroll does not make
		der = make([]byte, 2*len(der))
		text = pemOf("PRIVATE KEY", der)
	}
	return text
}
