package decode

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/hint"
	"certroll/spec/text"
)

// declare collects the blocks and locals that expressions can refer to. It runs before
// any block is decoded, so that the order of blocks and files does not matter.
func (d *decoder) declare() {
	for _, f := range d.files {
		if !f.trusted {
			for _, a := range sortedAttributes(f.body) {
				d.Fault(a.NameRange.Ptr(), nil, "Setting outside a block", "Settings stand in blocks; put %s into a locals block, and write local.%[1]s where it is used.", a.Name)
			}
		}
		for _, b := range f.body.Blocks {
			d.declareBlock(f, b)
		}
	}
	d.decodeLocals()
	d.ctx = &hcl.EvalContext{Functions: d.functions, Variables: map[string]cty.Value{
		"issuer": block.RefObject("issuer", d.IssuerBlocks), "dns": block.RefObject("dns", d.DNSBlocks), "local": cty.ObjectVal(d.locals),
	}}
}

// declareBlock registers one block by its type. In trusted files it ignores other block
// types: they are settings of certroll.hcl, which another package decodes.
func (d *decoder) declareBlock(f parsed, b *hclsyntax.Block) {
	switch {
	case b.Type == "issuer":
		d.declareNamed(d.IssuerBlocks, f, b)
	case b.Type == "dns" && f.trusted && len(b.Labels) == 0:
		d.decodeCNAMEZones(b)
	case b.Type == "dns":
		d.declareNamed(d.DNSBlocks, f, b)
	case f.trusted: // the reconciler's own settings
	case b.Type == "locals":
		d.noLabels(b)
		d.declareLocals(b)
	case b.Type == "certificate", b.Type == "defaults", b.Type == "moved":
	default:
		d.Fault(b.TypeRange.Ptr(), nil, "Unknown block", "There is no block %s here: a config repo has %s.%s", b.Type, strings.Join(spec.BlockTypes(), ", "), hint.Suggest("config repo", b.Type, spec.BlockTypes()))
	}
}

// declareNamed registers an issuer or dns block. Its name must be an HCL identifier,
// because expressions refer to it as issuer.NAME.
func (d *decoder) declareNamed(table map[string]block.Declared, f parsed, b *hclsyntax.Block) {
	name, ok := d.label(b)
	if !ok {
		return
	}
	if !hclsyntax.ValidIdentifier(name) {
		d.Fault(b.LabelRanges[0].Ptr(), b.Range().Ptr(), "Invalid name", "%q cannot be referred to as %s.%[1]s: use letters, digits, _ and -, beginning with a letter.", name, b.Type)
		return
	}
	if other, dup := table[name]; dup {
		d.duplicate(b, other.Block)
		return
	}
	table[name] = block.Declared{Block: b, Trusted: f.trusted}
}

func (d *decoder) duplicate(b, first *hclsyntax.Block) {
	d.Fault(b.DefRange().Ptr(), b.Range().Ptr(), "Duplicate name", "%s Names are unique in the whole repo; rename %s.",
		d.twice(b.Type, b.Labels[0], first.DefRange(), b.DefRange()), d.theOne(b.DefRange()))
}

// label returns the single label of a block, its name.
func (d *decoder) label(b *hclsyntax.Block) (string, bool) {
	switch {
	case len(b.Labels) == 1 && b.Labels[0] != "":
		return b.Labels[0], true
	case len(b.Labels) > 1:
		d.Fault(b.LabelRanges[1].Ptr(), b.Range().Ptr(), "Unexpected label", "%s block has one label, its name.", text.UpperFirst(text.Article(b.Type)))
	default:
		d.Fault(b.DefRange().Ptr(), b.Range().Ptr(), "Missing name", "%s block has a name: %s \"NAME\" { ... }.", text.UpperFirst(text.Article(b.Type)), b.Type)
	}
	return "", false
}

func (d *decoder) noLabels(b *hclsyntax.Block) {
	if len(b.Labels) > 0 {
		d.Fault(b.LabelRanges[0].Ptr(), b.Range().Ptr(), "Unexpected label", "A %s block has no label.", b.Type)
	}
}

// twice returns a message that two blocks have the same name. If Trust.Before shows which
// one is new, the message points at the old one.
func (d *decoder) twice(kind, name string, first, second hcl.Range) string {
	if d.added[placeOf(second)] && !d.added[placeOf(first)] {
		return fmt.Sprintf("The %s %q is there already, at %s:%d.", kind, text.Short(name), first.Filename, first.Start.Line)
	}
	return fmt.Sprintf("The %s %q is declared at %s:%d and at %s:%d.", kind, text.Short(name), first.Filename, first.Start.Line, second.Filename, second.Start.Line)
}

// theOne names the block to rename: the new one, if it is known.
func (d *decoder) theOne(second hcl.Range) string {
	if d.added[placeOf(second)] {
		return "this one"
	}
	return "one of them"
}
