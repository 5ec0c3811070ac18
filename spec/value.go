package spec

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Source says where a Value comes from.
type Source string

// The sources of a Value.
const (
	Literal   Source = "literal" // written in the file
	FromVault Source = "vault"   // vault("mount/path", "field")
	FromEnv   Source = "env"     // env("NAME")
	FromFile  Source = "file"    // file("/path")
)

// Value is a setting that is either written in the file or a reference that is
// followed only at apply time, so that a spec never holds a secret.
type Value struct {
	Source Source
	Text   string // Literal: the text itself
	Path   string // FromVault: mount and path, as typed: "kv/dns/cloudflare"; FromFile: the absolute path
	Field  string // FromVault: the field of the secret
	Name   string // FromEnv: the variable's name
	// Trusted says that it stands in certroll.hcl, whose references may lead
	// anywhere.
	Trusted bool
	Range   hcl.Range
}

// Where names the place that the value is found at, for a message.
func (v Value) Where() string {
	switch v.Source {
	case FromVault:
		return "the field " + v.Field + " of " + v.Path + " in Vault"
	case FromEnv:
		return "the environment variable " + v.Name
	case FromFile:
		return "the file " + v.Path
	default:
		return fmt.Sprintf("the text at %s:%d", v.Range.Filename, v.Range.Start.Line)
	}
}

// ReferenceType wraps a Value while expressions are evaluated.
var ReferenceType = cty.Capsule("reference", reflect.TypeFor[Value]())

// IsReference tells whether a value is what vault(), env() or file() gave.
func IsReference(v cty.Value) bool {
	return v != cty.NilVal && v.Type().Equals(ReferenceType) && !v.IsNull()
}
