package eval

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"certroll/spec/text"
)

// Meter evaluates expressions and charges a budget. HCL evaluates each node of its tree,
// but on operands that the Meter already evaluated, so that their sizes are known and
// each single step is charged before it runs. The parser's tree stays unchanged.
type Meter struct{ *Budget }

// Run evaluates an expression. err is errWork or errStopped if the budget or the time
// ended; value and diagnostics are meaningless then.
func (m Meter) Run(e hclsyntax.Expression, ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics, err error) {
	defer func() {
		if r := recover(); r != nil {
			if m.ended == nil {
				panic(r)
			}
		}
		if m.ended != nil { // some functions turn a panic into their own error
			v, diags, err = cty.DynamicVal, nil, m.ended
		}
	}()
	v, diags = m.value(e, ctx)
	return v, diags, nil
}

// Weigh returns the size of a value. The error is that of Run.
func (m Meter) Weigh(v cty.Value) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			if err = m.ended; err == nil {
				panic(r)
			}
		}
	}()
	return m.weigh(v), nil
}

// The steps of the parts of an evaluation, from measurements.
const (
	perNode    = 40    // an operator, an index, a literal list's element
	perRound   = 150   // one iteration of a loop: a scope, a key, a value
	perElement = 60    // reading one element of a value, with its type
	perByte    = 1     // copying or normalizing a byte of text
	perNumber  = 2_000 // formatting a number that is no small integer
	perMistake = 200   // one diagnostic of HCL
	perPair    = 4     // comparing two types
	perClass   = 3_000 // parsing a Unicode class of a pattern, twice
	perSorted  = 40    // comparing two elements of a set, for each of their parts
)

// metered is an expression that an HCL node evaluates itself, possibly many times.
type metered struct {
	hclsyntax.Expression
	m Meter
}

// Value evaluates the expression at the meter's cost.
func (e *metered) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	return e.m.value(e.Expression, ctx)
}

// evaluated is an expression that the Meter already evaluated.
type evaluated struct {
	hclsyntax.Expression
	v     cty.Value
	diags hcl.Diagnostics
}

// Value returns the stored result.
func (e *evaluated) Value(*hcl.EvalContext) (cty.Value, hcl.Diagnostics) { return e.v, e.diags }

// first evaluates an operand before its node.
func (m Meter) first(e hclsyntax.Expression, ctx *hcl.EvalContext) *evaluated {
	v, diags := m.value(e, ctx)
	return &evaluated{e, v, diags}
}

func (m Meter) each(list []hclsyntax.Expression, ctx *hcl.EvalContext) []hclsyntax.Expression {
	out := make([]hclsyntax.Expression, len(list))
	for i, e := range list {
		out[i] = m.first(e, ctx)
	}
	return out
}

func valueOf(e hclsyntax.Expression) cty.Value { return e.(*evaluated).v }

