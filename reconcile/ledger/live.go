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

// WithFacts returns l with the chain facts of the record: metadata of an earlier version
// has none, and the key of a large issuer exceeds MaxMeta.
func (l *Live) WithFacts(recorded *Live) *Live {
	if recorded == nil || recorded.Serial != l.Serial || !recorded.KnowsChain() || l.KnowsChain() && l.IssuerKey != "" {
		return l
	}
	c := *l
	c.CRL, c.IssuerKey, c.Adopted, c.ChainRead = recorded.CRL, recorded.IssuerKey, recorded.Adopted, recorded.ChainRead
	c.ChainNotAfter, c.ChainKept = recorded.ChainNotAfter, recorded.ChainKept
	return &c
}

// KnowsChain reports whether the facts of the chain are known.
func (l *Live) KnowsChain() bool { return l.ChainRead }

// Live is the certificate in Vault. The custom metadata of the secret holds the part that
// planning needs, so that a lost ledger causes no reissue.
type Live struct {
	Serial      string    `json:"serial"` // lower-case hex
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Names       []string  `json:"names"` // empty if only the digest is known
	NamesDigest string    `json:"names_digest"`
	KeyDigest   string    `json:"key_digest"` // SHA-256 of the SubjectPublicKeyInfo, hex
	KeyShape    string    `json:"key_shape"`  // "ecdsa-P-256", "rsa-3072"
	KeySince    time.Time `json:"key_since"`  // time of the first certificate with this key
	Issuer      string    `json:"issuer"`     // name of the issuer block
	Directory   string    `json:"directory"`  // its ACME directory URL
	Profile     string    `json:"profile"`
	Mount       string    `json:"vault_mount"`
	Path        string    `json:"vault_path"`
	Version     int       `json:"vault_version"` // KV version of the pair
	Revision    string    `json:"revision"`      // config revision of the issuance
	File        string    `json:"file"`          // file of the block when the key was generated
	Rotate      string    `json:"rotate"`        // last satisfied rotation request
	IssuedAt    time.Time `json:"issued_at"`
	// ARI is the identifier in renewal information (RFC 9773 section 4.1); "" if the
	// issuer's key identifier is unknown.
	ARI        string `json:"ari_id"`
	DNSAccount string `json:"dns_account"` // of the validation; "" if unknown
	// The staged key of the next renewal (key.next). certroll publishes its digest so that
	// TLSA records and pins can name it ahead. Empty and null if no key is staged.
	NextKeyDigest string     `json:"next_key_digest"` // SHA-256 of its SubjectPublicKeyInfo, hex
	NextKeyShape  string     `json:"next_key_shape"`
	NextKeySince  *time.Time `json:"next_key_since"` // time of staging
	// ChainNotAfter is the end of the served chain if it is before NotAfter, the leaf's own
	// end; nil if the chain outlives the leaf.
	ChainNotAfter *time.Time `json:"chain_not_after,omitempty"`
	// ChainKept records that a renewal for the chain's sake brought no longer chain. The
	// next renewal is due by the leaf's end.
	ChainKept bool `json:"chain_kept,omitempty"`
	// ChainRead records that the chain facts are known: earlier versions stored none.
	ChainRead bool `json:"chain_read,omitempty"`
	// ChainNote says why the chain differs from the requested one, for example because the
	// CA does not offer preferred_chain; else "".
	ChainNote string `json:"chain_note,omitempty"`
	// CRL is the URL of the CRL in the certificate; "" if it names none.
	CRL string `json:"crl,omitempty"`
	// IssuerKey is the public key (SubjectPublicKeyInfo, base64) of the issuer certificate
	// in the chain, which signed the leaf; "" if the leaf came alone. certroll verifies
	// CRLs with it.
	IssuerKey string `json:"issuer_key,omitempty"`
	// Adopted records that certroll took the pair over: no CA sent it to certroll.
	Adopted bool `json:"adopted,omitempty"`
}

// End returns the end of the served chain: the earliest notAfter of leaf and chain.
func (l *Live) End() time.Time {
	if l.ChainNotAfter != nil && l.ChainNotAfter.Before(l.NotAfter) {
		return *l.ChainNotAfter
	}
	return l.NotAfter
}

