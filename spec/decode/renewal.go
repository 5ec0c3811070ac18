package decode

import (
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/text"
)

// threshold reads threshold_days, or threshold as "33%" or "21d".
func (b *body) threshold() block.Setting[threshold] {
	whole := b.Integer("threshold_days", 1, 397)
	share := b.Text("threshold")
	switch {
	case whole.At != nil && share.At != nil:
		b.Fault(share.At, "Contradicting settings", "threshold and threshold_days say the same thing; leave one of them out.")
		return block.Setting[threshold]{At: share.At}
	case whole.At != nil:
		return block.Setting[threshold]{Value: threshold{days: whole.Value}, At: whole.At, OK: whole.OK}
	case !share.OK:
		return block.Setting[threshold]{At: share.At}
	}
	t := threshold{percent: spec.WholePercent(share.Value, 99), days: spec.WholeDays(share.Value, 397)}
	if t == (threshold{}) {
		b.Fault(share.At, "Invalid threshold", "threshold = %q: write a share of the lifetime, \"1%%\" to \"99%%\", or days before expiry, \"1d\" to \"397d\".", text.Short(share.Value))
	}
	return block.Setting[threshold]{Value: t, At: share.At, OK: t != (threshold{})}
}

// pause reads auto, and reason and until, which are valid only with auto = false.
func (b *body) pause() block.Setting[pause] {
	auto, reason, until := b.Boolean("auto"), b.reason("reason"), b.moment("until")
	p := pause{off: auto.OK && !auto.Value, reason: reason.Value, until: until.Value}
	for name, at := range map[string]*hcl.Range{"reason": reason.At, "until": until.At} {
		if at != nil && !p.off {
			b.Fault(at, "Contradicting settings", "%s says something of a renewal that is off; write auto = false beside it, or leave it out.", name)
		}
	}
	return block.Setting[pause]{Value: p, At: auto.At, OK: auto.OK}
}

// reason reads a person's reason, one line.
func (b *body) reason(name string) block.Setting[string] {
	s := b.Text(name)
	if s.OK && spec.BadReason(s.Value) {
		b.Fault(s.At, "Value out of range", "%s is the reason, in one line of at most %d bytes.", name, spec.MaxReason)
		s.OK = false
	}
	return s
}

// moment reads a date or a time.
func (b *body) moment(name string) block.Setting[time.Time] {
	s := b.Text(name)
	if !s.OK {
		return block.Setting[time.Time]{At: s.At}
	}
	t := spec.ParseMoment(s.Value)
	if t.IsZero() {
		b.Fault(s.At, "Invalid date", "%s", spec.BadMoment(name, s.Value))
	}
	return block.Setting[time.Time]{Value: t, At: s.At, OK: !t.IsZero()}
}

// rotate reads the request for a rotation: a setting with the reason alone, or a block
// that also says whether to revoke the replaced certificate.
func (b *body) rotate() (reason string, revoke *spec.Revocation) {
	if b.Has("rotate") && hasBlock(b, "rotate") {
		b.Fault(b.Syntax.Attributes["rotate"].NameRange.Ptr(), "Contradicting settings", "rotate is a setting or a block; leave one of them out.")
	}
	b.Asked["rotate"] = true
	if in := b.block("rotate"); in != nil {
		return in.rotateBlock()
	}
	return b.reason("rotate").Value, nil
}

func hasBlock(b *body, name string) bool {
	for _, inner := range b.Syntax.Blocks {
		if inner.Type == name {
			return true
		}
	}
	return false
}

// rotateBlock reads a rotate block. A null reason means no rotation: a for_each uses it
// for the other keys. The default revocation code is superseded.
func (b *body) rotateBlock() (reason string, revoke *spec.Revocation) {
	text, wanted := b.reason("reason"), b.Boolean("revoke")
	code := b.Choice("code", spec.RevocationReasons()...)
	if text.At == nil && b.Has("reason") { // null, for the other keys of a for_each
		b.Finish()
		return "", nil
	}
	switch {
	case text.At == nil || text.OK && text.Value == "":
		b.Lacking("reason", "a text not seen before, which forces the rotation and is the reason in the audit log")
	case code.At != nil && !wanted.Value:
		b.Fault(code.At, "Contradicting settings", "code is the reason of a revocation; write revoke = true beside it, or leave it out.")
	}
	if wanted.Value {
		reason := "superseded"
		if code.OK {
			reason = code.Value
		}
		number, _ := spec.RevocationCode(reason)
		revoke = &spec.Revocation{Code: number}
	}
	b.Finish()
	return text.Value, revoke
}