// value evaluates a node. It rejects unknown kinds of nodes, because their operands would
// be free.
func (m Meter) value(e hclsyntax.Expression, ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	m.spend(perNode)
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr, *hclsyntax.AnonSymbolExpr, *hclsyntax.ExprSyntaxError, *evaluated, *metered:
		v, diags = e.Value(ctx)
	case *hclsyntax.ScopeTraversalExpr:
		m.spend(int64(len(e.Traversal)) * perNode)
		v, diags = e.Value(ctx)
	case *hclsyntax.RelativeTraversalExpr:
		c := *e
		m.spend(int64(len(e.Traversal)) * perNode)
		c.Source = m.first(e.Source, ctx)
		v, diags = c.Value(ctx)
	case *hclsyntax.ParenthesesExpr:
		v, diags = m.value(e.Expression, ctx)
	case *hclsyntax.TemplateWrapExpr:
		v, diags = m.value(e.Wrapped, ctx)
	case *hclsyntax.TemplateExpr:
		c := *e
		c.Parts = m.each(e.Parts, ctx)
		for _, part := range c.Parts {
			m.text(valueOf(part))
		}
		v, diags = c.Value(ctx)
	case *hclsyntax.TemplateJoinExpr:
		c := *e
		tuple := m.first(e.Tuple, ctx)
		m.texts(tuple.v)
		c.Tuple = tuple
		v, diags = c.Value(ctx)
	case *hclsyntax.TupleConsExpr:
		c := *e
		c.Exprs = m.each(e.Exprs, ctx)
		v, diags = c.Value(ctx)
	case *hclsyntax.ObjectConsExpr:
		v, diags = m.object(e, ctx)
	case *hclsyntax.ObjectConsKeyExpr:
		c := *e
		if hcl.ExprAsKeyword(e.Wrapped) == "" && !isLeaf(e.Wrapped) {
			c.Wrapped = m.first(e.Wrapped, ctx)
		}
		v, diags = c.Value(ctx)
	case *hclsyntax.BinaryOpExpr:
		c := *e
		lhs, rhs := m.first(e.LHS, ctx), m.first(e.RHS, ctx)
		m.operands(e.Op, lhs.v, rhs.v)
		c.LHS, c.RHS, c.Op = lhs, rhs, guardedOperation(e.Op)
		v, diags = c.Value(ctx)
	case *hclsyntax.UnaryOpExpr:
		c := *e
		operand := m.first(e.Val, ctx)
		m.operands(e.Op, operand.v)
		c.Val, c.Op = operand, guardedOperation(e.Op)
		v, diags = c.Value(ctx)
	case *hclsyntax.ConditionalExpr:
		c := *e
		yes, no := m.first(e.TrueResult, ctx), m.first(e.FalseResult, ctx)
		m.branches(yes.v, no.v)
		c.TrueResult, c.FalseResult, c.Condition = yes, no, m.first(e.Condition, ctx)
		v, diags = c.Value(ctx)
	case *hclsyntax.IndexExpr:
		c := *e
		key := m.first(e.Key, ctx)
		m.number(key.v)
		c.Collection, c.Key = m.first(e.Collection, ctx), key
		v, diags = c.Value(ctx)
	case *hclsyntax.SplatExpr:
		c := *e
		source := m.first(e.Source, ctx)
		m.rounds(source.v)
		c.Source, c.Each = source, &metered{e.Each, m}
		v, diags = c.Value(ctx)
	case *hclsyntax.ForExpr:
		v, diags = m.loop(e, ctx)
	case *hclsyntax.FunctionCallExpr:
		v, diags = m.call(e, ctx)
	default:
		diags = hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Unknown expression", Subject: e.Range().Ptr(),
			Detail: fmt.Sprintf("certroll does not know what it costs to evaluate an expression of this kind (%T).", e)}}
		v = cty.DynamicVal
	}
	for _, diag := range diags {
		m.spend(perMistake + int64(len(diag.Detail))) // the detail may quote a name or key of any length
	}
	return v, diags
}

func isLeaf(e hclsyntax.Expression) bool {
	switch e.(type) {
	case *hclsyntax.LiteralValueExpr, *hclsyntax.ScopeTraversalExpr:
		return true
	}
	return false
}

func (m Meter) object(e *hclsyntax.ObjectConsExpr, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	c := *e
	c.Items = make([]hclsyntax.ObjectConsItem, len(e.Items))
	for i, item := range e.Items {
		key := m.first(item.KeyExpr, ctx)
		m.text(key.v)
		c.Items[i] = hclsyntax.ObjectConsItem{KeyExpr: key, ValueExpr: m.first(item.ValueExpr, ctx)}
	}
	return c.Value(ctx)
}

// loop evaluates a for expression. Its key becomes a map key, or part of a diagnostic, so
// it is charged as a text.
func (m Meter) loop(e *hclsyntax.ForExpr, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	c := *e
	coll := m.first(e.CollExpr, ctx)
	m.rounds(coll.v)
	c.CollExpr, c.ValExpr = coll, &metered{e.ValExpr, m}
	if e.CondExpr != nil {
		c.CondExpr = &metered{e.CondExpr, m}
	}
	if e.KeyExpr != nil {
		c.KeyExpr = &loopKey{metered{e.KeyExpr, m}}
	}
	return c.Value(ctx)
}

