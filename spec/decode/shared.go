package decode

import (
	"time"

	"certroll/spec"
	"certroll/spec/block"
)

// partial contains the settings of a certificate or defaults block. Settings it leaves
// out come from the next defaults block above, each on its own.
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
	prefix    block.Setting[string] // for certificates without a path; only defaults blocks have it
	fields    block.Setting[spec.Fields]
	labels    block.Setting[map[string]string]
	onRemove  block.Setting[spec.OnRemove]
	previous  block.Setting[spec.OnRemove]
}

// under fills the settings left out in p from above.
func (p partial) under(above partial) partial {
	return partial{
		p.issuers.Or(above.issuers), p.dns.Or(above.dns), p.shape.Or(above.shape), p.rotation.Or(above.rotation), p.maxAge.Or(above.maxAge),
		p.nextKey.Or(above.nextKey), p.pause.Or(above.pause), p.threshold.Or(above.threshold), p.fallback.Or(above.fallback),
		p.mount.Or(above.mount), p.prefix.Or(above.prefix), p.fields.Or(above.fields), p.labels.Or(above.labels), p.onRemove.Or(above.onRemove),
		p.previous.Or(above.previous),
	}
}

// threshold is the renewal threshold: days before expiry, or a percentage of the
// lifetime.
type threshold struct{ days, percent int }

// pause turns renewal off, with a reason and an end.
type pause struct {
	off    bool
	reason string
	until  time.Time
}
