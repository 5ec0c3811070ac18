package decode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec"
	"certroll/spec/text"
)

// delicate are the blocks that say where credentials are sent.
var delicate = []string{"issuer", "dns"}

// strengths are in bits of security: NIST SP 800-57 part 1, table 2, and for
// RSA with 4096 bits FIPS 140-2 implementation guidance 7.5.
var strengths = map[string]int{
	"rsa-2048": 112, "rsa-3072": 128, "rsa-4096": 152, "ecdsa-P-256": 128, "ecdsa-P-384": 192, "ecdsa-P-521": 256,
}

// shapes are the shapes of keys in the order of the documentation.
var shapes = []string{"ecdsa-P-256", "ecdsa-P-384", "ecdsa-P-521", "rsa-2048", "rsa-3072", "rsa-4096"}

// decodePolicies reads the policy blocks of the reconciler's own files.
func (d *decoder) decodePolicies() {
	seen := map[string]*hclsyntax.Block{}
	for _, f := range d.files {
		for _, block := range f.body.Blocks {
			if !f.trusted || block.Type != "policy" {
				continue
			}
			name, ok := d.label(block)
			if first := seen[name]; ok && first != nil {
				d.Fault(block.DefRange().Ptr(), block.Range().Ptr(), "Duplicate name", "The policy %q is there already, on line %d; rename one.", name, first.TypeRange.Start.Line)
			}
			seen[name] = block
			d.policies = append(d.policies, d.policy(block, name))
		}
	}
}

func (d *decoder) policy(block *hclsyntax.Block, name string) *policy {
	b := d.body(block, d.trustedCtx)
	b.Restricts = true
	p := &policy{name: name, at: block.DefRange(), wildcards: true, revoke: true, reuseKeys: true, pauses: true, probes: true}
	if !b.Has("files") {
		b.Missing("files", "globs of the paths that it is for, as in [\"teams/shop/**\"]")
	}
	p.files = b.checked("files", "Invalid glob", spec.BadGlob)
	p.blocks = b.checked("blocks", "Unknown value", badBlock)
	p.limited = b.Has("names")
	for _, e := range b.Texts("names").Value {
		pattern, why := spec.ParseNamePattern(e.Value)
		if why != "" {
			b.Fault(e.At, "Invalid name", "%q: %s.", text.Short(e.Value), why)
		}
		p.patterns = append(p.patterns, pattern)
	}
	p.issuers, p.dns = b.checked("issuers", "", nil), b.checked("dns", "", nil)
	p.vault = b.checked("vault", "Invalid Vault path", func(s string) string { return spec.BadSecretPath(strings.TrimSuffix(s, "/")) })
	p.passwords = b.checked("passwords", "Invalid reference", badPassword)
	p.minKey = b.Choice("min_key", shapes...).Value
	p.most = b.Integer("max_certificates", 1, spec.MaxCertificates).Value
	for name, allowed := range map[string]*bool{"wildcards": &p.wildcards, "revoke": &p.revoke, "key_reuse": &p.reuseKeys, "pause": &p.pauses, "probe": &p.probes} {
		if s := b.Boolean(name); s.OK {
			*allowed = s.Value
		}
	}
	b.Finish()
	return p
}

func badPassword(s string) string {
	if name, is := strings.CutPrefix(s, "env:"); is {
		if !variableName.MatchString(name) {
			return "after env: stands the beginning of a variable's name"
		}
		return ""
	}
	return spec.BadSecretPath(strings.TrimSuffix(s, "/"))
}

func badBlock(name string) string {
	if slices.Contains(blockTypes, name) {
		return ""
	}
	return "a config repo has " + text.OneOf(blockTypes)
}

// checked reads a list of texts; nil where it was left out. An empty list
// allows nothing.
func (b *body) checked(name, summary string, bad func(string) string) []string {
	s := b.Texts(name)
	if s.At == nil {
		return nil
	}
	list := make([]string, 0, len(s.Value))
	for _, e := range s.Value {
		if bad != nil {
			if why := bad(e.Value); why != "" {
				b.Fault(e.At, summary, "%q: %s.", text.Short(e.Value), why)
			}
		}
		list = append(list, e.Value)
	}
	return list
}

// policiesFor are those that a file of the repo is under. All of them must
// allow what it asks for.
func (d *decoder) policiesFor(file string) []*policy {
	if list, known := d.underPolicies[file]; known {
		return list
	}
	var list []*policy
	for _, p := range d.policies {
		if slices.ContainsFunc(p.files, func(glob string) bool { return spec.MatchGlob(glob, file) }) {
			list = append(list, p)
		}
	}
	d.underPolicies[file] = list
	return list
}

