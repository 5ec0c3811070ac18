package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// NewRule is a rule that an earlier certroll did not have. It rejects a new
// revision like any other mistake. A revision that was in force already
// (Trust.InForce) is not rejected by it, because that would stop the renewals of
// every certificate: only the certificates concerned are held.
//
// A decoder function reports a violation with body.refuseNew. The rest follows:
// the diagnostic, the hold, the lines for certroll.hcl, `doctor --upgrade`.
type NewRule struct {
	Name string // stable, as it stands in events: "trust.endpoints"
	// Allow is what certroll.hcl has to contain so that the rule is kept; the
	// zero value: only the config repo can be changed.
	Allow Allowance
}

// Allowance is one setting of certroll.hcl, as HCL source text.
type Allowance struct {
	Block   string // "trust"
	Setting string // "endpoints"
	Value   string // `"pdns.example.com:443"`, `true`: HCL source
	List    bool   // Value is one element of a list
	Text    string // instead of these: a whole block that has to be moved there
}

// Lines are the lines for certroll.hcl; "" where there are none.
func (a Allowance) Lines() string {
	switch {
	case a == Allowance{}:
		return ""
	case a.Text != "":
		return a.Text
	case a.List:
		return fmt.Sprintf("%s { %s = [%s] }", a.Block, a.Setting, a.Value)
	}
	return fmt.Sprintf("%s { %s = %s }", a.Block, a.Setting, a.Value)
}

// Hold is what a NewRule found in a revision that was in force before.
type Hold struct {
	Rule    NewRule
	Subject string // "dns.NAME", "issuer.NAME", "certificate.NAME" or "defaults.DIRECTORY"
	Message string // place, what is wrong, and how to allow it; one line
}

// Everything tells whether nothing at all may be done with the certificate. A
// hold of an issuer or a DNS account stops only what asks those.
func (h Hold) Everything() bool {
	return !strings.HasPrefix(h.Subject, "issuer.") && !strings.HasPrefix(h.Subject, "dns.")
}

// OnlyNewRules tells whether there are errors, and each is one of a NewRule: a
// revision that was in force may then be decoded with Trust.InForce.
func OnlyNewRules(diags hcl.Diagnostics) bool {
	errors := 0
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		if _, ok := d.Extra.(NewRule); !ok {
			return false
		}
		errors++
	}
	return errors > 0
}

// Holds are all holds of a spec, each once, in the order of the subjects, with
// the certificates that each concerns.
func (s *Spec) Holds() []ConcernedHold {
	var list []ConcernedHold
	index := map[Hold]int{}
	for _, c := range s.Certificates {
		for _, h := range c.Held {
			i, ok := index[h]
			if !ok {
				i = len(list)
				index[h] = i
				list = append(list, ConcernedHold{Hold: h})
			}
			list[i].Certificates = append(list[i].Certificates, c.Name)
		}
	}
	slices.SortStableFunc(list, func(a, b ConcernedHold) int { return strings.Compare(a.Subject, b.Subject) })
	return list
}

// ConcernedHold is a hold with the names of the certificates that it concerns.
type ConcernedHold struct {
	Hold
	Certificates []string
}

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
