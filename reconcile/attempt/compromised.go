package attempt

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"certroll/reconcile/pending"
)

// IssuerKey decodes an issuer's public key (base64 of its DER form, RFC 5280 section
// 4.1.2.7) from a record or metadata.
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

// isCompromised reports whether an earlier run's pending secret has the compromised key.
func (a *Attempt) isCompromised(d *pending.Secret) bool {
	return a.compromised() && d.KeyDigest == a.Action.Secret.Live.KeyDigest
}

// compromised reports whether the live key was revoked as compromised.
func (a *Attempt) compromised() bool {
	r := a.Action.Record
	return r != nil && r.Revoked.Of(a.Action.Secret.Live).Compromised()
}
