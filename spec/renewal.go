package spec

import (
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec/text"
)

// threshold reads threshold_days, or threshold as "33%" or "21d".
func (b *body) threshold() setting[threshold] {
	whole := b.integer("threshold_days", 1, 397)
	share := b.text("threshold")
	switch {
	case whole.at != nil && share.at != nil:
		b.fault(share.at, "Contradicting settings", "threshold and threshold_days say the same thing; leave one of them out.")
		return setting[threshold]{at: share.at}
	case whole.at != nil:
		return setting[threshold]{threshold{days: whole.v}, whole.at, whole.ok}
	case !share.ok:
		return setting[threshold]{at: share.at}
	}
	t := threshold{percent: wholePercent(share.v, 99), days: wholeDays(share.v, 397)}
	if t == (threshold{}) {
		b.fault(share.at, "Invalid threshold", "threshold = %q: write a share of the lifetime, \"1%%\" to \"99%%\", or days before expiry, \"1d\" to \"397d\".", text.Short(share.v))
	}
	return setting[threshold]{t, share.at, t != (threshold{})}
}

// pause reads auto, and reason and until, which only a renewal that is off has.
func (b *body) pause() setting[pause] {
	auto, reason, until := b.boolean("auto"), b.reason("reason"), b.moment("until")
	p := pause{off: auto.ok && !auto.v, reason: reason.v, until: until.v}
	for name, at := range map[string]*hcl.Range{"reason": reason.at, "until": until.at} {
		if at != nil && !p.off {
			b.fault(at, "Contradicting settings", "%s says something of a renewal that is off; write auto = false beside it, or leave it out.", name)
		}
	}
	return setting[pause]{p, auto.at, auto.ok}
}

// reason reads one line that a person wrote.
func (b *body) reason(name string) setting[string] {
	s := b.text(name)
	if s.ok && BadReason(s.v) {
		b.fault(s.at, "Value out of range", "%s is the reason, in one line of at most %d bytes.", name, MaxReason)
		s.ok = false
	}
	return s
}

// moment reads a date or a time.
func (b *body) moment(name string) setting[time.Time] {
	s := b.text(name)
	if !s.ok {
		return setting[time.Time]{at: s.at}
	}
	t := ParseMoment(s.v)
	if t.IsZero() {
		b.fault(s.at, "Invalid date", "%s", BadMoment(name, s.v))
	}
	return setting[time.Time]{t, s.at, !t.IsZero()}
}

// rotate reads the wish for a rotation: the reason alone, or a block that says
// what becomes of the certificate it replaces.
func (b *body) rotate() (reason string, revoke *Revocation) {
	if b.has("rotate") && hasBlock(b, "rotate") {
		b.fault(b.src.Attributes["rotate"].NameRange.Ptr(), "Contradicting settings", "rotate is a setting or a block; leave one of them out.")
	}
	b.asked["rotate"] = true
	if in := b.block("rotate"); in != nil {
		return in.rotateBlock()
	}
	return b.reason("rotate").v, nil
}

func hasBlock(b *body, name string) bool {
	for _, inner := range b.src.Blocks {
		if inner.Type == name {
			return true
		}
	}
	return false
}

func (b *body) rotateBlock() (reason string, revoke *Revocation) {
	text, wanted := b.reason("reason"), b.boolean("revoke")
	code := b.choice("code", RevocationReasons()...)
	if text.at == nil && b.has("reason") { // null, as for the other keys of a for_each
		b.done()
		return "", nil
	}
	switch {
	case text.at == nil || text.ok && text.v == "":
		b.lacking("reason", "a text not seen before, which forces the rotation and is the reason in the audit log")
	case code.at != nil && !wanted.v:
		b.fault(code.at, "Contradicting settings", "code is the reason of a revocation; write revoke = true beside it, or leave it out.")
	}
	if wanted.v {
		reason := "superseded"
		if code.ok {
			reason = code.v
		}
		number, _ := RevocationCode(reason)
		revoke = &Revocation{Code: number}
	}
	b.done()
	return text.v, revoke
}
