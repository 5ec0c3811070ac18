package decode

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/text"
)

// toValue converts the result of an expression to a Value, and checks that a reference of
// the repo reads only what the repo may read.
func (b *body) toValue(name string, v cty.Value, at *hcl.Range, trusted bool) (spec.Value, bool) {
	if !spec.IsReference(v) {
		text, ok := block.As[string](b.Reader, v, at, cty.String, name+" is a text or a reference")
		return spec.Value{Source: spec.Literal, Text: text, Range: *at}, ok
	}
	value := *v.EncapsulatedValue().(*spec.Value)
	value.Range, value.Trusted = *at, trusted
	return value, trusted || b.mayRefer(value)
}

// mayRefer checks a reference of the config repo.
func (b *body) mayRefer(v spec.Value) bool {
	if v.Source == spec.FromVault {
		b.d.references = append(b.d.references, repoReference{v, b})
	}
	if !b.d.mayReach(v, b.Whole) {
		return false
	}
	if v.Source == spec.FromVault && b.d.trust.Known && !slices.ContainsFunc(b.d.trust.Vault, func(prefix string) bool { return spec.Under(v.Path, prefix) }) {
		b.RefuseNew(spec.NewRule{Name: "trust.vault", Allow: spec.Allowance{Block: "trust", Setting: "vault", Value: strconv.Quote(v.Path), List: true}}, &v.Range, "Reference out of reach",
			"vault(%q): a prefix that ends with a slash allows what lies below it, and not the secret of that name.", v.Path)
	}
	return true
}

// checkReferences rejects vault() references of the config repo to the secret of a
// certificate, whatever trust.vault allows: certroll sends the value to the server that
// the block names, and the value could be a private key.
func (d *decoder) checkReferences() {
	targets := make(map[string]string, len(d.spec.Certificates))
	for _, c := range d.spec.Certificates {
		targets[c.Vault.Mount+"/"+c.Vault.Path] = c.Name
	}
	for _, r := range d.references {
		if name, is := targets[r.Path]; is {
			r.in.RefuseNew(spec.NewRule{Name: "vault.target"}, &r.Range, "Reference out of reach",
				"vault(%q) leads to the secret of certificate %s, with its private key. The config repo reaches no certificate's secret; keep the credential in a secret of its own.", r.Path, name)
		}
	}
}

// mayReach checks a reference of the repo against the reconciler's settings: a pull
// request must not send a secret of the reconciler to a server of its choice.
func (d *decoder) mayReach(v spec.Value, block *hcl.Range) bool {
	if !d.trust.Known {
		return true
	}
	switch v.Source {
	case spec.FromEnv:
		return d.mayReachEnv(v, block)
	case spec.FromVault:
		return d.mayReachVault(v, block)
	case spec.FromFile:
		d.Fault(&v.Range, block, "Reference out of reach", "file(%q): the config repo never reads a file of the reconciler's machine.", v.Path)
		return false
	}
	return true
}

// ownVariables are never readable, whatever prefixes trust.env allows.
var ownVariables = []string{"VAULT_", "CERTROLL_GIT_", "SSH_AUTH_SOCK"}

// mayReachEnv checks env() against the reconciler's own variables first, and then against
// trust.env: a prefix in trust.env must never expose the reconciler's credentials.
func (d *decoder) mayReachEnv(v spec.Value, block *hcl.Range) bool {
	for _, own := range slices.Concat(ownVariables, d.trust.Own) {
		if v.Name == own || strings.HasSuffix(own, "_") && strings.HasPrefix(v.Name, own) {
			d.Fault(&v.Range, block, "Reference out of reach", "env(%q) is one of the reconciler's own variables, which the config repo never reaches.", v.Name)
			return false
		}
	}
	for _, prefix := range d.trust.Env {
		if prefix != "" && strings.HasPrefix(v.Name, prefix) {
			return true
		}
	}
	if len(d.trust.Env) == 0 {
		d.Fault(&v.Range, block, "Reference out of reach", "env(%q): the config repo reaches no variable, since trust.env in certroll.hcl allows none. Have it name a prefix, or take vault().", v.Name)
		return false
	}
	d.Fault(&v.Range, block, "Reference out of reach", "env(%q): the config repo reaches only variables that begin with %s. Name it so, or have trust.env in certroll.hcl widened.", v.Name, text.OneOf(d.trust.Env))
	return false
}

// mayReachVault checks vault() against the reconciler's own state first, and then against
// trust.vault.
func (d *decoder) mayReachVault(v spec.Value, block *hcl.Range) bool {
	if spec.Below(v.Path, path.Join(d.trust.Mount, d.trust.State)) {
		d.Fault(&v.Range, block, "Reference out of reach", "vault(%q): what lies there is the reconciler's own state, which the config repo never reaches.", v.Path)
		return false
	}
	for _, prefix := range d.trust.Vault {
		if spec.Below(v.Path, prefix) {
			return true
		}
	}
	if len(d.trust.Vault) == 0 {
		d.Fault(&v.Range, block, "Reference out of reach", "vault(%q): the config repo reaches no secret, since trust.vault in certroll.hcl allows none. Have it name a path, as in \"secret/dns/\".", v.Path)
		return false
	}
	d.Fault(&v.Range, block, "Reference out of reach", "vault(%q): the config repo reaches only secrets below %s. Put it there, or have trust.vault in certroll.hcl widened.", v.Path, text.OneOf(d.trust.Vault))
	return false
}