// loopKey is the key expression of a for expression.
type loopKey struct{ metered }

// Value evaluates the key and charges it as a text.
func (e *loopKey) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := e.metered.Value(ctx)
	e.m.text(v)
	return v, diags
}

// MaxTyped is the longest name for which certroll suggests similar names.
const MaxTyped = 128

// call evaluates a function call. The function's guard charges the function itself; call
// charges HCL's conversion of the arguments before.
func (m Meter) call(e *hclsyntax.FunctionCallExpr, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	f, known := lookupFunction(ctx, e.Name)
	if !known {
		if len(e.Name) > MaxTyped {
			return cty.DynamicVal, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Call to unknown function", Subject: e.NameRange.Ptr(), Context: e.Range().Ptr(),
				Detail: fmt.Sprintf("There is no function named %q.", text.Short(e.Name))}}
		}
		m.spend(int64(len(e.Name)) * 20 * int64(len(functionCosts)))
		return e.Value(ctx)
	}
	c := *e
	c.Args = make([]hclsyntax.Expression, len(e.Args))
	for i, arg := range e.Args {
		param := paramAt(f, i)
		if param != nil && customdecode.CustomExpressionDecoderForType(param.Type) != nil {
			c.Args[i] = &metered{arg, m}
			continue
		}
		in := m.first(arg, ctx)
		c.Args[i] = in
		if why := m.argument(e, param, in.v, i == len(e.Args)-1 && e.ExpandFinal); why != nil {
			why.Subject, why.Context = arg.StartRange().Ptr(), e.Range().Ptr()
			in.diags = append(in.diags, why)
			in.v = cty.DynamicVal
		}
		in.v = prepared(in.v, e.Name, param, i == len(e.Args)-1 && e.ExpandFinal)
	}
	return c.Value(ctx)
}

// converters are the functions that convert any argument to a collection.
var converters = map[string]cty.Type{
	"tolist": cty.List(cty.DynamicPseudoType), "toset": cty.Set(cty.DynamicPseudoType), "tomap": cty.Map(cty.DynamicPseudoType),
}

// prepared converts an argument to the parameter's type if a cheaper way than cty's
// exists.
func prepared(v cty.Value, name string, param *function.Parameter, expand bool) cty.Value {
	want, ok := converters[name]
	switch {
	case !ok && param == nil:
		return v
	case !ok:
		want = param.Type
	}
	if !expand {
		return ofOneType(v, want)
	}
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() || v.IsMarked() || !v.Type().IsTupleType() || v.LengthInt() == 0 {
		return v
	}
	elements := v.AsValueSlice()
	for i := range elements {
		elements[i] = ofOneType(elements[i], want)
	}
	return cty.TupleVal(elements)
}

// ofOneType converts a tuple or object to a list or map if all its parts have one type
// and the parameter accepts any collection. cty would first compare each type with each
// other (sortTypes of package convert), which takes 20 seconds for 20,000 parts.
func ofOneType(v cty.Value, want cty.Type) cty.Value {
	if !want.IsCollectionType() || want.ElementType() != cty.DynamicPseudoType || v == cty.NilVal || !v.IsKnown() || v.IsNull() || v.IsMarked() {
		return v
	}
	switch t := v.Type(); {
	case t.IsTupleType() && !want.IsMapType() && oneType(t.TupleElementTypes()):
		return cty.ListVal(v.AsValueSlice())
	case t.IsObjectType() && want.IsMapType() && oneType(slices.Collect(maps.Values(t.AttributeTypes()))):
		return cty.MapVal(v.AsValueMap())
	default:
		return v
	}
}

// oneType reports whether there is at least one type and all types are equal.
func oneType(types []cty.Type) bool {
	for _, t := range types {
		if !t.Equals(types[0]) || t.HasDynamicTypes() {
			return false
		}
	}
	return len(types) > 0
}

