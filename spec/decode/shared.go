package decode

import (
	"time"

	"certroll/spec"
	"certroll/spec/block"
)

// partial is what a certificate block or a defaults block states; the rest
// comes from the next defaults block above, setting by setting.
type partial struct {
	issuers   block.Setting[[]block.Element[string]]
	dns       block.Setting[[]block.Element[string]]
	shape     block.Setting[spec.Key] // algorithm, curve and size go together
	rotation  block.Setting[spec.Rotation]
	maxAge    block.Setting[time.Duration]
	nextKey   block.Setting[bool]
	pause     block.Setting[pause] // auto, reason and until go together
	threshold block.Setting[threshold]
	fallback  block.Setting[time.Duration]
	mount     block.Setting[string]
	prefix    block.Setting[string] // of the paths of certificates that have none; only defaults blocks have it
	fields    block.Setting[spec.Fields]
	labels    block.Setting[map[string]string]
	onRemove  block.Setting[spec.OnRemove]
	previous  block.Setting[spec.OnRemove]
}

// under takes from above what is left out here.
func (p partial) under(above partial) partial {
	return partial{
		p.issuers.Or(above.issuers), p.dns.Or(above.dns), p.shape.Or(above.shape), p.rotation.Or(above.rotation), p.maxAge.Or(above.maxAge),
		p.nextKey.Or(above.nextKey), p.pause.Or(above.pause), p.threshold.Or(above.threshold), p.fallback.Or(above.fallback),
		p.mount.Or(above.mount), p.prefix.Or(above.prefix), p.fields.Or(above.fields), p.labels.Or(above.labels), p.onRemove.Or(above.onRemove),
		p.previous.Or(above.previous),
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
