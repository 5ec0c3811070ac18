package spec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// NewRule is a rule that earlier versions of certroll did not have. certroll rejects a
// new revision that breaks it, as for any other mistake. It does not reject a revision
// that was already in force (Trust.InForce), because that would stop the renewals of
// every certificate: it holds only the certificates concerned.
//
// A decoder function reports a violation with block.Reader.RefuseNew, which creates the
// diagnostic, the hold, the lines for certroll.hcl and the output of `doctor --upgrade`.
type NewRule struct {
	Name string // stable, because events contain it: "trust.endpoints"
	// Allow is the setting of certroll.hcl that allows the use. The zero value: only a
	// change of the config repo helps.
	Allow Allowance
}

// Allowance is one setting of certroll.hcl, as HCL source text.
type Allowance struct {
	Block   string // "trust"
	Setting string // "endpoints"
	Value   string // `"pdns.example.com:443"`, `true`: HCL source
	List    bool   // Value is one element of a list
	Text    string // replaces the other fields: a whole block to move to certroll.hcl
}

// Lines returns the lines for certroll.hcl; "" if there are none.
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

// Hold is a violation of a NewRule by a revision that was already in force.
type Hold struct {
	Rule    NewRule
	Subject string // "dns.NAME", "issuer.NAME", "certificate.NAME" or "defaults.DIRECTORY"
	Message string // place, mistake, and how to allow it; one line
}

// Everything reports whether the hold stops all actions for the certificate. The hold of
// an issuer or a DNS account stops only actions that use it.
func (h Hold) Everything() bool {
	return !strings.HasPrefix(h.Subject, "issuer.") && !strings.HasPrefix(h.Subject, "dns.")
}

// OnlyNewRules reports whether there are errors and all of them come from NewRules. A
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
