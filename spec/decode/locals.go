package decode

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec/block"
)

// declareLocals registers the settings of a locals block. A local must not contain a
// reference, because locals may appear in any expression and a reference only in
// credentials.
func (d *decoder) declareLocals(b *hclsyntax.Block) {
	for _, inner := range b.Body.Blocks {
		d.Fault(inner.TypeRange.Ptr(), b.Range().Ptr(), "Unknown block", "A locals block has settings only: NAME = VALUE.")
	}
	for _, a := range sortedAttributes(b.Body) {
		if first, dup := d.LocalAttrs[a.Name]; dup {
			d.Fault(a.NameRange.Ptr(), b.Range().Ptr(), "Duplicate name", "There is a local %s already, at %s:%d. Locals are known in the whole repo; rename one.", a.Name, first.NameRange.Filename, first.NameRange.Start.Line)
			continue
		}
		if at := callOf(a.Expr, "vault", "env"); at != nil {
			d.Fault(at, b.Range().Ptr(), "Reference not allowed here", "A local cannot hold a reference; write vault() or env() where it is used, in dns.credentials or issuer.eab.")
			d.locals[a.Name] = cty.DynamicVal
		}
		d.LocalAttrs[a.Name] = a
	}
}

// decodeLocals evaluates the locals, each after the locals it depends on.
func (d *decoder) decodeLocals() {
	l := &localizer{d: d, visiting: map[string]bool{},
		issuer: block.RefObject("issuer", d.IssuerBlocks), dns: block.RefObject("dns", d.DNSBlocks)}
	for _, name := range slices.Sorted(maps.Keys(d.LocalAttrs)) {
		l.resolve(name)
	}
}

type localizer struct {
	d           *decoder
	issuer, dns cty.Value
	path        []string
	visiting    map[string]bool
}

// resolve evaluates a local once. A failed local becomes DynamicVal, so that its mistake
// is reported only once.
func (l *localizer) resolve(name string) {
	if _, done := l.d.locals[name]; done {
		return
	}
	a := l.d.LocalAttrs[name]
	if l.visiting[name] {
		cycle := append(slices.Clone(l.path[slices.Index(l.path, name):]), name)
		l.d.Fault(a.NameRange.Ptr(), nil, "Locals refer to each other", "The value of local.%s depends on itself: local.%s.", name, strings.Join(cycle, " -> local."))
		l.d.locals[name] = cty.DynamicVal
		return
	}
	if len(l.path) >= maxLocalDepth {
		l.d.Fault(a.NameRange.Ptr(), nil, "Nested too deeply", "Locals depend on each other more than %d deep.", maxLocalDepth)
		l.d.locals[name] = cty.DynamicVal
		return
	}
	l.visiting[name] = true
	l.path = append(l.path, name)
	needs := l.needs(a.Expr)
	l.path = l.path[:len(l.path)-1]
	if _, failed := l.d.locals[name]; failed { // it turned out to be part of a cycle
		return
	}
	ctx := &hcl.EvalContext{Functions: l.d.functions, Variables: map[string]cty.Value{"issuer": l.issuer, "dns": l.dns, "local": cty.ObjectVal(needs)}}
	v, ok := l.d.Eval(a.Expr, ctx, nil)
	if !ok {
		v = cty.DynamicVal
	}
	l.d.locals[name] = v
}

const maxLocalDepth = 200

// needs resolves the locals that an expression refers to.
func (l *localizer) needs(e hclsyntax.Expression) map[string]cty.Value {
	values := map[string]cty.Value{}
	for _, t := range e.Variables() {
		name, ok := block.AttributeOf(t)
		if t.RootName() != "local" || !ok || l.d.LocalAttrs[name] == nil {
			continue
		}
		l.resolve(name)
		values[name] = l.d.locals[name]
	}
	return values
}

// callOf returns the place of a call of one of the functions in an expression, or nil.
func callOf(e hclsyntax.Expression, names ...string) *hcl.Range {
	var at *hcl.Range
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && at == nil && slices.Contains(names, call.Name) {
			at = call.Range().Ptr()
		}
		return nil
	})
	return at
}
