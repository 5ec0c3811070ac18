package edit

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A certificate of a for_each has no block of its own. A setting for one key is a
// conditional on the key, in front of the setting's value for the other keys:
//
//	rotate = each.key == "porto" ? "leaked" : null

// keyed writes settings for one key of a for_each.
type keyed struct {
	src []byte
	key string
}

func (k keyed) condition() string { return "each.key == " + quote(k.key) }

// value returns a setting's text with a value for the key and the present value for the
// others. a is nil if the setting is left out.
func (k keyed) value(a *hclsyntax.Attribute, value string) string {
	if a == nil {
		return k.condition() + " ? " + value + " : null"
	}
	if own := k.own(a.Expr); own != nil {
		return k.with(a, own.TrueResult, value)
	}
	return k.condition() + " ? " + value + " : " + k.text(a.Expr)
}

// without returns the setting's text without its part for the key; "" if nothing is left.
// ok is false if the setting has no such part.
func (k keyed) without(a *hclsyntax.Attribute) (rest string, ok bool) {
	own := k.own(a.Expr)
	if own == nil {
		return "", false
	}
	if rest = k.with(a, own, k.text(own.FalseResult)); rest == "null" {
		rest = ""
	}
	return rest, true
}

// own returns the conditional for the key in an expression, or nil.
func (k keyed) own(e hclsyntax.Expression) *hclsyntax.ConditionalExpr {
	for {
		if in, ok := e.(*hclsyntax.ParenthesesExpr); ok {
			e = in.Expression
			continue
		}
		c, ok := e.(*hclsyntax.ConditionalExpr)
		if !ok {
			return nil
		}
		if isKey(c.Condition, k.key) {
			return c
		}
		e = c.FalseResult
	}
}

// isKey reports whether a condition is each.key == "KEY".
func isKey(e hclsyntax.Expression, key string) bool {
	is, ok := e.(*hclsyntax.BinaryOpExpr)
	if !ok || is.Op != hclsyntax.OpEqual {
		return false
	}
	left, ok := is.LHS.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(left.Traversal) != 2 || left.Traversal.RootName() != "each" {
		return false
	}
	right, ok := is.RHS.(*hclsyntax.TemplateExpr)
	if !ok || !right.IsStringLiteral() {
		return false
	}
	v, diags := right.Value(nil)
	attr, named := left.Traversal[1].(hcl.TraverseAttr)
	return named && attr.Name == "key" && !diags.HasErrors() && v.Type() == cty.String && v.AsString() == key
}

func (k keyed) text(e hclsyntax.Expression) string {
	r := e.Range()
	return string(k.src[r.Start.Byte:r.End.Byte])
}

// with returns the setting's text with one part of its expression replaced.
func (k keyed) with(a *hclsyntax.Attribute, part hclsyntax.Expression, text string) string {
	whole, at := a.Expr.Range(), part.Range()
	return string(k.src[whole.Start.Byte:at.Start.Byte]) + text + string(k.src[at.End.Byte:whole.End.Byte])
}

// rotate requests a rotation for one key.
func (k keyed) rotate(p *patch, b *hclsyntax.Block, r Rotating) {
	attr, inner := b.Body.Attributes["rotate"], innerBlock(b, "rotate")
	reason := k.value(attr, quote(r.Reason))
	switch {
	case inner != nil:
		if missing, _ := p.assign(inner, k.rotating(inner.Body.Attributes, r)); len(missing) > 0 {
			p.add(inner, missing)
		}
	case attr != nil && r.Revoke:
		p.rewrite(attr.NameRange.Start.Byte, attr.SrcRange.End.Byte, k.rotateBlock(reason, r))
	case attr != nil:
		p.set(attr, reason)
	case r.Revoke:
		p.add(b, k.rotateBlock(reason, r))
	default:
		p.add(b, []string{"rotate = " + reason})
	}
}

// rotating returns the settings for an existing rotate block.
func (k keyed) rotating(attrs hclsyntax.Attributes, r Rotating) []assignment {
	settings := []assignment{{"reason", k.value(attrs["reason"], quote(r.Reason))}}
	switch a := attrs["revoke"]; {
	case a != nil:
		settings = append(settings, assignment{"revoke", k.value(a, fmt.Sprint(r.Revoke))})
	case r.Revoke:
		settings = append(settings, assignment{"revoke", k.condition()})
	}
	code := "null"
	if r.Code != "" {
		code = quote(r.Code)
	}
	if a := attrs["code"]; a != nil || r.Code != "" {
		settings = append(settings, assignment{"code", k.value(a, code)})
	}
	return settings
}

func (k keyed) rotateBlock(reason string, r Rotating) []string {
	lines := []string{"rotate {", "\treason = " + reason, "\trevoke = " + k.condition()}
	if r.Code != "" {
		lines = append(lines, "\tcode   = "+k.value(nil, quote(r.Code)))
	}
	return append(lines, "}")
}

// renewal writes settings of the renewal block for one key.
func (k keyed) renewal(p *patch, b *hclsyntax.Block, settings []assignment) {
	inner := innerBlock(b, "renewal")
	var own []assignment
	for _, s := range settings {
		var a *hclsyntax.Attribute
		if inner != nil {
			a = inner.Body.Attributes[s.name]
		}
		if s.value == "" && a == nil {
			continue
		}
		if s.value == "" {
			s.value = "null"
		}
		own = append(own, assignment{s.name, k.value(a, s.value)})
	}
	p.renewal(b, own)
}

// resume removes the parts for the key from the renewal block.
func (k keyed) resume(p *patch, b *hclsyntax.Block, settings []assignment) {
	inner := innerBlock(b, "renewal")
	if inner == nil {
		return
	}
	var own []assignment
	for _, s := range settings {
		if a := inner.Body.Attributes[s.name]; a != nil {
			if rest, ok := k.without(a); ok {
				own = append(own, assignment{s.name, rest})
			}
		}
	}
	if len(own) > 0 {
		p.renewal(b, own)
	}
}
