package ledger

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/url"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/times"
)

// WithFacts is l with what the record alone knows of its chain: metadata that an
// earlier version wrote has nothing of it, and none holds the key of a large issuer.
func (l *Live) WithFacts(recorded *Live) *Live {
	if recorded == nil || recorded.Serial != l.Serial || !recorded.KnowsChain() || l.KnowsChain() && l.IssuerKey != "" {
		return l
	}
	c := *l
	c.CRL, c.IssuerKey, c.Adopted, c.ChainRead = recorded.CRL, recorded.IssuerKey, recorded.Adopted, recorded.ChainRead
	c.ChainNotAfter, c.ChainKept = recorded.ChainNotAfter, recorded.ChainKept
	return &c
}

// KnowsChain tells that it was noted what the chain says.
func (l *Live) KnowsChain() bool { return l.ChainRead }

// Live is what is in Vault now. The part of it that Plan needs is also in the
// secret's custom metadata, so that a lost ledger costs no reissue.
type Live struct {
	Serial      string    `json:"serial"` // lower-case hex
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Names       []string  `json:"names"` // empty where only the digest is known
	NamesDigest string    `json:"names_digest"`
	KeyDigest   string    `json:"key_digest"` // SHA-256 of the SubjectPublicKeyInfo, hex
	KeyShape    string    `json:"key_shape"`  // "ecdsa-P-256", "rsa-3072"
	KeySince    time.Time `json:"key_since"`  // when this key was first issued for
	Issuer      string    `json:"issuer"`     // the issuer block's name
	Directory   string    `json:"directory"`  // its ACME directory
	Profile     string    `json:"profile"`
	Mount       string    `json:"vault_mount"`
	Path        string    `json:"vault_path"`
	Version     int       `json:"vault_version"` // the KV version this speaks of
	Revision    string    `json:"revision"`      // the config revision it was issued for
	File        string    `json:"file"`          // the file that declared it when its key was made
	Rotate      string    `json:"rotate"`        // the last rotation request that was satisfied
	IssuedAt    time.Time `json:"issued_at"`
	// ARI identifies it in renewal information (RFC 9773 section 4.1); "" where
	// its issuer's key identifier is not known.
	ARI        string `json:"ari_id"`
	DNSAccount string `json:"dns_account"` // that its names were validated with; "" where not known
	// The key that the next renewal uses (key.next), whose digest is published
	// so that TLSA records and pins can name it ahead: empty and null where none
	// is staged.
	NextKeyDigest string     `json:"next_key_digest"` // SHA-256 of its SubjectPublicKeyInfo, hex
	NextKeyShape  string     `json:"next_key_shape"`
	NextKeySince  *time.Time `json:"next_key_since"` // when it was staged
	// ChainNotAfter is when the chain that is served ends, where that is before
	// NotAfter, which is the leaf's own; nil where the chain outlives the leaf.
	ChainNotAfter *time.Time `json:"chain_not_after,omitempty"`
	// ChainKept tells that a renewal for the chain's sake brought no later end: the
	// next one is due by the leaf's own end.
	ChainKept bool `json:"chain_kept,omitempty"`
	// ChainRead tells that what the chain says is known: an earlier version noted
	// nothing of it.
	ChainRead bool `json:"chain_read,omitempty"`
	// ChainNote says why the chain is not the one that was wanted, as where the CA
	// does not offer preferred_chain; "" where it is.
	ChainNote string `json:"chain_note,omitempty"`
	// CRL is where the certificate says that its revocation is listed; "" where it
	// says nothing.
	CRL string `json:"crl,omitempty"`
	// IssuerKey is the public key (SubjectPublicKeyInfo, base64) of the issuer whose
	// certificate came with it, and which signed it; "" where it came alone.
	IssuerKey string `json:"issuer_key,omitempty"`
	// Adopted tells that the pair was taken over: the issuer's CA did not send it here.
	Adopted bool `json:"adopted,omitempty"`
}

// End is when what is served ends: the earliest notAfter of leaf and chain.
func (l *Live) End() time.Time {
	if l.ChainNotAfter != nil && l.ChainNotAfter.Before(l.NotAfter) {
		return *l.ChainNotAfter
	}
	return l.NotAfter
}

// ChainEndsFirst tells that the chain ends before the leaf.
func (l *Live) ChainEndsFirst() bool { return l.End().Before(l.NotAfter) }

