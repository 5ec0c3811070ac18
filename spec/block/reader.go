package block

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"

	"certroll/spec"
	"certroll/spec/hint"
	"certroll/spec/text"
)

// NewReader returns a reader for a block. ctx is the context of its expressions.
func NewReader(s *Scope, b *hclsyntax.Block, ctx *hcl.EvalContext) *Reader {
	return &Reader{scope: s, Context: ctx, Syntax: b.Body, what: b.Type + " block", At: b.DefRange().Ptr(), Whole: b.Range().Ptr(), Asked: map[string]bool{}, Within: map[string]bool{}, misspelt: map[string]bool{}}
}

// Has reports whether the block contains an attribute.
func (b *Reader) Has(name string) bool { return b.Syntax.Attributes[name] != nil }

// null treats a null attribute as left out, like Terraform does. In a block that
// restricts, leaving out a setting allows everything, so null is an error there.
func (b *Reader) null(name string, at hcl.Range) {
	if b.Restricts {
		b.Fault(&at, "Setting is null", "%s is null, and what is left out of %s limits nothing; write a value, or remove the line.", name, text.Article(b.what))
	}
}

// Eval evaluates an attribute; null is treated as left out.
func (b *Reader) Eval(name string) Setting[cty.Value] {
	b.Asked[name] = true
	a := b.Syntax.Attributes[name]
	if a == nil {
		return Setting[cty.Value]{}
	}
	v, ok := b.scope.Eval(a.Expr, b.Context, b.Whole)
	if ok && v.IsNull() {
		b.null(name, a.Expr.Range())
		return Setting[cty.Value]{}
	}
	if !ok {
		return Setting[cty.Value]{At: a.Expr.Range().Ptr()}
	}
	return Setting[cty.Value]{v, a.Expr.Range().Ptr(), true}
}

// typed reads an attribute as a Go value of a primitive type.
func typed[T any](b *Reader, name string, t cty.Type, wanted string) (s Setting[T]) {
	v := b.Eval(name)
	if s.At = v.At; !v.OK {
		return s
	}
	s.Value, s.OK = As[T](b, v.Value, v.At, t, name+" is "+wanted)
	return s
}

// As converts a value to a Go value of a primitive type. rule describes the expected
// value, for the message if the value is another.
func As[T any](b *Reader, v cty.Value, at *hcl.Range, t cty.Type, rule string) (out T, ok bool) {
	if spec.IsReference(v) {
		b.Fault(at, "Reference not allowed here", "%s; a reference by vault(), env() or file() is allowed only in dns.credentials, issuer.eab and passwords of keystores, where certroll resolves it at apply time.", rule)
		return out, false
	}
	if ref, is := asBlockRef(v); is {
		b.Fault(at, "Wrong type", "%s; %s.%s is a reference to a block.", rule, ref.kind, ref.name)
		return out, false
	}
	converted, err := convert.Convert(v, t)
	if err == nil && !converted.IsNull() {
		err = gocty.FromCtyValue(converted, &out)
	}
	if err != nil || converted.IsNull() {
		b.Fault(at, "Wrong type", "%s, not %s.", rule, KindOf(v))
		return out, false
	}
	return out, true
}

// KindOf describes a value by its text, or else by its type, for a message.
func KindOf(v cty.Value) string {
	if v.IsNull() {
		return "null"
	}
	switch v.Type() {
	case cty.String:
		return fmt.Sprintf("%q", text.Short(v.AsString()))
	case cty.Number:
		return v.AsBigFloat().Text('g', 10)
	}
	return text.Article(v.Type().FriendlyName())
}

// Text reads a text.
func (b *Reader) Text(name string) Setting[string] {
	return typed[string](b, name, cty.String, "a text")
}

// Boolean reads true or false.
func (b *Reader) Boolean(name string) Setting[bool] {
	return typed[bool](b, name, cty.Bool, "true or false")
}

// Integer reads a whole number from least to most.
func (b *Reader) Integer(name string, least, most int) Setting[int] {
	rule := fmt.Sprintf("a whole number from %d to %d", least, most)
	s := typed[int](b, name, cty.Number, rule)
	if s.OK && (s.Value < least || s.Value > most) {
		b.Fault(s.At, "Value out of range", "%s is %s, not %d.", name, rule, s.Value)
		s.OK = false
	}
	return s
}

// Choice reads one of a few texts.
func (b *Reader) Choice(name string, allowed ...string) Setting[string] {
	s := b.Text(name)
	if s.OK && !slices.Contains(allowed, s.Value) {
		b.Fault(s.At, "Unknown value", "%s = %q: use %s.%s", name, s.Value, text.OneOf(allowed), hint.DidYouMean(s.Value, allowed))
		s.OK = false
	}
	return s
}