// ChainEndsFirst reports whether the chain ends before the leaf.
func (l *Live) ChainEndsFirst() bool { return l.End().Before(l.NotAfter) }

// RenewalEnd returns the end that renewals go by: End, or the leaf's own end once a renewal
// has shown that the CA offers no longer chain.
func (l *Live) RenewalEnd() time.Time {
	if l.ChainKept {
		return l.NotAfter
	}
	return l.End()
}

// SetChain stores the facts of a chain (leaf first). old is the certificate that it
// replaces; nil if none.
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

// Lifetime returns the period that renewals go by: the validity period, or the time until
// the chain ends if that is shorter. The last second counts (RFC 5280 section 4.1.2.5): CAs
// end a period of 90 days a second early. For a certificate without an end (the year 9999)
// it returns the longest time.Duration, 292 years.
func (l *Live) Lifetime() time.Duration {
	return min(l.RenewalEnd().Sub(l.NotBefore), math.MaxInt64-time.Second) + time.Second
}

// crlOf returns the first HTTP URL of a CRL in the certificate (RFC 5280 section 4.2.1.13);
// "" if it has none, or one that does not fit into metadata.
func crlOf(leaf *x509.Certificate) string {
	for _, at := range leaf.CRLDistributionPoints {
		if u, err := url.Parse(at); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && len(at) <= MaxMeta {
			return at
		}
	}
	return ""
}

// RenewalInfo is the CA's renewal information for one certificate (RFC 9773 section 4.2)
// and the moment that certroll chose.
type RenewalInfo struct {
	Serial      string    `json:"serial"`       // of the certificate
	Start       time.Time `json:"window_start"` // the CA's suggested window
	End         time.Time `json:"window_end"`
	Explanation string    `json:"explanation"` // https URL of the CA's explanation, or ""
	// RenewAt is the moment in the window, chosen once per window.
	RenewAt time.Time `json:"renew_at"`
	// CheckedAt is when certroll first received this window.
	CheckedAt time.Time `json:"checked_at"`
}

// Same reports whether both are the same window of the same certificate.
func (i *RenewalInfo) Same(other *RenewalInfo) bool {
	if i == nil || other == nil {
		return i == other
	}
	return i.Serial == other.Serial && i.Start.Equal(other.Start) && i.End.Equal(other.End) && i.Explanation == other.Explanation
}

// Of returns i if it belongs to l, else nil.
func (i *RenewalInfo) Of(l *Live) *RenewalInfo {
	if i == nil || l == nil || i.Serial != l.Serial {
		return nil
	}
	return i
}

// Inside reports whether an order sent now is inside the window. Only such an order is
// exempt from rate limits.
func (i *RenewalInfo) Inside(now time.Time) bool {
	return i != nil && !now.Before(i.Start) && now.Before(i.End)
}

// Urgent reports whether the window had already ended when certroll first received it. A CA
// suggests such a window before it revokes the certificate.
func (i *RenewalInfo) Urgent() bool { return i != nil && !i.End.After(i.CheckedAt) }

// MaxMeta is the longest value of KV v2 custom metadata, in bytes.
const MaxMeta = 512

// RotateToken returns a rotation request in the form that certroll compares and stores: the
// text, or its digest if the text exceeds MaxMeta.
func RotateToken(text string) string {
	if len(text) <= MaxMeta {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Satisfies reports whether the certificate was issued for the rotation request.
func (l *Live) Satisfies(rotate string) bool { return RotateToken(rotate) == RotateToken(l.Rotate) }

// SameNext reports whether both have the same next key.
func (l *Live) SameNext(m *Live) bool {
	return l.NextKeyDigest == m.NextKeyDigest && l.NextKeyShape == m.NextKeyShape && times.SameTime(l.NextKeySince, m.NextKeySince)
}

// WithoutNext returns a copy without the next key.
func (l *Live) WithoutNext() *Live {
	c := *l
	c.NextKeyDigest, c.NextKeyShape, c.NextKeySince = "", "", nil
	return &c
}
