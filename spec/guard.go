package spec

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// The bounds of evaluation. HCL has no loops without end, but loops within
// loops, and functions that make much out of little.
const (
	maxWork     = 4_000_000 // steps of all loops of one revision, and the size of what they make
	maxValue    = 256 << 10 // the size of one value: bytes of text and elements
	maxExponent = 1 << 10   // binary exponent of a number
)

var (
	errWork  = errors.New("the loops of this revision take too many steps")
	errValue = fmt.Errorf("the value is larger than %d bytes and elements", maxValue)
)

// budget is what the loops of one revision may still cost.
type budget struct {
	mu   sync.Mutex // held while the expressions of fields are evaluated, which happens at any time
	left int
}

func (b *budget) spend(n int) {
	if b.left -= n; b.left < 0 {
		panic(errWork) // recovered in decoder.eval: a loop of HCL does not end at an error
	}
}

// counted is the body of a loop that pays for each of its rounds.
type counted struct {
	hclsyntax.Expression
	budget *budget
}

// Value evaluates one round.
func (c *counted) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	c.budget.spend(1)
	v, diags := c.Expression.Value(ctx)
	c.budget.spend(size(v))
	return v, diags
}

// guardLoops puts every loop of a body on the budget, and operators on the
// bound of numbers.
func guardLoops(body *hclsyntax.Body, b *budget) {
	count := func(e hclsyntax.Expression) hclsyntax.Expression {
		if e == nil {
			return nil
		}
		return &counted{e, b}
	}
	_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
		if c, ok := n.(*counted); ok {
			n = c.Expression
		}
		switch e := n.(type) {
		case *hclsyntax.ForExpr:
			e.KeyExpr, e.ValExpr, e.CondExpr = count(e.KeyExpr), count(e.ValExpr), count(e.CondExpr)
		case *hclsyntax.SplatExpr:
			e.Each = count(e.Each)
		case *hclsyntax.BinaryOpExpr:
			e.Op = guardedOperation(e.Op)
		case *hclsyntax.UnaryOpExpr:
			e.Op = guardedOperation(e.Op)
		}
		return nil
	})
}

var guardedOperations = map[*hclsyntax.Operation]*hclsyntax.Operation{
	hclsyntax.OpAdd: nil, hclsyntax.OpSubtract: nil, hclsyntax.OpMultiply: nil,
	hclsyntax.OpDivide: nil, hclsyntax.OpModulo: nil, hclsyntax.OpNegate: nil,
}

func init() {
	for op := range guardedOperations {
		guarded := *op
		guarded.Impl = guard(op.Impl, nil)
		guardedOperations[op] = &guarded
	}
}

func guardedOperation(op *hclsyntax.Operation) *hclsyntax.Operation {
	if guarded := guardedOperations[op]; guarded != nil {
		return guarded
	}
	return op
}

// guard bounds what goes into a function and what comes out of it. before, if
// not nil, refuses arguments that would make it take too much on the way.
func guard(f function.Function, before func(args []cty.Value) error) function.Function {
	check := func(args []cty.Value) error {
		for i, v := range args {
			if size(v) > maxValue {
				return function.NewArgError(i, errValue)
			}
		}
		if before != nil {
			return before(args)
		}
		return nil
	}
	return function.New(&function.Spec{
		Params:   f.Params(),
		VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := check(args); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := f.Call(args)
			if err == nil && size(v) > maxValue {
				return cty.NilVal, errValue
			}
			return v, err
		},
	})
}

// size measures a value in bytes of text and elements. A number counts as much
// as its digits would.
func size(v cty.Value) int {
	v, _ = v.Unmark()
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() {
		return 1
	}
	t := v.Type()
	switch {
	case t == cty.String:
		return 1 + len(v.AsString())
	case t == cty.Number:
		if f := v.AsBigFloat(); f.IsInf() || f.MantExp(nil) > maxExponent || f.MantExp(nil) < -maxExponent {
			return maxValue + 1
		}
		return 1
	case !v.CanIterateElements():
		return 1
	}
	n := 1
	for it := v.ElementIterator(); it.Next() && n <= maxValue; {
		key, element := it.Element()
		n += size(element)
		if t.IsMapType() || t.IsObjectType() {
			n += size(key)
		}
	}
	return n
}

// product refuses arguments whose sizes, multiplied, are too much: joining,
// replacing and combining can make as much of them.
func product(args []cty.Value) error {
	n := 1
	for _, v := range args {
		if n *= size(v); n > 4<<20 {
			return errValue
		}
	}
	return nil
}

// formatWidth finds a width or precision of four digits and more, or one that
// an argument sets.
var formatWidth = regexp.MustCompile(`%[^a-zA-Z%]*([0-9]{4,}|\*)`)

func narrow(args []cty.Value) error {
	if s := args[0]; s.IsKnown() && !s.IsNull() && formatWidth.MatchString(s.AsString()) {
		return function.NewArgErrorf(0, "widths and precisions have at most three digits")
	}
	return nil
}

// fewSpaces bounds indent().
func fewSpaces(args []cty.Value) error {
	n := args[0]
	if !n.IsKnown() || n.IsNull() {
		return nil
	}
	if spaces, err := strconv.Atoi(n.AsBigFloat().Text('f', 0)); err != nil || spaces > 100 {
		return function.NewArgErrorf(0, "at most 100 spaces")
	}
	return nil
}
