package initialize

import (
	"fmt"
	"strings"
)

// reference is the place of a value, or the value itself.
type reference struct {
	kind string // "vault", "env", "file"; "" for the value itself
	text string // the path, the variable or the file; else the value
	// field is the field of a Vault secret.
	field string
}

// howReferred is the syntax of references in flags and answers.
const howReferred = "vault:MOUNT/PATH#FIELD, env:NAME or file:/PATH"

// parseReference parses vault:MOUNT/PATH#FIELD, env:NAME or file:/PATH; ok is false for
// any other text.
func parseReference(text string) (r reference, ok bool) {
	kind, rest, found := strings.Cut(text, ":")
	if !found || rest == "" {
		return reference{}, false
	}
	switch kind {
	case "vault":
		path, field, found := strings.Cut(rest, "#")
		r = reference{"vault", strings.Trim(path, "/"), field}
		return r, found && field != "" && strings.Contains(r.text, "/")
	case "env":
		return reference{kind: kind, text: rest}, !strings.ContainsAny(rest, "= ")
	case "file":
		return reference{kind: kind, text: rest}, strings.HasPrefix(rest, "/")
	}
	return reference{}, false
}

// hcl returns the reference as an expression of certroll.hcl.
func (r reference) hcl() string {
	switch r.kind {
	case "vault":
		return fmt.Sprintf("vault(%s, %s)", quote(r.text), quote(r.field))
	case "env", "file":
		return r.kind + "(" + quote(r.text) + ")"
	}
	return quote(r.text)
}
