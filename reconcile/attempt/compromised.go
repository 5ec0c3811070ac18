package attempt

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"certroll/reconcile/pending"
)

// IssuerKey reads an issuer's key as records and metadata keep it.
func IssuerKey(text string) (pub any, err error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		pub, err = x509.ParsePKIXPublicKey(der)
	}
	if err != nil {
		return nil, fmt.Errorf("the kept key of the issuer cannot be read: %w", err)
	}
	return pub, nil
}

// isCompromised tells that a draft, which an earlier run left, has that key.
func (a *Attempt) isCompromised(d *pending.Secret) bool {
	return a.compromised() && d.KeyDigest == a.Action.Secret.Live.KeyDigest
}

// compromised tells that the live key was revoked as known to others.
func (a *Attempt) compromised() bool {
	r := a.Action.Record
	return r != nil && r.Revoked.Of(a.Action.Secret.Live).Compromised()
}
