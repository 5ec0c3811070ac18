package reconciletest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"time"

	"certroll/reconcile/keypair"
)

// Somebodys is a secret with a pair that somebody else made: signed by the key, or by
// itself where that is nil.
func (w *World) Somebodys(life time.Duration, parent *x509.Certificate, signer crypto.Signer, edit func(map[string]string)) map[string]string {
	w.T.Helper()
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		w.T.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(w.At.UnixNano()), DNSNames: []string{"api.example.com"}, NotBefore: w.At.Add(-time.Minute), NotAfter: w.At.Add(life - time.Minute)}
	if parent == nil {
		parent, signer = leaf, key
	} else {
		leaf.AuthorityKeyId = w.Ca.Cert.SubjectKeyId // anybody can write that
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), signer)
	if err != nil {
		w.T.Fatal(err)
	}
	text, err := keypair.EncodeKey(key)
	if err != nil {
		w.T.Fatal(err)
	}
	chain := string(PemOf(parent.Raw))
	if parent == leaf {
		chain = ""
	}
	data := map[string]string{"certificate": string(PemOf(der)), "private_key": text, "chain": chain, "fullchain": string(PemOf(der)) + chain}
	if edit != nil {
		edit(data)
	}
	return data
}

// Overwrite puts data over a version of the secret.
func (w *World) Overwrite(data map[string]string, version int) {
	w.T.Helper()
	if _, err := w.Vault.Write(w.T.Context(), "secret", "tls/api", data, version); err != nil {
		w.T.Fatal(err)
	}
}
