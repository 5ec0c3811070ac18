package spec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// NewRule is a rule that an earlier certroll did not have. It rejects a new
// revision like any other mistake. A revision that was in force already
// (Trust.InForce) is not rejected by it, because that would stop the renewals of
// every certificate: only the certificates concerned are held.
//
// A decoder function reports a violation with block.Reader.RefuseNew. The rest follows:
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