// argument charges HCL's handling of an argument, and rejects one that is too large.
func (m Meter) argument(e *hclsyntax.FunctionCallExpr, param *function.Parameter, v cty.Value, expand bool) *hcl.Diagnostic {
	if m.weigh(v) > MaxValue {
		name := "values"
		if param != nil {
			name = param.Name
		}
		return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Error in function call",
			Detail: fmt.Sprintf("Call to function %q failed: the argument %q: %s.", e.Name, name, ErrTooLarge)}
	}
	switch {
	case param == nil:
	case expand && v.CanIterateElements():
		m.spend(Times(int64(lengthOf(v)), perRound))
		for it := v.ElementIterator(); it.Next(); {
			_, element := it.Element()
			m.conversion(element, param.Type)
		}
	default:
		m.conversion(v, param.Type)
	}
	return nil
}

func lookupFunction(ctx *hcl.EvalContext, name string) (function.Function, bool) {
	for ; ctx != nil; ctx = ctx.Parent() {
		if f, ok := ctx.Functions[name]; ok {
			return f, true
		}
	}
	return function.Function{}, false
}

func paramAt(f function.Function, i int) *function.Parameter {
	if params := f.Params(); i < len(params) {
		return &params[i]
	}
	return f.VarParam()
}

// rounds charges the cost of a loop over a value beyond the loop's body.
func (m Meter) rounds(v cty.Value) {
	m.spend(Times(int64(lengthOf(v)), perRound))
	m.order(v)
}

// order charges sorting the elements of a set, which cty repeats at each iteration.
func (m Meter) order(v cty.Value) {
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() || !v.Type().IsSetType() {
		return
	}
	n := int64(v.LengthInt())
	m.spend(Times(Times(n, int64(bits.Len64(uint64(n)))), int64(typeNodes(v.Type().ElementType()))*perSorted))
}

func lengthOf(v cty.Value) int {
	if v == cty.NilVal || v.IsMarked() || !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
		return 1
	}
	return v.LengthInt()
}

// text charges a value that becomes a text, or part of one.
func (m Meter) text(v cty.Value) {
	switch {
	case v == cty.NilVal || !v.IsKnown() || v.IsNull() || v.IsMarked():
	case v.Type() == cty.String:
		m.spend(int64(len(v.AsString())) * 4 * perByte)
	case v.Type() == cty.Number:
		m.spend(numberCost(v))
	}
}

func (m Meter) texts(v cty.Value) {
	if v == cty.NilVal || v.IsMarked() || !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
		return
	}
	m.rounds(v)
	for it := v.ElementIterator(); it.Next(); {
		_, element := it.Element()
		m.text(element)
	}
}

// number charges parsing a text as a number. The time grows with the square of the
// digits.
func (m Meter) number(v cty.Value) {
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() || v.IsMarked() || v.Type() != cty.String {
		return
	}
	n := int64(len(v.AsString()))
	m.spend(n*perByte + n*n/4000)
}

// operands charges an operator. Comparisons traverse both values; arithmetic parses texts
// as numbers. An operand larger than MaxValue exhausts the budget, which ends the
// evaluation.
func (m Meter) operands(op *hclsyntax.Operation, values ...cty.Value) {
	compares := op == hclsyntax.OpEqual || op == hclsyntax.OpNotEqual
	for _, v := range values {
		if compares {
			if m.weigh(v) > MaxValue {
				m.spend(maxCall + 1)
			}
			continue
		}
		m.number(v)
	}
}

// branches charges finding one type for both results of a conditional.
func (m Meter) branches(yes, no cty.Value) {
	for _, v := range []cty.Value{yes, no} {
		if m.weigh(v) > MaxValue {
			m.spend(maxCall + 1)
		}
	}
	m.spend(unifyCost([]cty.Type{yes.Type(), no.Type()}))
}

// ErrTooLarge reports a value larger than MaxValue.
var ErrTooLarge = fmt.Errorf("the value is larger than %d bytes and elements", MaxValue)
