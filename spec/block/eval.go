package block

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/eval"
	"certroll/spec/hint"
	"certroll/spec/text"
)

// Eval evaluates one expression and reports mistakes, with the enclosing block. ok is
// false if the value is unusable, because of a mistake here or in a value that the
// expression refers to.
func (s *Scope) Eval(e hclsyntax.Expression, ctx *hcl.EvalContext, block *hcl.Range) (v cty.Value, ok bool) {
	r := e.Range()
	if s.Over() || !s.Afford(perEval+int64(r.End.Byte-r.Start.Byte)*PerSource, r, block) || !s.checkNames(e, ctx, block) {
		return cty.DynamicVal, false
	}
	v, diags, err := s.Meter.Run(e, ctx)
	if err != nil {
		s.outOfWork(r.Ptr(), block)
		return cty.DynamicVal, false
	}
	for _, diag := range diags {
		if diag.Context == nil || block != nil {
			diag.Context = block
		}
		s.unquoted(diag, e)
	}
	s.Report(diags...)
	if diags.HasErrors() {
		return cty.DynamicVal, false
	}
	size, err := s.Meter.Weigh(v)
	switch {
	case err != nil:
		s.outOfWork(r.Ptr(), block)
		return cty.DynamicVal, false
	case size > eval.MaxValue:
		s.Fault(r.Ptr(), block, "Value too large", "The value of this expression is larger than %d bytes and elements.", eval.MaxValue)
		return cty.DynamicVal, false
	}
	return v, v.IsWhollyKnown()
}

// checkNames checks all names that an expression refers to. HCL would report an
// undeclared one as an unsupported attribute, which does not help.
func (s *Scope) checkNames(e hclsyntax.Expression, ctx *hcl.EvalContext, block *hcl.Range) bool {
	good := true
	for _, t := range e.Variables() {
		if !s.checkName(t, ctx, block) {
			good = false
		}
	}
	return good
}

// checkName checks one reference: its root, and the declared name after it.
func (s *Scope) checkName(t hcl.Traversal, ctx *hcl.EvalContext, block *hcl.Range) bool {
	root := t.RootName()
	at := t.SourceRange()
	switch root {
	case "issuer", "dns", "local":
	case "each":
		if lookupRoot(ctx, root) {
			return true
		}
		s.Fault(&at, block, "No each here", "each.key and each.value are there only in a certificate block with for_each.")
		return false
	default:
		return s.checkBare(t, ctx, block)
	}
	name, ok := AttributeOf(t)
	if !ok {
		s.Fault(&at, block, "Incomplete reference", "Say which: %s.NAME, with the name of %s.", root, text.Article(declaredAs(root)))
		return false
	}
	if s.isDeclared(root, name) {
		return true
	}
	if !s.Broken { // while a file does not parse, it may contain the declaration
		s.Fault(&at, block, "Unknown reference", "There is no %s %q.%s", declaredAs(root), text.Short(name), s.hint(root, name))
	}
	return false
}

// checkBare reports a block or local used without its root, NAME for local.NAME. HCL
// reports other unknown variables.
func (s *Scope) checkBare(t hcl.Traversal, ctx *hcl.EvalContext, block *hcl.Range) bool {
	name := t.RootName()
	if lookupRoot(ctx, name) {
		return true
	}
	for _, root := range []string{"issuer", "dns", "local"} {
		if s.isDeclared(root, name) {
			at := t.SourceRange()
			s.Fault(&at, block, "Unknown reference", "There is no %s by itself; write %s.%[1]s.", text.Short(name), root)
			return false
		}
	}
	if len(name) > eval.MaxTyped { // HCL would search for similar names, at a cost that grows with the length
		at := t.SourceRange()
		s.Fault(&at, block, "Unknown variable", "There is no variable named %q.", text.Short(name))
		return false
	}
	return true
}

// unquoted extends HCL's diagnostic for an unknown variable: the quotes may be missing.
// It widens the marked range to the whole text.
func (s *Scope) unquoted(diag *hcl.Diagnostic, e hclsyntax.Expression) {
	if diag.Summary != "Unknown variable" || diag.Subject == nil {
		return
	}
	for _, t := range e.Variables() {
		at := t.SourceRange()
		if at.Start != diag.Subject.Start || len(t.RootName()) > eval.MaxTyped {
			continue
		}
		written := string(at.SliceBytes(s.Sources[at.Filename]))
		if _, why := spec.ParseDomain(written); len(t) > 1 && why != "" {
			return // neither a name nor a domain: an attribute of an undeclared object
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

// hint suggests a similar name, or the place for a declaration.
func (s *Scope) hint(root, name string) string {
	if near := s.nearest(name, root); near != "" {
		return fmt.Sprintf(" Did you mean %s.%s?", root, near)
	}
	if root == "local" {
		return " Declare it in a locals block of any file."
	}
	where := " Declare it in any file of the repo, or in certroll.hcl."
	if !s.known {
		where += " If certroll.hcl declares it, pass that file with --config."
	}
	return where
}

// nearest returns the most similar declared name. Each search reads all names, so the
// budget allows only a limited number of them.
func (s *Scope) nearest(name, root string) string {
	names := s.declaredNames(root)
	if !s.Budget.AffordHint(int64(len(names)+1) * int64(min(len(name), eval.MaxTyped)+1)) {
		return ""
	}
	return hint.Nearest(name, names)
}

func (s *Scope) isDeclared(root, name string) bool {
	var ok bool
	switch root {
	case "issuer":
		_, ok = s.IssuerBlocks[name]
	case "dns":
		_, ok = s.DNSBlocks[name]
	default:
		_, ok = s.LocalAttrs[name]
	}
	return ok
}

// declaredNames returns the names under a root, sorted; none if there are too many for a
// suggestion.
func (s *Scope) declaredNames(root string) []string {
	switch {
	case root == "issuer" && len(s.IssuerBlocks) <= hint.MaxCandidates:
		return slices.Sorted(maps.Keys(s.IssuerBlocks))
	case root == "dns" && len(s.DNSBlocks) <= hint.MaxCandidates:
		return slices.Sorted(maps.Keys(s.DNSBlocks))
	case root == "local" && len(s.LocalAttrs) <= hint.MaxCandidates:
		return slices.Sorted(maps.Keys(s.LocalAttrs))
	}
	return nil
}

// AttributeOf returns the name after the root of a traversal: NAME of local.NAME.
func AttributeOf(t hcl.Traversal) (string, bool) {
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

// blockType wraps a reference to an issuer or dns block.
var blockType = cty.Capsule("block", reflect.TypeFor[blockRef]())

// blockRef is the value of issuer.NAME and dns.NAME.
type blockRef struct{ kind, name string }

func asBlockRef(v cty.Value) (blockRef, bool) {
	if v == cty.NilVal || !v.Type().Equals(blockType) || v.IsNull() || !v.IsKnown() {
		return blockRef{}, false
	}
	return *v.EncapsulatedValue().(*blockRef), true
}

// RefObject returns the root object of references, such as issuer, with one attribute for
// each block.
func RefObject(kind string, table map[string]Declared) cty.Value {
	attrs := make(map[string]cty.Value, len(table))
	for name := range table {
		attrs[name] = cty.CapsuleVal(blockType, &blockRef{kind, name})
	}
	return cty.ObjectVal(attrs)
}
