package eval

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// The bounds of the values that an expression produces.
const (
	MaxValue    = 256 << 10 // size of one value: bytes of text plus elements
	maxExponent = 1 << 10   // binary exponent of a number
)

// guardedOperations are HCL's arithmetic operators with bounded operands and results.
// Unbounded, repeated multiplication makes ever longer numbers.
var guardedOperations = map[*hclsyntax.Operation]*hclsyntax.Operation{
	hclsyntax.OpAdd: nil, hclsyntax.OpSubtract: nil, hclsyntax.OpMultiply: nil,
	hclsyntax.OpDivide: nil, hclsyntax.OpModulo: nil, hclsyntax.OpNegate: nil,
}

func init() {
	for op := range guardedOperations {
		guarded := *op
		guarded.Impl = guardNumbers(op.Impl)
		guardedOperations[op] = &guarded
	}
}

func guardedOperation(op *hclsyntax.Operation) *hclsyntax.Operation {
	if guarded := guardedOperations[op]; guarded != nil {
		return guarded
	}
	return op
}

// guardNumbers bounds the operands and the result of an operator.
func guardNumbers(f function.Function) function.Function {
	check := func(v cty.Value) bool {
		return v == cty.NilVal || v.Type() != cty.Number || !v.IsKnown() || v.IsNull() || !beyond(v)
	}
	return function.New(&function.Spec{
		Params: f.Params(),
		Type: func(args []cty.Value) (cty.Type, error) {
			for i, v := range args {
				if !check(v) {
					return cty.NilType, function.NewArgError(i, ErrTooLarge)
				}
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := f.Call(args)
			if err == nil && !check(v) {
				return cty.NilVal, ErrTooLarge
			}
			return v, err
		},
	})
}

// guard charges a function before it runs, and bounds its arguments and its result. The
// charge is in Type, which cty calls before Impl.
func (m Meter) guard(f function.Function, cost charge) function.Function {
	check := func(args []cty.Value) error {
		m.spend(perRound)
		for i, v := range args {
			size := m.weigh(v)
			if size > MaxValue {
				return function.NewArgError(i, ErrTooLarge)
			}
			m.spend(10 * int64(size))
		}
		if cost != nil {
			return cost(m, args)
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
			if err == nil && m.weigh(v) > MaxValue {
				return cty.NilVal, ErrTooLarge
			}
			return v, err
		},
	})
}

// distinctFunc is cty's distinct(), but it compares an element only with the elements of
// the same hash. cty compares each with each.
func (m Meter) distinctFunc() function.Function {
	return function.New(&function.Spec{
		Params: stdlib.DistinctFunc.Params(),
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
			if !args[0].IsWhollyKnown() {
				return cty.UnknownVal(t), nil
			}
			var list []cty.Value
			table := map[int][]cty.Value{}
			for it := args[0].ElementIterator(); it.Next(); {
				if _, v := it.Element(); !m.place(table, v) {
					list = append(list, v)
				}
			}
			if len(list) == 0 {
				return cty.ListValEmpty(t.ElementType()), nil
			}
			return cty.ListVal(list), nil
		},
	})
}
