package plan

import (
	"fmt"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// RenewAt returns the time from which a certificate is due by its threshold, and whether
// the threshold was capped.
//
//	notBefore ───────────────────────────┬──────────────── notAfter
//	                                     renewAt
//	                                     └─ threshold, at most a third ─┘
//
// The cap is a third of the lifetime, so that a certificate fresh from the CA is never due,
// however short its life: the lifetimes of public CAs shrink (CA/B Forum SC-081: 47 days
// from 2029-03).
func RenewAt(c *spec.Certificate, l *ledger.Live) (at time.Time, capped bool) {
	threshold := thresholdOf(c, l)
	if third := l.Lifetime() / 3; threshold > third {
		threshold, capped = third, true
	}
	return l.RenewalEnd().Add(-threshold).UTC().Truncate(time.Second), capped
}

func thresholdOf(c *spec.Certificate, l *ledger.Live) time.Duration {
	if p := c.Renewal.ThresholdPercent; p > 0 {
		return l.Lifetime() / 100 * time.Duration(p)
	}
	return time.Duration(c.Renewal.ThresholdDays) * times.Day
}

// due is when certroll renews a certificate by itself, and why.
type due struct {
	at     time.Time
	reason ledger.Reason // ReasonThreshold, ReasonWindow or ReasonRevoking
	detail string        // one part of a sentence: "a third of its 45 days"
}

// dueOf combines the CA's renewal information with the threshold. The CA's window wins if
// the spec states no threshold. A stated threshold wins only if it comes earlier than the
// window.
func dueOf(c *spec.Certificate, l *ledger.Live, said *ledger.RenewalInfo) due {
	at, capped := RenewAt(c, l)
	d := due{at: at, reason: ledger.ReasonThreshold, detail: thresholdText(c, l, capped)}
	// Information about an earlier certificate does not apply.
	i := said.Of(l)
	if i == nil {
		return d
	}
	// The CA chooses the window by the leaf and ignores a chain that ends before it.
	binding := c.Renewal.ThresholdStated || l.RenewalEnd().Before(l.NotAfter)
	suggested := times.Later(i.RenewAt, l.IssuedAt.Add(settling(l)))
	if latest := latestRenewal(l); suggested.After(latest) { // for example issued by a clock that was ahead
		suggested = latest
	}
	switch {
	// A stated threshold cannot delay the replacement of a certificate that the CA is about
	// to revoke.
	case i.Urgent():
		d = due{at: suggested, reason: ledger.ReasonRevoking, detail: "the CA wants it replaced: its suggested window ended " +
			i.End.UTC().Format(time.RFC3339) + ", before the CA was asked, as it does when a certificate is to be revoked"}
	case !binding || suggested.Before(at):
		d = due{at: suggested, reason: ledger.ReasonWindow, detail: "in the CA's suggested window, " +
			i.Start.UTC().Format(time.RFC3339) + " to " + i.End.UTC().Format(time.RFC3339)}
	default:
		return d
	}
	if i.Explanation != "" {
		d.detail += " (" + i.Explanation + ")"
	}
	return d
}

// settling is how long certroll leaves a new certificate alone, whatever window the CA
// suggests. A CA that by mistake wants every new certificate replaced at once must not
// cause a loop of orders. A day is still early enough for a certificate that the CA is
// about to revoke.
func settling(l *ledger.Live) time.Duration { return min(times.Day, l.Lifetime()/10) }

func thresholdText(c *spec.Certificate, l *ledger.Live, capped bool) string {
	expires := "it expires"
	if l.RenewalEnd().Before(l.NotAfter) {
		expires = "its chain ends, which is before the certificate's own end " + l.NotAfter.UTC().Format(time.DateOnly)
	}
	switch {
	case capped:
		return "a third of its " + times.Days(l.Lifetime()) + " before " + expires
	case c.Renewal.ThresholdPercent > 0:
		return fmt.Sprintf("%d %% of its %s before %s", c.Renewal.ThresholdPercent, times.Days(l.Lifetime()), expires)
	default:
		return text.Counted(c.Renewal.ThresholdDays, "day") + " before " + expires
	}
}

// RenewsAt reports whether certroll renews a certificate by itself at a time. A pause ends
// at renewal.until, without a new revision.
func RenewsAt(c *spec.Certificate, now time.Time) bool {
	return c.Renewal.Auto || !c.Renewal.Until.IsZero() && !now.Before(c.Renewal.Until)
}

// Window returns the time between the threshold and the end of the certificate: the time in
// which certroll or a person can fix a failing renewal.
func Window(c *spec.Certificate, l *ledger.Live) time.Duration {
	at, _ := RenewAt(c, l)
	return l.RenewalEnd().Sub(at)
}
