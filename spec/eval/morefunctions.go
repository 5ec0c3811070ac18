package eval

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"certroll/spec/text"
)

// MaxNesting is the deepest nesting of brackets in HCL and in JSON. Both parsers are
// recursive.
const MaxNesting = 64

// Functions of Terraform that cty lacks or defines differently:
// https://developer.hashicorp.com/terraform/language/functions.
var (
	startsWithFunc  = textTest("prefix", strings.HasPrefix)
	endsWithFunc    = textTest("suffix", strings.HasSuffix)
	strContainsFunc = textTest("part", strings.Contains)

	// anytrue() skips null, and alltrue() treats null as false. alltrue() of an empty
	// list is true.
	anyTrueFunc = truths(false)
	allTrueFunc = truths(true)
)

// textTest returns a predicate of two texts.
func textTest(second string, test func(s, part string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: second, Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(test(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// truths returns a function of a list of booleans: all of them, or any. It converts the
// elements one by one, because cty's conversion of a whole list compares each type with
// each.
func truths(all bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type:   func(args []cty.Value) (cty.Type, error) { return cty.Bool, listed(args[0].Type()) },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[0].IsWhollyKnown() {
				return cty.UnknownVal(cty.Bool), nil
			}
			result := all
			for it := args[0].ElementIterator(); it.Next(); {
				_, v := it.Element()
				truth, err := convert.Convert(v, cty.Bool)
				if err != nil {
					return cty.NilVal, function.NewArgErrorf(0, "an element is %s, and neither true nor false", text.Article(v.Type().FriendlyName()))
				}
				if isTrue := !truth.IsNull() && truth.True(); isTrue != all {
					result = isTrue
				}
			}
			return cty.BoolVal(result), nil
		},
	})
}

// listed rejects a type that is no list, set or tuple.
func listed(t cty.Type) error {
	if t.IsListType() || t.IsSetType() || t.IsTupleType() || t == cty.DynamicPseudoType {
		return nil
	}
	return function.NewArgErrorf(0, "it is %s, and no list", text.Article(t.FriendlyName()))
}

// indexFunc is index(list, value): the position of a value in a list, from 0. (cty's
// function of that name is the operator [].)
var indexFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}, {Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true}},
	Type: func(args []cty.Value) (cty.Type, error) {
		if t := args[0].Type(); !t.IsListType() && !t.IsTupleType() && t != cty.DynamicPseudoType {
			return cty.NilType, function.NewArgErrorf(0, "it is %s; index() takes a list", text.Article(t.FriendlyName()))
		}
		return cty.Number, nil
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() || !args[1].IsWhollyKnown() {
			return cty.UnknownVal(cty.Number), nil
		}
		for it := args[0].ElementIterator(); it.Next(); {
			if i, v := it.Element(); v.RawEquals(args[1]) {
				return i, nil
			}
		}
		return cty.NilVal, errors.New("the value is not in the list")
	},
})

// oneFunc is one(list): the only element of a list, set or tuple, or null if it is empty.
var oneFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type: func(args []cty.Value) (cty.Type, error) {
		t := args[0].Type()
		switch {
		case t.IsListType() || t.IsSetType():
			return t.ElementType(), nil
		case t.IsTupleType() && t.Length() == 0, t == cty.DynamicPseudoType:
			return cty.DynamicPseudoType, nil
		case t.IsTupleType() && t.Length() == 1:
			return t.TupleElementType(0), nil
		case t.IsTupleType():
			return cty.NilType, function.NewArgErrorf(0, "it has %d elements; one() takes a list with one element or none", t.Length())
		}
		return cty.NilType, function.NewArgErrorf(0, "it is %s; one() takes a list or set", text.Article(t.FriendlyName()))
	},
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(t), nil
		}
		n := args[0].LengthInt()
		if n > 1 {
			return cty.NilVal, function.NewArgErrorf(0, "it has %d elements; one() takes a list with one element or none", n)
		}
		for it := args[0].ElementIterator(); it.Next(); {
			_, v := it.Element()
			return v, nil
		}
		return cty.NullVal(t), nil
	},
})

// finding charges index(): it compares the value with each element, types first.
func finding(m Meter, args []cty.Value) error {
	m.spend(Times(int64(lengthOf(args[0])), perNode+int64(typeNodes(args[1].Type()))))
	return nil
}

// perJSONByte is the cost to parse a byte of JSON: each byte is read three times, and in
// a list of digits every other byte is an element with its type.
const perJSONByte = 150

// jsonNumber matches a number of JSON (RFC 8259 section 6) beyond the bounds of HCL
// numbers.
var jsonNumber = regexp.MustCompile(`[0-9.]{200}|[0-9][eE][-+]?[0-9]{3}`)

// decodingJSON bounds jsondecode() before parsing: its depth, because the parser is
// recursive, and its numbers.
func decodingJSON(m Meter, args []cty.Value) error {
	text := str(args, 0)
	m.spend(Times(int64(len(text)), perJSONByte))
	depth, quoted, plain := 0, false, []byte(nil)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			plain = append(plain, c)
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > MaxNesting {
				return function.NewArgError(0, fmt.Errorf("brackets may stand at most %d deep within each other", MaxNesting))
			}
			plain = append(plain, c)
		case c == ']' || c == '}':
			depth--
			plain = append(plain, c)
		default:
			plain = append(plain, c)
		}
	}
	if jsonNumber.Match(plain) {
		return function.NewArgErrorf(0, "a number has at most 199 digits, and two digits of exponent")
	}
	return nil
}