// RenewalEnd is the end that renewals are timed by: that of what is served, unless
// a renewal has shown that the CA offers nothing that lasts longer.
func (l *Live) RenewalEnd() time.Time {
	if l.ChainKept {
		return l.NotAfter
	}
	return l.End()
}

// SetChain notes when a chain (leaf first) ends. old is what it takes the place
// of, nil where that is nothing.
func (l *Live) SetChain(chain []*x509.Certificate, old *Live) {
	l.ChainRead = true
	l.CRL = crlOf(chain[0])
	if len(chain) > 1 {
		l.IssuerKey = base64.StdEncoding.EncodeToString(chain[1].RawSubjectPublicKeyInfo)
	}
	end := keypair.Ends(chain)
	if !end.Before(l.NotAfter) {
		return
	}
	l.ChainNotAfter = &end
	l.ChainKept = old != nil && old.ChainEndsFirst() && !end.After(old.End())
}

// Lifetime is the period that renewals are timed by, the certificate's validity
// period unless its chain ends before it. The last second is part of it (RFC 5280
// section 4.1.2.5): CAs end a period of 90 days a second early. Of
// one without an end, the year 9999, it is the longest that there is, 292 years.
func (l *Live) Lifetime() time.Duration {
	return min(l.RenewalEnd().Sub(l.NotBefore), math.MaxInt64-time.Second) + time.Second
}

// crlOf is the first web address where a certificate's revocation is listed (RFC 5280
// section 4.2.1.13); "" for none, or one that metadata does not hold.
func crlOf(leaf *x509.Certificate) string {
	for _, at := range leaf.CRLDistributionPoints {
		if u, err := url.Parse(at); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && len(at) <= MaxMeta {
			return at
		}
	}
	return ""
}

// RenewalInfo is what the CA said of when to renew one certificate (RFC 9773
// section 4.2), and what was made of it.
type RenewalInfo struct {
	Serial      string    `json:"serial"`       // the certificate it speaks of
	Start       time.Time `json:"window_start"` // the CA's suggested window
	End         time.Time `json:"window_end"`
	Explanation string    `json:"explanation"` // an https URL where the CA says why, or ""
	// RenewAt is the moment of the window that was chosen, once for all.
	RenewAt time.Time `json:"renew_at"`
	// CheckedAt is when the CA was first seen to say so.
	CheckedAt time.Time `json:"checked_at"`
}

// Same tells whether the CA says the same of the same certificate.
func (i *RenewalInfo) Same(other *RenewalInfo) bool {
	if i == nil || other == nil {
		return i == other
	}
	return i.Serial == other.Serial && i.Start.Equal(other.Start) && i.End.Equal(other.End) && i.Explanation == other.Explanation
}

// Of is the information where it speaks of l, else nil.
func (i *RenewalInfo) Of(l *Live) *RenewalInfo {
	if i == nil || l == nil || i.Serial != l.Serial {
		return nil
	}
	return i
}

// Inside tells whether an order sent now counts as coordinated by ARI.
func (i *RenewalInfo) Inside(now time.Time) bool {
	return i != nil && !now.Before(i.Start) && now.Before(i.End)
}

// Urgent tells that the window had ended when it was first seen: the CA wants
// the certificate replaced, as it does before it revokes it.
func (i *RenewalInfo) Urgent() bool { return i != nil && !i.End.After(i.CheckedAt) }

// MaxMeta is how many bytes one value of custom metadata has at most.
const MaxMeta = 512

// RotateToken is a rotation request as it is compared and stored: the text
// itself, or its digest where it is too long for one metadata value.
func RotateToken(text string) string {
	if len(text) <= MaxMeta {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Satisfies tells whether it was made for that rotation request.
func (l *Live) Satisfies(rotate string) bool { return RotateToken(rotate) == RotateToken(l.Rotate) }

// SameNext tells whether two speak of the same next key.
func (l *Live) SameNext(m *Live) bool {
	return l.NextKeyDigest == m.NextKeyDigest && l.NextKeyShape == m.NextKeyShape && times.SameTime(l.NextKeySince, m.NextKeySince)
}

// WithoutNext is the same with no next key.
func (l *Live) WithoutNext() *Live {
	c := *l
	c.NextKeyDigest, c.NextKeyShape, c.NextKeySince = "", "", nil
	return &c
}
