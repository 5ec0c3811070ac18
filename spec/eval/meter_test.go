package eval

import (
	"testing"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// TestOfOneType: the faster conversion gives the same result as cty's.
func TestOfOneType(t *testing.T) {
	one, two := cty.NumberIntVal(1), cty.NumberIntVal(2)
	for name, v := range map[string]cty.Value{
		"numbers": cty.TupleVal([]cty.Value{two, one, two}), "one": cty.TupleVal([]cty.Value{one}), "none": cty.EmptyTupleVal,
		"mixed": cty.TupleVal([]cty.Value{one, cty.StringVal("a")}), "tuples": cty.TupleVal([]cty.Value{cty.TupleVal([]cty.Value{one}), cty.TupleVal([]cty.Value{two})}),
		"objects": cty.TupleVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"a": one}), cty.ObjectVal(map[string]cty.Value{"a": two})}),
		"null":    cty.TupleVal([]cty.Value{one, cty.NullVal(cty.Number)}), "of no type": cty.TupleVal([]cty.Value{one, cty.NullVal(cty.DynamicPseudoType)}),
		"unknown": cty.TupleVal([]cty.Value{one, cty.UnknownVal(cty.Number)}), "marked": cty.TupleVal([]cty.Value{one.Mark("m"), two}),
		"object": cty.ObjectVal(map[string]cty.Value{"a": one, "b": two}), "empty object": cty.EmptyObjectVal,
	} {
		for _, want := range converters {
			theirs, err := convert.Convert(v, want)
			ours, ourErr := convert.Convert(ofOneType(v, want), want)
			if (err == nil) != (ourErr == nil) || err == nil && !ours.RawEquals(theirs) {
				t.Errorf("%s as %s: %#v, %v; cty: %#v, %v", name, want.FriendlyName(), ours, ourErr, theirs, err)
			}
		}
	}
}