// Duration reads a duration in Go's syntax ("90s", "2m"), greater than zero and at most
// most.
func (b *Reader) Duration(name string, most time.Duration) Setting[time.Duration] {
	s := b.Text(name)
	if !s.OK {
		return Setting[time.Duration]{At: s.At}
	}
	v, err := time.ParseDuration(s.Value)
	if err != nil || v <= 0 || v > most {
		b.Fault(s.At, "Invalid duration", "%s = %q: write a duration like \"90s\" or \"2m\", more than nothing and at most %s.", name, s.Value, spec.SpanText(most))
		return Setting[time.Duration]{At: s.At}
	}
	return Setting[time.Duration]{v, s.At, true}
}

// list evaluates an attribute to its elements, each with its place. If single is set, a
// value that is no list counts as a list of one element.
func (b *Reader) list(name string, single bool) Setting[[]Element[cty.Value]] {
	b.Asked[name] = true
	a := b.Syntax.Attributes[name]
	if a == nil {
		return Setting[[]Element[cty.Value]]{}
	}
	s := Setting[[]Element[cty.Value]]{At: a.Expr.Range().Ptr()}
	if tuple, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok {
		s.OK = true
		for _, e := range tuple.Exprs {
			v, ok := b.scope.Eval(e, b.Context, b.Whole)
			s.OK = s.OK && ok
			if ok {
				s.Value = append(s.Value, Element[cty.Value]{v, e.Range().Ptr()})
			}
		}
		return s
	}
	v, ok := b.scope.Eval(a.Expr, b.Context, b.Whole)
	if ok && v.IsNull() {
		b.null(name, a.Expr.Range())
		return Setting[[]Element[cty.Value]]{}
	}
	switch {
	case !ok:
		return s
	case v.Type().IsTupleType() || v.Type().IsListType() || v.Type().IsSetType():
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			s.Value = append(s.Value, Element[cty.Value]{e, s.At})
		}
	case single:
		s.Value = []Element[cty.Value]{{v, s.At}}
	default:
		b.Fault(s.At, "Wrong type", "%s is a list, in square brackets, not %s.", name, KindOf(v))
		return s
	}
	s.OK = true
	return s
}

// Texts reads a list of texts. OK is false if any element is invalid.
func (b *Reader) Texts(name string) Setting[[]Element[string]] {
	l := b.list(name, false)
	s := Setting[[]Element[string]]{At: l.At, OK: l.OK}
	for _, e := range l.Value {
		text, ok := As[string](b, e.Value, e.At, cty.String, name+" is a list of texts")
		s.OK = s.OK && ok
		if ok {
			s.Value = append(s.Value, Element[string]{text, e.At})
		}
	}
	return s
}

// Refs reads references to blocks of one kind, as in issuer.NAME.
func (b *Reader) Refs(name, kind string, single bool) Setting[[]Element[string]] {
	l := b.list(name, single)
	s := Setting[[]Element[string]]{At: l.At, OK: l.OK}
	for _, e := range l.Value {
		ref, ok := asBlockRef(e.Value)
		if !ok || ref.kind != kind {
			wanted := fmt.Sprintf("%s.NAME", kind)
			if e.Value.Type() == cty.String && !e.Value.IsNull() {
				wanted = fmt.Sprintf("%s.%s, without quotes", kind, e.Value.AsString())
			}
			b.Fault(e.At, "Wrong type", "%s refers to %s block: write %s.", name, text.Article(kind), wanted)
			s.OK = false
			continue
		}
		s.Value = append(s.Value, Element[string]{ref.name, e.At})
	}
	return s
}

// Block returns a reader for the inner block of a type, or nil. It reports a second one.
func (b *Reader) Block(name string) *Reader {
	b.Within[name] = true
	var found *hclsyntax.Block
	for _, inner := range b.Syntax.Blocks {
		if inner.Type != name {
			continue
		}
		if found != nil {
			b.Fault(inner.DefRange().Ptr(), "Duplicate block", "There is a %s block already, on line %d; put all its settings into one.", name, found.TypeRange.Start.Line)
			continue
		}
		if len(inner.Labels) > 0 {
			b.Fault(inner.LabelRanges[0].Ptr(), "Unexpected label", "A %s block has no label.", name)
		}
		found = inner
	}
	if found == nil {
		return nil
	}
	in := NewReader(b.scope, found, b.Context)
	in.Whole, in.Subject = b.Whole, b.Subject
	return in
}

// Finish reports settings and blocks that the decoder did not read: they are unknown. It
// then reports the required settings that are left out, and that none of these means.
func (b *Reader) Finish() {
	b.unknown()
	b.finished = true
	for _, a := range b.absent {
		b.Missing(a.name, a.how)
	}
}

