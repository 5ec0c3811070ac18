package decode

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec/policy"
	"certroll/spec/text"
)

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
			d.policies = append(d.policies, policy.Read(d.body(block, d.trustedCtx).Reader, name, block.DefRange()))
		}
	}
}

// policiesFor returns the policies that cover a file of the repo. All of them must allow
// what the file requests.
func (d *decoder) policiesFor(file string) []*policy.Policy {
	if list, known := d.underPolicies[file]; known {
		return list
	}
	var list []*policy.Policy
	for _, p := range d.policies {
		if p.Covers(file) {
			list = append(list, p)
		}
	}
	d.underPolicies[file] = list
	return list
}

// checkFiles checks the files and their block types against the policies. Without any
// policy, everything is allowed.
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
			if !policy.CheckDelicate(d.Scope, f.path, block, policies) {
				continue
			}
			for _, p := range policies {
				p.CheckBlock(d.Scope, f.path, block)
			}
		}
	}
	d.reportLawless(lawless, files)
}

// reportLawless reports files under no policy. If no policy covers any of several files,
// it reports one mistake: the directory is probably wrong.
func (d *decoder) reportLawless(list []parsed, all int) {
	if len(list) == all && all > 1 {
		d.lawless(list[0], fmt.Sprintf(" None is for the other %s either: is this directory the root of the config repo?", text.Counted(all-1, "file")))
		return
	}
	for _, f := range list {
		d.lawless(f, "")
	}
}

// lawless reports a file under no policy.
func (d *decoder) lawless(f parsed, besides string) {
	at, whole := &hcl.Range{Filename: f.path, Start: hcl.InitialPos, End: hcl.InitialPos}, (*hcl.Range)(nil)
	if blocks := f.body.Blocks; len(blocks) > 0 {
		at, whole = blocks[0].DefRange().Ptr(), blocks[0].Range().Ptr()
	}
	d.Fault(at, whole, "File under no policy", "%s has policies, and none of them is for %s; nothing may be asked for there. Move it to where a policy is for it, or have one written: policy \"NAME\" { files = [\"%[2]s\"] }.%s", d.policies[0].At.Filename, f.path, besides)
}
