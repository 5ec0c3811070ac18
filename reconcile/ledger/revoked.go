package ledger

import (
	"time"
)

// Revoked says that a CRL which the issuer signed lists what is live.
type Revoked struct {
	Serial string    `json:"serial"`
	At     time.Time `json:"at"`   // when the CA revoked it
	Code   int       `json:"code"` // RFC 5280 section 5.3.1; 0: the CA does not say why
	CRL    string    `json:"crl"`  // where it was read
	SeenAt time.Time `json:"seen_at"`
}

// Of is the entry where it speaks of l, else nil.
func (v *Revoked) Of(l *Live) *Revoked {
	if v == nil || l == nil || v.Serial != l.Serial {
		return nil
	}
	return v
}

// KeyCompromise is the reason code of RFC 5280 section 5.3.1 that says so.
const KeyCompromise = 1

// Compromised tells that the key is known to others, and must not be used again.
func (v *Revoked) Compromised() bool { return v != nil && v.Code == KeyCompromise }

// why is the reason in the RFC's word; "" where the CA does not say it.
func (v *Revoked) why() string {
	words := map[int]string{1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation", 6: "certificateHold", 9: "privilegeWithdrawn", 10: "aACompromise"}
	return words[v.Code]
}

// Text says so to a person.
func (v *Revoked) Text() string {
	text := "the CA revoked serial " + v.Serial + " on " + v.At.UTC().Format(time.RFC3339)
	if why := v.why(); why != "" {
		text += " (" + why + ")"
	}
	return text + ", as its CRL " + v.CRL + " says"
}

// ReplaceRevoked notes, once another certificate is live than the old record says,
// whether it took the place of a revoked one.
func (r *Record) ReplaceRevoked(old *Record, l *Live) {
	if old == nil || old.Live == nil || l == nil || l.Serial == old.Live.Serial {
		return
	}
	r.Revoked, r.RevokedBefore = nil, ""
	if v := old.Revoked.Of(old.Live); v != nil {
		r.RevokedBefore = v.Serial
	}
}
