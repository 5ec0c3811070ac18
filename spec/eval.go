package spec

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// eval evaluates one expression. Mistakes are reported, with the block they
// stand in; ok is false where the value is of no use, whether its mistake was
// reported here or where an ingredient of it was made.
func (d *decoder) eval(e hclsyntax.Expression, ctx *hcl.EvalContext, block *hcl.Range) (v cty.Value, ok bool) {
	if !d.checkNames(e, ctx, block) {
		return cty.DynamicVal, false
	}
	defer func() {
		switch r := recover(); {
		case r == nil:
		case errors.Is(asError(r), errWork):
			d.outOfWork(e, block)
			v, ok = cty.DynamicVal, false
		default:
			panic(r)
		}
	}()
	v, diags := e.Value(ctx)
	if d.budget.left < 0 { // some functions turn a panic into an error of theirs
		d.outOfWork(e, block)
		return cty.DynamicVal, false
	}
	for _, diag := range diags {
		if diag.Context == nil || block != nil {
			diag.Context = block
		}
	}
	d.report(diags...)
	if diags.HasErrors() || !v.IsWhollyKnown() {
		return cty.DynamicVal, false
	}
	if size(v) > maxValue {
		d.fault(e.Range().Ptr(), block, "Value too large", "The value of this expression is larger than %d bytes and elements.", maxValue)
		return cty.DynamicVal, false
	}
	return v, true
}

func asError(r any) error {
	err, _ := r.(error)
	return err
}

func (d *decoder) outOfWork(e hclsyntax.Expression, block *hcl.Range) {
	if d.exhausted {
		return
	}
	d.exhausted = true
	d.fault(e.Range().Ptr(), block, "Too much to compute",
		"The for expressions of this revision take more than %d steps together. Loop over less, or write the values down.", maxWork)
}

// checkNames looks at every name an expression refers to, so that what HCL
// would call an unsupported attribute is told as what it is.
func (d *decoder) checkNames(e hclsyntax.Expression, ctx *hcl.EvalContext, block *hcl.Range) bool {
	good := true
	for _, t := range e.Variables() {
		if !d.checkName(t, ctx, block) {
			good = false
		}
	}
	return good
}

func (d *decoder) checkName(t hcl.Traversal, ctx *hcl.EvalContext, block *hcl.Range) bool {
	root := t.RootName()
	at := t.SourceRange()
	switch root {
	case "issuer", "dns", "local":
	case "each":
		if lookupRoot(ctx, root) {
			return true
		}
		d.fault(&at, block, "No each here", "each.key and each.value are there only in a certificate block with for_each.")
		return false
	default:
		return d.checkBare(t, ctx, block)
	}
	name, ok := attributeOf(t)
	if !ok {
		d.fault(&at, block, "Incomplete reference", "Say which: %s.NAME, with the name of %s.", root, article(declaredAs(root)))
		return false
	}
	if d.isDeclared(root, name) {
		return true
	}
	if !d.broken { // else it may stand in the file that does not parse
		d.fault(&at, block, "Unknown reference", "There is no %s %q.%s", declaredAs(root), name, d.hint(root, name))
	}
	return false
}

// checkBare tells of the name of a block or local that stands without its
// root. Of what else there is not, HCL says so.
func (d *decoder) checkBare(t hcl.Traversal, ctx *hcl.EvalContext, block *hcl.Range) bool {
	name := t.RootName()
	if lookupRoot(ctx, name) {
		return true
	}
	for _, root := range []string{"issuer", "dns", "local"} {
		if d.isDeclared(root, name) {
			at := t.SourceRange()
			d.fault(&at, block, "Unknown reference", "There is no %s by itself; write %s.%[1]s.", name, root)
			return false
		}
	}
	return true
}

func declaredAs(root string) string {
	if root == "local" {
		return "local"
	}
	return root + " block"
}

// hint says what was perhaps meant, or where such a thing is declared.
func (d *decoder) hint(root, name string) string {
	if near := nearest(name, d.declaredNames(root)); near != "" {
		return fmt.Sprintf(" Did you mean %s.%s?", root, near)
	}
	if root == "local" {
		return " Declare it in a locals block of any file."
	}
	where := " Declare it in any file of the repo, or in certroll.hcl."
	if !d.trust.Known {
		where += " If certroll.hcl declares it, pass that file with -config."
	}
	return where
}

func (d *decoder) isDeclared(root, name string) bool {
	var ok bool
	switch root {
	case "issuer":
		_, ok = d.issuerBlocks[name]
	case "dns":
		_, ok = d.dnsBlocks[name]
	default:
		_, ok = d.localAttrs[name]
	}
	return ok
}

// declaredNames are the names that stand under a root, in order.
func (d *decoder) declaredNames(root string) []string {
	switch root {
	case "issuer":
		return slices.Sorted(maps.Keys(d.issuerBlocks))
	case "dns":
		return slices.Sorted(maps.Keys(d.dnsBlocks))
	}
	return slices.Sorted(maps.Keys(d.localAttrs))
}

func attributeOf(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		return step.Name, true
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String {
			return step.Key.AsString(), true
		}
	}
	return "", false
}

func lookupRoot(ctx *hcl.EvalContext, name string) bool {
	for ; ctx != nil; ctx = ctx.Parent() {
		if _, ok := ctx.Variables[name]; ok {
			return true
		}
	}
	return false
}

// nearest is the known name that differs least from a mistyped one; "" where
// none is near.
func nearest(name string, known []string) string {
	best, distance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if n := levenshtein.Distance(name, k, nil); n < distance {
			best, distance = k, n
		}
	}
	return best
}
