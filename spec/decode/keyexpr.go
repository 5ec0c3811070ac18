package decode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec/block"
)

// A field's expression may carry the private key but must not compute on it. If an
// expression can fail, or grow, depending on the key, each render reveals a bit of the
// key to the expression's author: through an event, a size, or the time of the next
// attempt.
//
// The check walks the syntax tree and allows only known constructs. Marks of cty are not
// enough: HCL removes the mark from a condition, and functions without AllowMarked
// receive the unmarked value.
//
// A keystore counts as the key. It is encrypted, but the author of the expression may
// know the password.

// keyAttribute is the only secret attribute of cert.
const keyAttribute = "private_key"

// keystoreFuncs return a keystore, which contains the key.
var keystoreFuncs = []string{"pkcs12", "jks"}

// carriers are functions that accept any text and cannot fail because of it. The value is
// the index of the first argument that may contain the key.
var carriers = map[string]int{
	"join": 1, "format": 1, "chomp": 0, "trimspace": 0, "indent": 1, "base64encode": 0, "jsonencode": 0,
}

// keyFault is a forbidden use of the private key.
type keyFault struct {
	at  hcl.Range
	why string
}

// keyCheck collects the faults of one field's expression.
type keyCheck struct{ faults []keyFault }

// checkKeyUse lists the forbidden uses of the private key in an expression.
func checkKeyUse(e hclsyntax.Expression) []keyFault {
	c := &keyCheck{}
	c.carry(e)
	return c.faults
}

func (c *keyCheck) fault(at hcl.Range, format string, args ...any) {
	c.faults = append(c.faults, keyFault{at, fmt.Sprintf(format, args...)})
}

// carry checks an expression whose value goes into the field unchanged.
func (c *keyCheck) carry(e hclsyntax.Expression) {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		c.carry(e.Expression)
	case *hclsyntax.TemplateWrapExpr:
		c.carry(e.Wrapped)
	case *hclsyntax.TemplateExpr:
		for _, part := range e.Parts {
			c.carryPart(part)
		}
	case *hclsyntax.TupleConsExpr:
		for _, element := range e.Exprs {
			c.carry(element)
		}
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			c.compute(item.KeyExpr, "the name of an attribute")
			c.carry(item.ValueExpr)
		}
	case *hclsyntax.FunctionCallExpr:
		c.call(e)
	case *hclsyntax.ScopeTraversalExpr:
		c.traversal(e.Traversal)
	default:
		c.compute(e, kindOfExpression(e))
	}
}

// carryPart checks a part of a template. Directives (%{ if }, %{ for }) are conditions
// and loops, so they count as computing.
func (c *keyCheck) carryPart(part hclsyntax.Expression) {
	switch p := part.(type) {
	case *hclsyntax.ConditionalExpr, *hclsyntax.TemplateJoinExpr:
		c.compute(part, "a directive of a template")
	default:
		c.carry(p)
	}
}

// call checks a function call whose value goes into the field unchanged.
func (c *keyCheck) call(e *hclsyntax.FunctionCallExpr) {
	first, carries := carriers[e.Name]
	if slices.Contains(keystoreFuncs, e.Name) || !carries || e.ExpandFinal {
		for _, arg := range e.Args {
			c.compute(arg, "an argument of "+e.Name+"()")
		}
		return
	}
	for i, arg := range e.Args {
		if i < first {
			c.compute(arg, "an argument of "+e.Name+"()")
		} else {
			c.carry(arg)
		}
	}
	if e.Name == "format" && len(e.Args) > 0 && c.touches(e) && !plainFormat(e.Args[0]) {
		c.fault(e.Args[0].Range(), "format() takes the private key by %%s alone, in a text that stands there itself")
	}
}

// touches reports whether an expression contains the key or a keystore.
func (c *keyCheck) touches(e hclsyntax.Expression) bool {
	probe := &keyCheck{}
	probe.compute(e, "")
	return len(probe.faults) > 0
}

// plainFormat reports whether a format is a literal with no verbs but %s and %%. Other
// verbs, such as %.5s, would cut the key or fail by its content.
func plainFormat(e hclsyntax.Expression) bool {
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return false
	}
	for rest := v.AsString(); ; {
		i := strings.IndexByte(rest, '%')
		switch {
		case i < 0:
			return true
		case i+1 == len(rest) || rest[i+1] != 's' && rest[i+1] != '%':
			return false
		}
		rest = rest[i+2:]
	}
}

// compute checks an expression whose value decides something: it must contain neither the
// key nor a keystore.
func (c *keyCheck) compute(e hclsyntax.Expression, where string) {
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		switch e := n.(type) {
		case *hclsyntax.ScopeTraversalExpr:
			if !isCert(e.Traversal) {
				break
			}
			if name, ok := block.AttributeOf(e.Traversal); ok && name == keyAttribute {
				c.fault(e.Range(), "cert.private_key stands in %s", where)
			} else if !ok {
				c.wholeCert(e.Range())
			}
		case *hclsyntax.FunctionCallExpr:
			if slices.Contains(keystoreFuncs, e.Name) {
				c.fault(e.Range(), "%s(), which holds the private key, stands in %s", e.Name, where)
			}
		}
		return nil
	})
}

// traversal checks cert.NAME whose value goes into the field unchanged.
func (c *keyCheck) traversal(t hcl.Traversal) {
	if !isCert(t) {
		return
	}
	switch name, ok := block.AttributeOf(t); {
	case !ok:
		c.wholeCert(t.SourceRange())
	case name == keyAttribute && len(t) > 2:
		c.fault(t.SourceRange(), "cert.private_key has no parts")
	}
}

func (c *keyCheck) wholeCert(at hcl.Range) {
	c.fault(at, "cert stands here as a whole, and the private key is in it; write cert.NAME")
}

func isCert(t hcl.Traversal) bool { return t.RootName() == "cert" }

func kindOfExpression(e hclsyntax.Expression) string {
	switch e.(type) {
	case *hclsyntax.ConditionalExpr:
		return "a condition"
	case *hclsyntax.ForExpr, *hclsyntax.SplatExpr, *hclsyntax.TemplateJoinExpr:
		return "a loop"
	case *hclsyntax.BinaryOpExpr, *hclsyntax.UnaryOpExpr:
		return "an operation"
	case *hclsyntax.IndexExpr, *hclsyntax.RelativeTraversalExpr:
		return "an index"
	}
	return "an expression that computes"
}
