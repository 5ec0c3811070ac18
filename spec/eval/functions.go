package eval

import (
	"encoding/base64"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functionCosts lists the functions that expressions of the repo can call, with their
// cost beyond weighing the arguments: cty's standard library under Terraform's names,
// because people know these. No function reads anything but its arguments. A test fails
// if the worst arguments of a function cost more than it charges.
var functionCosts = map[string]struct {
	function.Function
	cost charge
}{
	"abs": {stdlib.AbsoluteFunc, nil}, "alltrue": {allTrueFunc, nil}, "anytrue": {anyTrueFunc, nil}, "base64encode": {base64Func, nil}, "ceil": {stdlib.CeilFunc, nil}, "chomp": {stdlib.ChompFunc, graphemes},
	"chunklist": {stdlib.ChunklistFunc, nil}, "coalesce": {stdlib.CoalesceFunc, unifying}, "coalescelist": {stdlib.CoalesceListFunc, unifying},
	"compact": {stdlib.CompactFunc, nil}, "concat": {stdlib.ConcatFunc, unifying}, "contains": {stdlib.ContainsFunc, nil},
	"element": {stdlib.ElementFunc, nil}, "endswith": {endsWithFunc, nil}, "flatten": {stdlib.FlattenFunc, nil}, "floor": {stdlib.FloorFunc, nil},
	"format": {stdlib.FormatFunc, formatting}, "formatlist": {stdlib.FormatListFunc, formatting}, "indent": {stdlib.IndentFunc, indenting},
	"index": {indexFunc, finding}, "jsondecode": {stdlib.JSONDecodeFunc, decodingJSON}, "one": {oneFunc, nil}, "startswith": {startsWithFunc, nil}, "strcontains": {strContainsFunc, nil},
	"join": {stdlib.JoinFunc, product}, "jsonencode": {stdlib.JSONEncodeFunc, encoding}, "keys": {stdlib.KeysFunc, nil}, "length": {stdlib.LengthFunc, nil}, "lookup": {stdlib.LookupFunc, nil},
	"lower": {stdlib.LowerFunc, nil}, "max": {stdlib.MaxFunc, nil}, "merge": {stdlib.MergeFunc, nil}, "min": {stdlib.MinFunc, nil},
	"parseint": {stdlib.ParseIntFunc, parsing}, "range": {stdlib.RangeFunc, nil}, "regex": {stdlib.RegexFunc, matching},
	"regexall": {stdlib.RegexAllFunc, matchingAll}, "regexreplace": {stdlib.RegexReplaceFunc, replacing}, "replace": {stdlib.ReplaceFunc, product},
	"reverse": {stdlib.ReverseListFunc, nil}, "setintersection": {stdlib.SetIntersectionFunc, uniting}, "setproduct": {stdlib.SetProductFunc, combining},
	"setsubtract": {stdlib.SetSubtractFunc, uniting}, "setunion": {stdlib.SetUnionFunc, uniting}, "signum": {stdlib.SignumFunc, nil},
	"slice": {stdlib.SliceFunc, nil}, "sort": {stdlib.SortFunc, sorting}, "split": {stdlib.SplitFunc, graphemes}, "strlen": {stdlib.StrlenFunc, graphemes},
	"strrev": {stdlib.ReverseFunc, graphemes}, "substr": {stdlib.SubstrFunc, graphemes}, "title": {stdlib.TitleFunc, graphemes},
	"tobool": {stdlib.MakeToFunc(cty.Bool), nil}, "tolist": {stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), converting(cty.List(cty.DynamicPseudoType))},
	"tomap":    {stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)), converting(cty.Map(cty.DynamicPseudoType))},
	"tonumber": {stdlib.MakeToFunc(cty.Number), converting(cty.Number)},
	"toset":    {stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), converting(cty.Set(cty.DynamicPseudoType))},
	"tostring": {stdlib.MakeToFunc(cty.String), converting(cty.String)}, "trim": {stdlib.TrimFunc, trimming},
	"trimprefix": {stdlib.TrimPrefixFunc, nil}, "trimspace": {stdlib.TrimSpaceFunc, nil}, "trimsuffix": {stdlib.TrimSuffixFunc, nil},
	"upper": {stdlib.UpperFunc, nil}, "values": {stdlib.ValuesFunc, nil}, "zipmap": {stdlib.ZipmapFunc, nil},
}

// Functions returns the functions of the table, charged to this meter.
func (m Meter) Functions() map[string]function.Function {
	table := map[string]function.Function{
		"try": tryfunc.TryFunc, "can": tryfunc.CanFunc,
		"distinct": m.guard(m.distinctFunc(), nil),
	}
	for name, f := range functionCosts {
		table[name] = m.guard(f.Function, f.cost)
	}
	return table
}

// base64Func is base64encode(text): RFC 4648 section 4, with padding.
var base64Func = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "text", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return cty.StringVal(base64.StdEncoding.EncodeToString([]byte(args[0].AsString()))), nil
	},
})
