package ledger

import (
	"time"
)

// Revoked is the entry of the live certificate in a CRL signed by its issuer.
type Revoked struct {
	Serial string    `json:"serial"`
	At     time.Time `json:"at"`   // when the CA revoked it
	Code   int       `json:"code"` // RFC 5280 section 5.3.1; 0: no reason stated
	CRL    string    `json:"crl"`  // URL of the CRL
	SeenAt time.Time `json:"seen_at"`
}

// Of returns v if it belongs to l, else nil.
func (v *Revoked) Of(l *Live) *Revoked {
	if v == nil || l == nil || v.Serial != l.Serial {
		return nil
	}
	return v
}

// KeyCompromise is the reason code keyCompromise of RFC 5280 section 5.3.1.
const KeyCompromise = 1

// Compromised reports whether others know the key, so that it must not be used again.
func (v *Revoked) Compromised() bool { return v != nil && v.Code == KeyCompromise }

// why returns the name of the reason in RFC 5280; "" if the CA states none.
func (v *Revoked) why() string {
	words := map[int]string{1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation", 6: "certificateHold", 9: "privilegeWithdrawn", 10: "aACompromise"}
	return words[v.Code]
}

// Text describes the revocation.
func (v *Revoked) Text() string {
	text := "the CA revoked serial " + v.Serial + " on " + v.At.UTC().Format(time.RFC3339)
	if why := v.why(); why != "" {
		text += " (" + why + ")"
	}
	return text + ", as its CRL " + v.CRL + " says"
}

// ReplaceRevoked sets RevokedBefore once the live certificate is another one than in the
// old record, and that one was revoked.
func (r *Record) ReplaceRevoked(old *Record, l *Live) {
	if old == nil || old.Live == nil || l == nil || l.Serial == old.Live.Serial {
		return
	}
	r.Revoked, r.RevokedBefore = nil, ""
	if v := old.Revoked.Of(old.Live); v != nil {
		r.RevokedBefore = v.Serial
	}
}
