package reconciletest

import (
	"context"
	"strings"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/pending"
)

// Staged is the next key in Vault.
func (w *World) Staged() *pending.StagedKey {
	w.T.Helper()
	n, err := w.Reconciler().Next.Load(context.Background(), "api")
	if err != nil {
		w.T.Fatal(err)
	}
	return n
}

// CheckNext demands that the key that is staged, the metadata and the record say
// the same, of a key that is not live, and returns both digests.
func (w *World) CheckNext() (live, next string) {
	w.T.Helper()
	live, err := keypair.KeyDigest(w.SecretPair("tls/api").Key.Public())
	if err != nil {
		w.T.Fatal(err)
	}
	n := w.Staged()
	if n == nil {
		w.T.Fatal("no key is staged")
	}
	custom := w.Vault.Secrets["secret/tls/api"].Custom
	r := w.Ledger.Record(w.T, "api").Live
	if n.Digest != custom[observe.MetaNextKey] || n.Digest != r.NextKeyDigest || n.Digest == live || r.KeyDigest != live {
		w.T.Errorf("staged %s, published %s, told %s, live %s", n.Digest, custom[observe.MetaNextKey], r.NextKeyDigest, live)
	}
	if r.NextKeySince == nil || !r.NextKeySince.Equal(n.Since) || r.NextKeyShape != n.Shape || custom[observe.MetaNextShape] != n.Shape {
		w.T.Errorf("record %+v, staged %s since %s", r, n.Shape, n.Since)
	}
	if v := w.Vault.Secrets["secret/"+observe.NextPath("certroll", "api")]; len(v.Versions) != 1 {
		w.T.Errorf("%d versions of staged keys are kept", len(v.Versions))
	}
	return live, n.Digest
}

func (w *World) LastEvent() ledger.Event {
	w.T.Helper()
	es := w.Ledger.Events(w.T)
	return es[len(es)-1]
}

// NoKeys demands that nothing the ledger has is a private key.
func (w *World) NoKeys() {
	w.T.Helper()
	for _, s := range w.Vault.Secrets {
		for _, v := range s.Versions {
			for _, field := range []string{"key", "next_key", "private_key"} {
				_, body, _ := strings.Cut(v.Data[field], "\n")
				for name, f := range w.Ledger.Tree {
					if len(body) > 40 && strings.Contains(string(f.Data), body[:40]) {
						w.T.Errorf("%s holds a private key", name)
					}
				}
			}
		}
	}
}
