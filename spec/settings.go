package spec

import (
	"time"
)

// partial is what a certificate block or a defaults block states; the rest
// comes from the next defaults block above, setting by setting.
type partial struct {
	issuers   setting[[]element[string]]
	dns       setting[[]element[string]]
	shape     setting[Key] // algorithm, curve and size go together
	rotation  setting[Rotation]
	maxAge    setting[time.Duration]
	nextKey   setting[bool]
	pause     setting[pause] // auto, reason and until go together
	threshold setting[threshold]
	fallback  setting[time.Duration]
	mount     setting[string]
	prefix    setting[string] // of the paths of certificates that have none; only defaults blocks have it
	fields    setting[Fields]
	labels    setting[map[string]string]
	onRemove  setting[OnRemove]
	previous  setting[OnRemove]
}

// under takes from above what is left out here.
func (p partial) under(above partial) partial {
	return partial{
		p.issuers.or(above.issuers), p.dns.or(above.dns), p.shape.or(above.shape), p.rotation.or(above.rotation), p.maxAge.or(above.maxAge),
		p.nextKey.or(above.nextKey), p.pause.or(above.pause), p.threshold.or(above.threshold), p.fallback.or(above.fallback),
		p.mount.or(above.mount), p.prefix.or(above.prefix), p.fields.or(above.fields), p.labels.or(above.labels), p.onRemove.or(above.onRemove),
		p.previous.or(above.previous),
	}
}

// threshold is when to renew: days before expiry, or a share of the lifetime.
type threshold struct{ days, percent int }

// pause is a renewal that is turned off: why, and until when.
type pause struct {
	off    bool
	reason string
	until  time.Time
}