func (b *Reader) unknown() {
	known := slices.Concat(slices.Collect(maps.Keys(b.Asked)), slices.Collect(maps.Keys(b.Within)))
	slices.Sort(known)
	known = slices.Compact(known)
	for _, name := range slices.Sorted(maps.Keys(b.Syntax.Attributes)) {
		switch {
		case b.Within[name] && !b.Asked[name]:
			b.misspelt[name] = true
			b.Fault(b.Syntax.Attributes[name].NameRange.Ptr(), "Wrong type", "%s is a block: %[1]s { ... }, without =.", name)
		case !b.Asked[name]:
			b.Fault(b.Syntax.Attributes[name].NameRange.Ptr(), "Unknown setting", "%s has no %s.%s", text.UpperFirst(text.Article(b.what)), name, b.suggest(name, known))
		}
	}
	for _, inner := range b.Syntax.Blocks {
		switch {
		case b.Asked[inner.Type] && !b.Within[inner.Type]:
			b.misspelt[inner.Type] = true
			b.Fault(inner.TypeRange.Ptr(), "Wrong type", "%s is a setting, not a block: %[1]s = ...", inner.Type)
		case !b.Within[inner.Type]:
			b.Fault(inner.TypeRange.Ptr(), "Unknown block", "%s has no block %s.%s", text.UpperFirst(text.Article(b.what)), inner.Type, b.suggest(inner.Type, known))
		}
	}
}

// Missing reports a required setting that is left out, unless the block misspells it: that
// is one mistake. Only Finish shows whether it does, and so reports what is missing by then.
func (b *Reader) Missing(name, how string) {
	switch {
	case !b.finished:
		b.absent = append(b.absent, absence{name, how})
		return
	case b.misspelt[name]:
		return
	}
	b.Fault(b.At, "Missing setting", "%s needs %s.", text.UpperFirst(text.Article(b.what)), name+": "+how)
}

// Misspells reports whether the finished block has a mistake in place of a setting.
func (b *Reader) Misspells(name string) bool { return b.misspelt[name] }

// nullMissing rejects a required setting that is null. Earlier versions accepted some of
// these, so it is a NewRule.
var nullMissing = spec.NewRule{Name: "setting.null"}

// Lacking reports a required setting that is left out or null.
func (b *Reader) Lacking(name, how string) {
	if !b.Has(name) {
		b.Missing(name, how)
		return
	}
	b.RefuseNew(nullMissing, b.At, "Missing setting", "%s needs %s.", text.UpperFirst(text.Article(b.what)), name+": "+how)
}

// Fault reports a mistake in the block.
func (b *Reader) Fault(at *hcl.Range, summary, format string, args ...any) {
	b.scope.Fault(at, b.Whole, summary, format, args...)
}

func (b *Reader) suggest(name string, known []string) string {
	kind := strings.TrimSuffix(b.what, " block")
	if meant := hint.Suggest(kind, name, known); meant != "" {
		b.misspelt[hint.Meant(kind, name, known)] = true
		return meant
	}
	return fmt.Sprintf(" It has %s.", strings.Join(known, ", "))
}

// Span reads a duration in Go's syntax or in whole days: "72h" or "3d".
func (b *Reader) Span(name string, least, most time.Duration) Setting[time.Duration] {
	s := b.Text(name)
	if !s.OK {
		return Setting[time.Duration]{At: s.At}
	}
	v, ok := spec.ParseSpan(s.Value)
	if !ok || v < least || v > most {
		b.Fault(s.At, "Invalid duration", "%s = %q: write a duration like \"36h\" or \"3d\", from %s to %s.", name, text.Short(s.Value), spec.SpanText(least), spec.SpanText(most))
		return Setting[time.Duration]{At: s.At}
	}
	return Setting[time.Duration]{v, s.At, true}
}

// RefuseNew reports that a rule of a newer certroll rejects a setting. The caller must
// continue as if the setting were allowed: in a revision that was in force, the value
// becomes part of the spec, and RefuseNew records a hold of b.Subject.
func (b *Reader) RefuseNew(rule spec.NewRule, at *hcl.Range, summary, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if lines := rule.Allow.Lines(); lines != "" && rule.Allow.Text == "" {
		detail += " To allow it, write into certroll.hcl: " + lines
	}
	diag := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: at, Context: b.Whole, Extra: rule}
	if b.scope.inForce {
		diag.Severity = hcl.DiagWarning
		place := ""
		if at != nil {
			place = at.Filename + ":" + strconv.Itoa(at.Start.Line) + ": "
		}
		h := spec.Hold{Rule: rule, Subject: b.Subject, Message: place + summary + ": " + detail}
		if !slices.Contains(b.scope.Holds[b.Subject], h) {
			b.scope.Holds[b.Subject] = append(b.scope.Holds[b.Subject], h)
		}
	}
	b.scope.Report(diag)
}

// Source returns the source text of the outermost block.
func (b *Reader) Source() string {
	return string(b.Whole.SliceBytes(b.scope.Sources[b.Whole.Filename]))
}