// checkFiles holds the files and the types of their blocks against the
// policies. Where there is none, there is nothing to hold them against.
func (d *decoder) checkFiles() {
	if len(d.policies) == 0 {
		return
	}
	var lawless []parsed
	files := 0
	for _, f := range d.files {
		if f.trusted {
			continue
		}
		policies := d.policiesFor(f.path)
		if !f.rest {
			files++
		}
		if len(policies) == 0 {
			if !f.rest {
				lawless = append(lawless, f)
			}
			continue
		}
		for _, block := range f.body.Blocks {
			if !d.checkDelicate(f, block, policies) {
				continue
			}
			for _, p := range policies {
				d.checkBlock(f, block, p)
			}
		}
	}
	d.reportLawless(lawless, files)
}

// reportLawless reports the files that no policy is for; where that is all of several
// it is one mistake.
func (d *decoder) reportLawless(list []parsed, all int) {
	if len(list) == all && all > 1 {
		d.lawless(list[0], fmt.Sprintf(" None is for the other %s either: is this directory the root of the config repo?", text.Counted(all-1, "file")))
		return
	}
	for _, f := range list {
		d.lawless(f, "")
	}
}

// lawless reports a file that no policy is for.
func (d *decoder) lawless(f parsed, besides string) {
	at, whole := &hcl.Range{Filename: f.path, Start: hcl.InitialPos, End: hcl.InitialPos}, (*hcl.Range)(nil)
	if blocks := f.body.Blocks; len(blocks) > 0 {
		at, whole = blocks[0].DefRange().Ptr(), blocks[0].Range().Ptr()
	}
	d.Fault(at, whole, "File under no policy", "%s has policies, and none of them is for %s; nothing may be asked for there. Move it to where a policy is for it, or have one written: policy \"NAME\" { files = [\"%[2]s\"] }.%s", d.policies[0].at.Filename, f.path, besides)
}

// checkDelicate refuses an issuer or dns block that no policy of its file
// names: a changed endpoint would be handed the credential.
func (d *decoder) checkDelicate(f parsed, block *hclsyntax.Block, policies []*policy) bool {
	names := func(p *policy) bool { return p.blocks != nil }
	if !slices.Contains(delicate, block.Type) || slices.ContainsFunc(policies, names) {
		return true // checkBlock looks at what they name
	}
	list := make([]string, len(policies))
	for i, p := range policies {
		list[i] = p.String()
	}
	d.Fault(block.DefRange().Ptr(), block.Range().Ptr(), forbidden, "%s block says where credentials are sent, and stands only where a policy names it. For %s there is %s; have blocks = [..., %q] written there, or move it to where they are allowed.",
		text.UpperFirst(text.Article(block.Type)), f.path, strings.Join(list, " and "), block.Type)
	return false
}

// checkBlock holds a block's type against a policy, and the names of those
// that say where credentials are sent.
func (d *decoder) checkBlock(f parsed, block *hclsyntax.Block, p *policy) {
	at, whole := block.DefRange().Ptr(), block.Range().Ptr()
	if p.blocks != nil && slices.Contains(blockTypes, block.Type) && !p.allowsBlock(block.Type) {
		d.Fault(at, whole, forbidden, "%s allows no %s block in %s; it allows %s.", text.UpperFirst(p.String()), block.Type, f.path, allowedOnly(p.blocks))
		return
	}
	named := map[string][]string{"issuer": p.issuers, "dns": p.dns}[block.Type]
	if named != nil && len(block.Labels) == 1 && !slices.Contains(named, block.Labels[0]) {
		d.Fault(at, whole, forbidden, "%s does not allow %s.%s; it allows %s.", text.UpperFirst(p.String()), block.Type, block.Labels[0], allowedOnly(named))
	}
}

// allowsBlock tells whether a type of blocks is allowed by a list of them. A moved
// block may stand where certificates may: it is a part of renaming them.
func (p *policy) allowsBlock(kind string) bool {
	return slices.Contains(p.blocks, kind) || kind == "moved" && slices.Contains(p.blocks, "certificate")
}

// forbidden is the summary of what a policy does not allow.
const forbidden = "Forbidden by policy"

func allowedOnly(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.ReplaceAll(text.OneOf(list), " or ", " and ")
}
