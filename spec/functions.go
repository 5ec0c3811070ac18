package spec

import (
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are what expressions of the repo can call: cty's standard library
// under the names Terraform gave it, where people know them from. None reads
// anything but its arguments.
var functions = makeFunctions()

func makeFunctions() map[string]function.Function {
	table := map[string]function.Function{
		"try": tryfunc.TryFunc, "can": tryfunc.CanFunc,
		"vault": vaultFunc, "env": envFunc, "file": noFileFunc,
		"format":       guard(stdlib.FormatFunc, narrow),
		"formatlist":   guard(stdlib.FormatListFunc, narrow),
		"indent":       guard(stdlib.IndentFunc, fewSpaces),
		"join":         guard(stdlib.JoinFunc, product),
		"replace":      guard(stdlib.ReplaceFunc, product),
		"regexreplace": guard(stdlib.RegexReplaceFunc, product),
		"setproduct":   guard(stdlib.SetProductFunc, product),
	}
	for name, f := range map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "chomp": stdlib.ChompFunc, "chunklist": stdlib.ChunklistFunc,
		"coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc,
		"concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc,
		"element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "floor": stdlib.FloorFunc, "keys": stdlib.KeysFunc,
		"length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc, "lower": stdlib.LowerFunc, "max": stdlib.MaxFunc,
		"merge": stdlib.MergeFunc, "min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "range": stdlib.RangeFunc,
		"regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc, "reverse": stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc, "setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc,
		"signum": stdlib.SignumFunc, "slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "split": stdlib.SplitFunc,
		"strlen": stdlib.StrlenFunc, "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "title": stdlib.TitleFunc,
		"tobool": stdlib.MakeToFunc(cty.Bool), "tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
		"tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)), "tonumber": stdlib.MakeToFunc(cty.Number),
		"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), "tostring": stdlib.MakeToFunc(cty.String),
		"trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc, "trimspace": stdlib.TrimSpaceFunc,
		"trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
	} {
		table[name] = guard(f, nil)
	}
	return table
}

// referenceType wraps a Value while expressions are evaluated, and blockType a
// reference to an issuer or DNS account.
var (
	referenceType = cty.Capsule("reference", reflect.TypeFor[Value]())
	blockType     = cty.Capsule("block", reflect.TypeFor[blockRef]())
)

// blockRef is what issuer.NAME and dns.NAME evaluate to.
type blockRef struct{ kind, name string }

var vaultFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "field", Type: cty.String}},
	Type:   function.StaticReturnType(referenceType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		path, field := args[0].AsString(), args[1].AsString()
		if why := badSecretPath(path); why != "" {
			return cty.NilVal, function.NewArgErrorf(0, "%s; write \"mount/path/of/the/secret\", as `vault kv get` takes it", why)
		}
		if field == "" {
			return cty.NilVal, function.NewArgErrorf(1, "name the field of the secret")
		}
		return cty.CapsuleVal(referenceType, &Value{Source: FromVault, Path: path, Field: field}), nil
	},
})

var envFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "name", Type: cty.String}},
	Type:   function.StaticReturnType(referenceType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		name := args[0].AsString()
		if !variableName.MatchString(name) {
			return cty.NilVal, function.NewArgErrorf(0, "%q is no name of an environment variable", name)
		}
		return cty.CapsuleVal(referenceType, &Value{Source: FromEnv, Name: name}), nil
	},
})

// fileFunc is for the reconciler's own settings alone: a pull request must not
// be able to read a file of the reconciler's machine.
var fileFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "path", Type: cty.String}},
	Type:   function.StaticReturnType(referenceType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		path := args[0].AsString()
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsRune(path, 0) {
			return cty.NilVal, function.NewArgErrorf(0, "%q is no absolute path, as in \"/run/secrets/cloudflare-token\"", short(path))
		}
		return cty.CapsuleVal(referenceType, &Value{Source: FromFile, Path: path}), nil
	},
})

var noFileFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "path", Type: cty.String}},
	Type:   function.StaticReturnType(referenceType),
	Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
		return cty.NilVal, errors.New("file() stands in certroll.hcl alone, whose dns and issuer blocks may read files; the config repo never does: use vault() or env()")
	},
})

// trustedFunctions are what the reconciler's own settings can call.
func trustedFunctions() map[string]function.Function {
	table := maps.Clone(functions)
	table["file"] = fileFunc
	return table
}
