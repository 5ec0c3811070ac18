package spec

import (
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// toValue makes a Value of what an expression gave, and checks that a
// reference stays within what the repo may reach.
func (b *body) toValue(name string, v cty.Value, at *hcl.Range, trusted bool) (Value, bool) {
	if !isReference(v) {
		text, ok := primitive[string](b, v, at, cty.String, name+" is a text or a reference")
		return Value{Source: Literal, Text: text, Range: *at}, ok
	}
	value := *v.EncapsulatedValue().(*Value)
	value.Range = *at
	return value, trusted || b.d.mayReach(value, b.whole)
}

// mayReach checks a reference of the repo against the reconciler's settings: a
// pull request must not be able to send a secret of ours to a server of its
// choice.
func (d *decoder) mayReach(v Value, block *hcl.Range) bool {
	if !d.trust.Known {
		return true
	}
	switch v.Source {
	case FromEnv:
		return d.mayReachEnv(v, block)
	case FromVault:
		return d.mayReachVault(v, block)
	case FromFile:
		d.fault(&v.Range, block, "Reference out of reach", "file(%q): the config repo never reads a file of the reconciler's machine.", v.Path)
		return false
	}
	return true
}

// ownVariables are never reached, whatever the prefixes say.
var ownVariables = []string{"VAULT_", "CERTROLL_GIT_", "SSH_AUTH_SOCK"}

func (d *decoder) mayReachEnv(v Value, block *hcl.Range) bool {
	for _, own := range slices.Concat(ownVariables, d.trust.Own) {
		if v.Name == own || strings.HasSuffix(own, "_") && strings.HasPrefix(v.Name, own) {
			d.fault(&v.Range, block, "Reference out of reach", "env(%q) is one of the reconciler's own variables, which the config repo never reaches.", v.Name)
			return false
		}
	}
	for _, prefix := range d.trust.Env {
		if prefix != "" && strings.HasPrefix(v.Name, prefix) {
			return true
		}
	}
	if len(d.trust.Env) == 0 {
		d.fault(&v.Range, block, "Reference out of reach", "env(%q): the config repo reaches no variable, since trust.env in certroll.hcl allows none. Have it name a prefix, or take vault().", v.Name)
		return false
	}
	d.fault(&v.Range, block, "Reference out of reach", "env(%q): the config repo reaches only variables that begin with %s. Name it so, or have trust.env in certroll.hcl widened.", v.Name, oneOf(d.trust.Env))
	return false
}

func (d *decoder) mayReachVault(v Value, block *hcl.Range) bool {
	if below(v.Path, path.Join(d.trust.Mount, d.trust.State)) {
		d.fault(&v.Range, block, "Reference out of reach", "vault(%q): what lies there is the reconciler's own state, which the config repo never reaches.", v.Path)
		return false
	}
	for _, prefix := range d.trust.Vault {
		if below(v.Path, prefix) {
			return true
		}
	}
	if len(d.trust.Vault) == 0 {
		d.fault(&v.Range, block, "Reference out of reach", "vault(%q): the config repo reaches no secret, since trust.vault in certroll.hcl allows none. Have it name a path, as in \"secret/dns/\".", v.Path)
		return false
	}
	d.fault(&v.Range, block, "Reference out of reach", "vault(%q): the config repo reaches only secrets below %s. Put it there, or have trust.vault in certroll.hcl widened.", v.Path, oneOf(d.trust.Vault))
	return false
}

// below tells whether a path is a prefix or lies in it, by whole segments.
func below(p, prefix string) bool {
	prefix = strings.Trim(prefix, "/")
	return prefix != "" && (p == prefix || strings.HasPrefix(p, prefix+"/"))
}

// badSecretPath says what is wrong with a path in Vault; "" where nothing is.
func badSecretPath(p string) string {
	switch {
	case p == "":
		return "the path is empty"
	case len(p) > 512:
		return "the path is longer than 512 bytes"
	case strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/"):
		return "the path begins or ends with a slash"
	}
	for _, segment := range strings.Split(p, "/") {
		switch segment {
		case "":
			return "the path has an empty segment (//)"
		case ".", "..":
			return "the path has the segment " + segment + ", which would lead elsewhere"
		}
		if segment != strings.TrimSpace(segment) {
			return "a segment of the path begins or ends with a space"
		}
	}
	for _, r := range p {
		if !unicode.IsPrint(r) || strings.ContainsRune(`%?#*+\`, r) {
			return "the path holds a character that Vault's paths and policies take for something else"
		}
	}
	return ""
}
