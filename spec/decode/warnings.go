package decode

import (
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/text"
)

// warn reports settings that are allowed but likely to surprise their owner later.
func (c *certificates) warn(b *body, cert *spec.Certificate, p partial) {
	warning := func(at *hcl.Range, summary, format string, args ...any) {
		c.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: at, Context: b.Whole})
	}
	issuer := c.spec.Issuers[cert.Issuer]
	if p.threshold.OK && issuer != nil {
		life, known := issuer.Lifetime()
		of := time.Duration(cert.Renewal.ThresholdDays) * spec.Day
		if percent := cert.Renewal.ThresholdPercent; percent > 0 {
			of = life * time.Duration(percent) / 100
		}
		switch percent := cert.Renewal.ThresholdPercent; {
		case !known && percent > 33:
			warning(p.threshold.At, "Threshold too long", "%d %% of the lifetime is more than a third, which is the longest threshold: certroll uses that third. A certificate fresh from the CA must not be due.", percent)
		case known && of > life/3:
			warning(p.threshold.At, "Threshold too long", "issuer.%s issues for %s, of which a third is the longest threshold: certroll uses that third. A certificate fresh from the CA must not be due.", issuer.Name, spec.SpanText(life))
		}
	}
	if p.rotation.Value == spec.RotateNever && cert.Key.MaxAge == 0 {
		warning(p.rotation.At, "Key kept for ever", "With key.rotation = \"never\" every renewal keeps the private key. Set key.max_age, as in \"180d\", so that it is rotated now and then.")
	}
	if p.pause.Value.off && p.pause.Value.until.IsZero() {
		warning(p.pause.At, "Pause without an end", "With renewal.auto = false certroll does not renew the certificate until a person turns the renewal on again. Set renewal.until, as in \"2026-12-31\".")
	}
}

// mostSameNames bounds the warnings about sets with the same names.
const mostSameNames = 20

// warnSameNames reports each set once, at its last certificate.
func (d *decoder) warnSameNames() {
	sets := d.spec.SameNames()
	for _, set := range sets[:min(len(sets), mostSameNames)] {
		last := set[len(set)-1]
		d.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Same names twice", Subject: &last.Range,
			Detail: text.UpperFirst(spec.SameNamesText(last, set)) + ". Remove one, or leave it so where both are wanted."})
	}
	if more := len(sets) - mostSameNames; more > 0 {
		d.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Same names twice", Detail: fmt.Sprintf("There are %d more such sets of names; they are not shown.", more)})
	}
}
