package spec

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec/text"
)

// eval evaluates one expression. Mistakes are reported, with the block they
// stand in; ok is false where the value is of no use, whether its mistake was
// reported here or where an ingredient of it was made.
func (d *decoder) eval(e hclsyntax.Expression, ctx *hcl.EvalContext, block *hcl.Range) (v cty.Value, ok bool) {
	r := e.Range()
	if d.over() || !d.afford(perEval+int64(r.End.Byte-r.Start.Byte)*perSource, r, block) || !d.checkNames(e, ctx, block) {
		return cty.DynamicVal, false
	}
	v, diags, err := d.meter.run(e, ctx)
	if err != nil {
		d.outOfWork(r.Ptr(), block)
		return cty.DynamicVal, false
	}
	for _, diag := range diags {
		if diag.Context == nil || block != nil {
			diag.Context = block
		}
		d.unquoted(diag, e)
	}
	d.report(diags...)
	if diags.HasErrors() {
		return cty.DynamicVal, false
	}
	size, err := d.meter.size(v)
	switch {
	case err != nil:
		d.outOfWork(r.Ptr(), block)
		return cty.DynamicVal, false
	case size > maxValue:
		d.fault(r.Ptr(), block, "Value too large", "The value of this expression is larger than %d bytes and elements.", maxValue)
		return cty.DynamicVal, false
	}
	return v, v.IsWhollyKnown()
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
		d.fault(&at, block, "Incomplete reference", "Say which: %s.NAME, with the name of %s.", root, text.Article(declaredAs(root)))
		return false
	}
	if d.isDeclared(root, name) {
		return true
	}
	if !d.broken { // else it may stand in the file that does not parse
		d.fault(&at, block, "Unknown reference", "There is no %s %q.%s", declaredAs(root), text.Short(name), d.hint(root, name))
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
			d.fault(&at, block, "Unknown reference", "There is no %s by itself; write %s.%[1]s.", text.Short(name), root)
			return false
		}
	}
	if len(name) > maxTyped { // HCL would look for what was meant
		at := t.SourceRange()
		d.fault(&at, block, "Unknown variable", "There is no variable named %q.", text.Short(name))
		return false
	}
	return true
}

// unquoted adds to HCL's word on an unknown name that the text may lack its quotes,
// and shows all of the text.
func (d *decoder) unquoted(diag *hcl.Diagnostic, e hclsyntax.Expression) {
	if diag.Summary != "Unknown variable" || diag.Subject == nil {
		return
	}
	for _, t := range e.Variables() {
		at := t.SourceRange()
		if at.Start != diag.Subject.Start || len(t.RootName()) > maxTyped {
			continue
		}
		written := string(at.SliceBytes(d.sources[at.Filename]))
		if _, why := parseDomain(written); len(t) > 1 && why != "" {
			return // neither a name nor a domain: an attribute of what there is not
		}
		diag.Subject = &at
		question := " Did you mean %q, in quotes?"
		if strings.Contains(diag.Detail, "Did you mean") {
			question = " Or did you mean the text %q, in quotes?"
		}
		diag.Detail += fmt.Sprintf(question, text.Short(written))
		return
	}
}

func declaredAs(root string) string {
	if root == "local" {
		return "local"
	}
	return root + " block"
}

// hint says what was perhaps meant, or where such a thing is declared.
func (d *decoder) hint(root, name string) string {
	if near := d.nearest(name, root); near != "" {
		return fmt.Sprintf(" Did you mean %s.%s?", root, near)
	}
	if root == "local" {
		return " Declare it in a locals block of any file."
	}
	where := " Declare it in any file of the repo, or in certroll.hcl."
	if !d.trust.Known {
		where += " If certroll.hcl declares it, pass that file with --config."
	}
	return where
}

// nearest looks for the declared name that was meant, as long as there were not
// many mistakes: each look goes through all names.
func (d *decoder) nearest(name, root string) string {
	names := d.declaredNames(root)
	if !d.budget.affordHint(int64(len(names)+1) * int64(min(len(name), maxTyped)+1)) {
		return ""
	}
	return nearest(name, names)
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

// declaredNames are the names that stand under a root, in order; none where
// there are too many to choose from.
func (d *decoder) declaredNames(root string) []string {
	switch {
	case root == "issuer" && len(d.issuerBlocks) <= maxCandidates:
		return slices.Sorted(maps.Keys(d.issuerBlocks))
	case root == "dns" && len(d.dnsBlocks) <= maxCandidates:
		return slices.Sorted(maps.Keys(d.dnsBlocks))
	case root == "local" && len(d.localAttrs) <= maxCandidates:
		return slices.Sorted(maps.Keys(d.localAttrs))
	}
	return nil
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

func (d *decoder) contextOf(decl declared) *hcl.EvalContext {
	if decl.trusted {
		return d.trustedCtx
	}
	return d.ctx
}

// firstEnv is a prefix for examples.
func (d *decoder) firstEnv() string {
	return cmp.Or(strings.Join(d.trust.Env[:min(1, len(d.trust.Env))], ""), "CERTROLL_DNS_")
}

// sourceOf is the text of an expression, as its file has it.
func (d *decoder) sourceOf(e hcl.Expression) []byte {
	r := e.Range()
	return r.SliceBytes(d.sources[r.Filename])
}

// ancestors are the directories of a file, nearest first, up to the root.
func ancestors(file string) []string {
	var dirs []string
	for dir := path.Dir(file); ; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == "." || dir == "/" {
			return dirs
		}
	}
}

func sortedAttributes(b *hclsyntax.Body) []*hclsyntax.Attribute {
	list := make([]*hclsyntax.Attribute, 0, len(b.Attributes))
	for _, a := range b.Attributes {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *hclsyntax.Attribute) int { return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte) })
	return list
}
