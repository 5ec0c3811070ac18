package plan

import (
	"fmt"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// RenewAt is the moment from which a certificate is due by its threshold.
//
//	notBefore ───────────────────────────┬──────────────── notAfter
//	                                     renewAt
//	                                     └─ threshold, at most a third ─┘
//
// A threshold of more than a third of the lifetime is taken as a third, so
// that a certificate fresh from the CA is never due, however short its life.
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

// due is when a certificate is renewed by itself, and by what.
type due struct {
	at     time.Time
	reason ledger.Reason // ReasonThreshold, ReasonWindow or ReasonRevoking
	detail string        // one part of a sentence: "a third of its 45 days"
}

// dueOf weighs the CA's renewal information against the threshold. The CA's
// word stands where nobody stated a threshold; a stated one that comes earlier
// stands over it, never one that comes later.
func dueOf(c *spec.Certificate, l *ledger.Live, said *ledger.RenewalInfo) due {
	at, capped := RenewAt(c, l)
	d := due{at: at, reason: ledger.ReasonThreshold, detail: thresholdText(c, l, capped)}
	i := said.Of(l)
	if i == nil {
		return d
	}
	// The CA suggests by the leaf and knows nothing of a chain that ends before it.
	binding := c.Renewal.ThresholdStated || l.RenewalEnd().Before(l.NotAfter)
	suggested := times.Later(i.RenewAt, l.IssuedAt.Add(settling(l)))
	if latest := latestRenewal(l); suggested.After(latest) { // as where a clock was ahead when it was issued
		suggested = latest
	}
	switch {
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

// settling is how long a certificate is left alone after its issue whatever the
// CA suggests: a CA that wants each new one replaced at once, by a mistake of
// its own, is not followed into a loop. Within a day one that is to be revoked
// is replaced all the same.
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

// RenewsAt tells whether a certificate is renewed by itself at a moment: a
// pause ends by its date.
func RenewsAt(c *spec.Certificate, now time.Time) bool {
	return c.Renewal.Auto || !c.Renewal.Until.IsZero() && !now.Before(c.Renewal.Until)
}

// Window is how long before expiry a certificate is due: the time there is to
// mend what makes its renewal fail.
func Window(c *spec.Certificate, l *ledger.Live) time.Duration {
	at, _ := RenewAt(c, l)
	return l.RenewalEnd().Sub(at)
}
