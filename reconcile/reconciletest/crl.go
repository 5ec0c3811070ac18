package reconciletest

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"sync"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
)

// CrlURL is the URL of the CRL of a MemCA.
const CrlURL = "http://crl.example.com/1.crl"

// MemCRLs are revocation lists in memory.
type MemCRLs struct {
	mu    sync.Mutex
	Lists map[string][]byte
	Asked int
}

// CRL implements attempt.CRLSource.
func (c *MemCRLs) CRL(_ context.Context, url string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Asked++
	if c.Lists[url] == nil {
		return nil, errors.New("404 Not Found")
	}
	return c.Lists[url], nil
}

// Publish replaces the CRL of the world's intermediate by one with these serials.
func (w *World) Publish(c *MemCRLs, code int, key *ecdsa.PrivateKey, serials ...string) {
	w.T.Helper()
	list := &x509.RevocationList{Number: big.NewInt(w.At.Unix()), ThisUpdate: w.At.Add(-time.Hour), NextUpdate: w.At.Add(7 * times.Day)}
	for _, s := range serials {
		n, ok := new(big.Int).SetString(s, 16)
		if !ok {
			w.T.Fatal(s)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: w.At.Add(-2 * time.Hour), ReasonCode: code})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, w.Ca.Mid, key)
	if err != nil {
		w.T.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Lists = map[string][]byte{CrlURL: der}
}

// LookedUp starts a process that reads the CRLs, and returns its plan.
func (w *World) LookedUp() []plan.Action {
	w.T.Helper()
	r := w.Reconciler()
	obs, err := r.Observe(w.T.Context(), w.Desired)
	if err == nil {
		err = r.Ask(w.T.Context(), w.Desired, obs)
	}
	if err != nil {
		w.T.Fatal(err)
	}
	return plan.New(w.Desired, obs, w.At).Actions
}

// ForgetChains removes the facts that earlier versions did not record from metadata and
// record.
func (w *World) ForgetChains(name string) {
	w.T.Helper()
	custom := w.Vault.Secrets["secret/tls/"+name].Custom
	for _, key := range []string{observe.MetaChainOf, observe.MetaChainEnd, observe.MetaChainKept, observe.MetaCRL, observe.MetaIssuerKey, observe.MetaAdopted} {
		delete(custom, key)
	}
	r := w.Ledger.Record(w.T, name)
	l := *r.Live
	l.ChainRead, l.CRL, l.IssuerKey, l.ChainNotAfter, l.ChainKept = false, "", "", nil, false
	r.Live = &l
	b, err := ledger.MarshalRecord(r)
	if err != nil {
		w.T.Fatal(err)
	}
	w.Ledger.Tree[ledger.RecordFile(name)].Data = b
}
