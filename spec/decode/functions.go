package decode

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"certroll/spec"
	"certroll/spec/eval"
	"certroll/spec/text"
)

var vaultFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "field", Type: cty.String}},
	Type:   function.StaticReturnType(spec.ReferenceType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		path, field := args[0].AsString(), args[1].AsString()
		if why := spec.BadSecretPath(path); why != "" {
			return cty.NilVal, function.NewArgErrorf(0, "%s; write \"mount/path/of/the/secret\", as `vault kv get` takes it", why)
		}
		if field == "" {
			return cty.NilVal, function.NewArgErrorf(1, "name the field of the secret")
		}
		return cty.CapsuleVal(spec.ReferenceType, &spec.Value{Source: spec.FromVault, Path: path, Field: field}), nil
	},
})

var envFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "name", Type: cty.String}},
	Type:   function.StaticReturnType(spec.ReferenceType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		name := args[0].AsString()
		if !spec.IsVariableName(name) {
			return cty.NilVal, function.NewArgErrorf(0, "%q is no name of an environment variable", name)
		}
		return cty.CapsuleVal(spec.ReferenceType, &spec.Value{Source: spec.FromEnv, Name: name}), nil
	},
})

// fileFunc is only for the reconciler's own settings: a pull request must not read a file
// of the reconciler's machine.
var fileFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "path", Type: cty.String}},
	Type:   function.StaticReturnType(spec.ReferenceType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		path := args[0].AsString()
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsRune(path, 0) {
			return cty.NilVal, function.NewArgErrorf(0, "%q is no absolute path, as in \"/run/secrets/cloudflare-token\"", text.Short(path))
		}
		return cty.CapsuleVal(spec.ReferenceType, &spec.Value{Source: spec.FromFile, Path: path}), nil
	},
})

var noFileFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "path", Type: cty.String}},
	Type:   function.StaticReturnType(spec.ReferenceType),
	Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
		return cty.NilVal, errors.New("file() stands in certroll.hcl alone, whose dns and issuer blocks may read files; the config repo never does: use vault() or env()")
	},
})

// functionsOf returns the functions of expressions: the metered ones, and the references.
func functionsOf(m eval.Meter, file function.Function) map[string]function.Function {
	table := m.Functions()
	table["vault"], table["env"], table["file"] = vaultFunc, envFunc, file
	return table
}
