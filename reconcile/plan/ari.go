package plan

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// AriID is a certificate's identifier in renewal information (RFC 9773 section
// 4.1): its issuer's key identifier and its serial; "" where it has none.
func AriID(leaf *x509.Certificate) string {
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
	// LeastBefore is how much of the lifetime is left at the latest when a
	// certificate is renewed, whatever the CA suggests.
	LeastBefore = 10 // a tenth
	// earliestWindow is how long before the certificate's own beginning the
	// window of a revoked one may lie: CAs put it shortly before now.
	earliestWindow = times.Day
)

// NewRenewalInfo judges a window and chooses its moment. What is no window of
// a certificate's life is refused, and the last good one stands.
func NewRenewalInfo(name string, l *ledger.Live, start, end time.Time, explanation string, now time.Time) (*ledger.RenewalInfo, error) {
	switch {
	case start.IsZero() || end.IsZero() || !start.Before(end):
		return nil, errors.New("the suggested window does not end after it begins")
	case start.Before(l.NotBefore.Add(-earliestWindow)):
		return nil, errors.New("the suggested window begins before the certificate does")
	case !start.Before(l.NotAfter):
		return nil, errors.New("the suggested window begins when the certificate has expired")
	}
	i := &ledger.RenewalInfo{Serial: l.Serial, Start: start.UTC(), End: end.UTC(), Explanation: explanation, CheckedAt: now.UTC().Truncate(time.Second)}
	i.RenewAt = chooseMoment(name, i)
	if latest := latestRenewal(l); i.RenewAt.After(latest) {
		i.RenewAt = latest
	}
	return i, nil
}

// latestRenewal is when a certificate is renewed at the latest, whatever the CA
// suggests.
func latestRenewal(l *ledger.Live) time.Time {
	return l.RenewalEnd().Add(-l.Lifetime() / LeastBefore).UTC().Truncate(time.Second)
}

// chooseMoment picks a moment of a window: spread over its first half, so that
// a renewal that fails has the second half for its further tries. It derives
// from name and window, and is the same whenever and wherever it is drawn.
func chooseMoment(name string, i *ledger.RenewalInfo) time.Time {
	h := sha256.Sum256([]byte(name + "\x00" + i.Serial + "\x00" + i.Start.Format(time.RFC3339) + "\x00" + i.End.Format(time.RFC3339)))
	half := uint64(i.End.Sub(i.Start)/2/time.Second) + 1
	at := i.Start.Add(time.Duration(binary.BigEndian.Uint64(h[:8])%half) * time.Second)
	if at.Nanosecond() > 0 { // a whole second, and no moment before the window
		at = at.Truncate(time.Second).Add(time.Second)
	}
	return at
}
