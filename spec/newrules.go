package spec

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
)

// refuseNew reports that a rule which earlier versions did not have rejects what
// stands at a place. The caller goes on as if it were allowed: where the
// revision was in force, the value is part of the spec, and b.subject is held.
func (b *body) refuseNew(rule NewRule, at *hcl.Range, summary, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if lines := rule.Allow.Lines(); lines != "" && rule.Allow.Text == "" {
		detail += " To allow it, write into certroll.hcl: " + lines
	}
	diag := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: at, Context: b.whole, Extra: rule}
	if b.d.trust.InForce {
		diag.Severity = hcl.DiagWarning
		place := ""
		if at != nil {
			place = at.Filename + ":" + strconv.Itoa(at.Start.Line) + ": "
		}
		h := Hold{Rule: rule, Subject: b.subject, Message: place + summary + ": " + detail}
		if !slices.Contains(b.d.holds[b.subject], h) {
			b.d.holds[b.subject] = append(b.d.holds[b.subject], h)
		}
	}
	b.d.report(diag)
}

// source is the text of the outermost block.
func (b *body) source() string {
	return string(b.whole.SliceBytes(b.d.sources[b.whole.Filename]))
}

// settleHolds hands each certificate the holds of itself, of the defaults over
// it, of its issuers and of its DNS accounts.
func (d *decoder) settleHolds() {
	if len(d.holds) == 0 {
		return
	}
	for name, i := range d.spec.Issuers {
		i.Held = d.holds["issuer."+name]
	}
	for name, a := range d.spec.DNS {
		a.Held = d.holds["dns."+name]
	}
	for _, c := range d.spec.Certificates {
		subjects := []string{"certificate." + c.Name}
		for _, dir := range ancestors(c.File) {
			subjects = append(subjects, "defaults."+dir)
		}
		for _, name := range append([]string{c.Issuer}, c.Fallbacks...) {
			subjects = append(subjects, "issuer."+name)
		}
		for _, name := range c.DNS {
			subjects = append(subjects, "dns."+name)
		}
		for _, s := range subjects {
			c.Held = append(c.Held, d.holds[s]...)
		}
	}
}
