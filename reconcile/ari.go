package reconcile

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

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

// ariID is a certificate's identifier in renewal information (RFC 9773 section
// 4.1): its issuer's key identifier and its serial; "" where it has none.
func ariID(leaf *x509.Certificate) string {
	if len(leaf.AuthorityKeyId) == 0 || leaf.SerialNumber == nil || leaf.SerialNumber.Sign() <= 0 {
		return ""
	}
	serial := leaf.SerialNumber.Bytes()
	if serial[0]&0x80 != 0 { // DER keeps the number positive by a leading zero
		serial = append([]byte{0}, serial...)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode(leaf.AuthorityKeyId) + "." + encode(serial)
}

// The bounds of what is believed of a CA.
const (
	// leastBefore is how much of the lifetime is left at the latest when a
	// certificate is renewed, whatever the CA suggests.
	leastBefore = 10 // a tenth
	// earliestWindow is how long before the certificate's own beginning the
	// window of a revoked one may lie: CAs put it shortly before now.
	earliestWindow = day
)

// newRenewalInfo judges a window and chooses its moment. What is no window of
// a certificate's life is refused, and the last good one stands.
func newRenewalInfo(name string, l *Live, start, end time.Time, explanation string, now time.Time) (*RenewalInfo, error) {
	switch {
	case start.IsZero() || end.IsZero() || !start.Before(end):
		return nil, errors.New("the suggested window does not end after it begins")
	case start.Before(l.NotBefore.Add(-earliestWindow)):
		return nil, errors.New("the suggested window begins before the certificate does")
	case !start.Before(l.NotAfter):
		return nil, errors.New("the suggested window begins when the certificate has expired")
	}
	i := &RenewalInfo{Serial: l.Serial, Start: start.UTC(), End: end.UTC(), Explanation: explanation, CheckedAt: now.UTC().Truncate(time.Second)}
	i.RenewAt = chooseMoment(name, i)
	if latest := latestRenewal(l); i.RenewAt.After(latest) {
		i.RenewAt = latest
	}
	return i, nil
}

// latestRenewal is when a certificate is renewed at the latest, whatever the CA
// suggests.
func latestRenewal(l *Live) time.Time {
	return l.NotAfter.Add(-l.Lifetime() / leastBefore).UTC().Truncate(time.Second)
}

// chooseMoment picks a moment of a window: spread over its first half, so that
// a renewal that fails has the second half for its further tries. It derives
// from name and window, and is the same whenever and wherever it is drawn.
func chooseMoment(name string, i *RenewalInfo) time.Time {
	h := sha256.Sum256([]byte(name + "\x00" + i.Serial + "\x00" + i.Start.Format(time.RFC3339) + "\x00" + i.End.Format(time.RFC3339)))
	half := uint64(i.End.Sub(i.Start)/2/time.Second) + 1
	at := i.Start.Add(time.Duration(binary.BigEndian.Uint64(h[:8])%half) * time.Second)
	if at.Nanosecond() > 0 { // a whole second, and no moment before the window
		at = at.Truncate(time.Second).Add(time.Second)
	}
	return at
}

// same tells whether the CA says the same of the same certificate.
func (i *RenewalInfo) same(other *RenewalInfo) bool {
	if i == nil || other == nil {
		return i == other
	}
	return i.Serial == other.Serial && i.Start.Equal(other.Start) && i.End.Equal(other.End) && i.Explanation == other.Explanation
}

// of is the information where it speaks of l, else nil.
func (i *RenewalInfo) of(l *Live) *RenewalInfo {
	if i == nil || l == nil || i.Serial != l.Serial {
		return nil
	}
	return i
}

// inside tells whether an order sent now counts as coordinated by ARI.
func (i *RenewalInfo) inside(now time.Time) bool {
	return i != nil && !now.Before(i.Start) && now.Before(i.End)
}

// urgent tells that the window had ended when it was first seen: the CA wants
// the certificate replaced, as it does before it revokes it.
func (i *RenewalInfo) urgent() bool { return i != nil && !i.End.After(i.CheckedAt) }
