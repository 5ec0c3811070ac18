package reconcile

import (
	"time"

	"certroll/spec"
)

const day = 24 * time.Hour

// renewAt is the moment from which a certificate is due by its threshold.
//
//	notBefore ───────────────────────────┬──────────────── notAfter
//	                                     renewAt
//	                                     └─ threshold, at most a third ─┘
//
// A threshold of more than a third of the lifetime is taken as a third, so
// that a certificate fresh from the CA is never due, however short its life.
func renewAt(c *spec.Certificate, l *Live) (at time.Time, capped bool) {
	threshold := time.Duration(c.Renewal.ThresholdDays) * day
	if third := l.Lifetime() / 3; threshold > third {
		threshold, capped = third, true
	}
	return l.NotAfter.Add(-threshold).UTC().Truncate(time.Second), capped
}
