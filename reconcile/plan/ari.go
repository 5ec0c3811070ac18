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

// AriID returns a certificate's identifier in renewal information (RFC 9773 section 4.1):
// the authority key identifier and the serial, both base64url, joined by a dot; "" if the
// certificate lacks one of them.
func AriID(leaf *x509.Certificate) string {
	if len(leaf.AuthorityKeyId) == 0 || leaf.SerialNumber == nil || leaf.SerialNumber.Sign() <= 0 {
		return ""
	}
	serial := leaf.SerialNumber.Bytes()
	if serial[0]&0x80 != 0 { // DER keeps the number positive with a leading zero byte; the RFC encodes the DER value
		serial = append([]byte{0}, serial...)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode(leaf.AuthorityKeyId) + "." + encode(serial)
}

// Bounds on the renewal information of a CA.
const (
	// LeastBefore bounds the latest renewal: 1/LeastBefore of the lifetime is left,
	// whatever window the CA suggests.
	LeastBefore = 10 // a tenth
	// earliestWindow is how long before notBefore a window may begin. A CA that is about to
	// revoke a certificate suggests a window in the past, shortly before now.
	earliestWindow = times.Day
)

// NewRenewalInfo checks a window and chooses the moment of renewal in it. It rejects a
// window outside the certificate's life; the caller then keeps the last valid one.
func NewRenewalInfo(name string, l *ledger.Live, start, end time.Time, explanation string, now time.Time) (*ledger.RenewalInfo, error) {
	// Also a zero window: a decoder makes one of a problem document, and a client that acts
	// on it renews at once.
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

// latestRenewal returns the latest renewal time, whatever window the CA suggests.
func latestRenewal(l *ledger.Live) time.Time {
	return l.RenewalEnd().Add(-l.Lifetime() / LeastBefore).UTC().Truncate(time.Second)
}

// chooseMoment picks a moment in the first half of a window, so that a renewal that fails
// has the second half for retries. RFC 9773 section 4.2 recommends a random moment.
// certroll derives it from name and window instead: every replica and every restart picks
// the same one.
func chooseMoment(name string, i *ledger.RenewalInfo) time.Time {
	h := sha256.Sum256([]byte(name + "\x00" + i.Serial + "\x00" + i.Start.Format(time.RFC3339) + "\x00" + i.End.Format(time.RFC3339)))
	// One more second, so that the modulus is never zero.
	half := uint64(i.End.Sub(i.Start)/2/time.Second) + 1
	at := i.Start.Add(time.Duration(binary.BigEndian.Uint64(h[:8])%half) * time.Second)
	if at.Nanosecond() > 0 { // round up to a whole second, never to before the window
		at = at.Truncate(time.Second).Add(time.Second)
	}
	return at
}
