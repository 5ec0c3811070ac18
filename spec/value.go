package spec

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Source is the kind of place that a Value comes from.
type Source string

// The sources of a Value.
const (
	Literal   Source = "literal" // written in the file
	FromVault Source = "vault"   // vault("mount/path", "field")
	FromEnv   Source = "env"     // env("NAME")
	FromFile  Source = "file"    // file("/path")
)

// Value is a setting: a text written in the file, or a reference. certroll follows
// references only when it applies, so that a spec never contains a secret.
type Value struct {
	Source Source
	Text   string // Literal: the text itself
	Path   string // FromVault: mount and path, as typed: "kv/dns/cloudflare"; FromFile: the absolute path
	Field  string // FromVault: the field of the secret
	Name   string // FromEnv: the variable's name
	// Trusted is set if the value stands in certroll.hcl, whose references may read any
	// source.
	Trusted bool
	Range   hcl.Range
}

// Where describes the place of the value, for a message.
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

// ReferenceType wraps a Value during the evaluation of expressions.
var ReferenceType = cty.Capsule("reference", reflect.TypeFor[Value]())

// IsReference reports whether v is the result of vault(), env() or file().
func IsReference(v cty.Value) bool {
	return v != cty.NilVal && v.Type().Equals(ReferenceType) && !v.IsNull()
}
