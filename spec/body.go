package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"certroll/spec/text"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"
)

func newReader(s *scope, b *hclsyntax.Block, ctx *hcl.EvalContext) *reader {
	return &reader{scope: s, ctx: ctx, src: b.Body, what: b.Type + " block", at: b.DefRange().Ptr(), whole: b.Range().Ptr(), asked: map[string]bool{}, within: map[string]bool{}}
}

func (b *reader) has(name string) bool { return b.src.Attributes[name] != nil }

// null takes an attribute that is null for one that was left out, as Terraform
// does. Where leaving out means to allow everything it is an error.
func (b *reader) null(name string, at hcl.Range) {
	if b.restricts {
		b.fault(&at, "Setting is null", "%s is null, and what is left out of %s limits nothing; write a value, or remove the line.", name, text.Article(b.what))
	}
}

// value evaluates an attribute; null is the same as left out.
func (b *reader) value(name string) setting[cty.Value] {
	b.asked[name] = true
	a := b.src.Attributes[name]
	if a == nil {
		return setting[cty.Value]{}
	}
	v, ok := b.scope.eval(a.Expr, b.ctx, b.whole)
	if ok && v.IsNull() {
		b.null(name, a.Expr.Range())
		return setting[cty.Value]{}
	}
	if !ok {
		return setting[cty.Value]{at: a.Expr.Range().Ptr()}
	}
	return setting[cty.Value]{v, a.Expr.Range().Ptr(), true}
}

// typed reads an attribute as a Go value of a primitive type.
func typed[T any](b *reader, name string, t cty.Type, wanted string) (s setting[T]) {
	v := b.value(name)
	if s.at = v.at; !v.ok {
		return s
	}
	s.v, s.ok = primitive[T](b, v.v, v.at, t, name+" is "+wanted)
	return s
}

func primitive[T any](b *reader, v cty.Value, at *hcl.Range, t cty.Type, rule string) (out T, ok bool) {
	if isReference(v) {
		b.fault(at, "Reference not allowed here", "%s; a reference by vault(), env() or file() may stand only in dns.credentials, issuer.eab and the passwords of keystores, where it is followed at apply time.", rule)
		return out, false
	}
	if ref, is := asBlockRef(v); is {
		b.fault(at, "Wrong type", "%s; %s.%s is a reference to a block.", rule, ref.kind, ref.name)
		return out, false
	}
	converted, err := convert.Convert(v, t)
	if err == nil && !converted.IsNull() {
		err = gocty.FromCtyValue(converted, &out)
	}
	if err != nil || converted.IsNull() {
		b.fault(at, "Wrong type", "%s, not %s.", rule, kindOf(v))
		return out, false
	}
	return out, true
}

func kindOf(v cty.Value) string {
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

func (b *reader) text(name string) setting[string] {
	return typed[string](b, name, cty.String, "a text")
}

func (b *reader) boolean(name string) setting[bool] {
	return typed[bool](b, name, cty.Bool, "true or false")
}

// integer reads a whole number from least to most.
func (b *reader) integer(name string, least, most int) setting[int] {
	rule := fmt.Sprintf("a whole number from %d to %d", least, most)
	s := typed[int](b, name, cty.Number, rule)
	if s.ok && (s.v < least || s.v > most) {
		b.fault(s.at, "Value out of range", "%s is %s, not %d.", name, rule, s.v)
		s.ok = false
	}
	return s
}

// choice reads one of a few texts.
func (b *reader) choice(name string, allowed ...string) setting[string] {
	s := b.text(name)
	if s.ok && !slices.Contains(allowed, s.v) {
		b.fault(s.at, "Unknown value", "%s = %q: use %s.%s", name, s.v, text.OneOf(allowed), didYouMean(s.v, allowed))
		s.ok = false
	}
	return s
}

// duration reads a time span as Go writes it ("90s", "2m") up to most.
func (b *reader) duration(name string, most time.Duration) setting[time.Duration] {
	s := b.text(name)
	if !s.ok {
		return setting[time.Duration]{at: s.at}
	}
	v, err := time.ParseDuration(s.v)
	if err != nil || v <= 0 || v > most {
		b.fault(s.at, "Invalid duration", "%s = %q: write a duration like \"90s\" or \"2m\", more than nothing and at most %s.", name, s.v, spanText(most))
		return setting[time.Duration]{at: s.at}
	}
	return setting[time.Duration]{v, s.at, true}
}

// list evaluates an attribute to its elements, each with its place. One value
// that is no list is a list of one where single is set.
func (b *reader) list(name string, single bool) setting[[]element[cty.Value]] {
	b.asked[name] = true
	a := b.src.Attributes[name]
	if a == nil {
		return setting[[]element[cty.Value]]{}
	}
	s := setting[[]element[cty.Value]]{at: a.Expr.Range().Ptr()}
	if tuple, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok {
		s.ok = true
		for _, e := range tuple.Exprs {
			v, ok := b.scope.eval(e, b.ctx, b.whole)
			s.ok = s.ok && ok
			if ok {
				s.v = append(s.v, element[cty.Value]{v, e.Range().Ptr()})
			}
		}
		return s
	}
	v, ok := b.scope.eval(a.Expr, b.ctx, b.whole)
	if ok && v.IsNull() {
		b.null(name, a.Expr.Range())
		return setting[[]element[cty.Value]]{}
	}
	switch {
	case !ok:
		return s
	case v.Type().IsTupleType() || v.Type().IsListType() || v.Type().IsSetType():
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			s.v = append(s.v, element[cty.Value]{e, s.at})
		}
	case single:
		s.v = []element[cty.Value]{{v, s.at}}
	default:
		b.fault(s.at, "Wrong type", "%s is a list, in square brackets, not %s.", name, kindOf(v))
		return s
	}
	s.ok = true
	return s
}

// texts reads a list of texts. Its ok is false where any of them is bad.
func (b *reader) texts(name string) setting[[]element[string]] {
	l := b.list(name, false)
	s := setting[[]element[string]]{at: l.at, ok: l.ok}
	for _, e := range l.v {
		text, ok := primitive[string](b, e.v, e.at, cty.String, name+" is a list of texts")
		s.ok = s.ok && ok
		if ok {
			s.v = append(s.v, element[string]{text, e.at})
		}
	}
	return s
}

// refs reads references to blocks of one kind.
func (b *reader) refs(name, kind string, single bool) setting[[]element[string]] {
	l := b.list(name, single)
	s := setting[[]element[string]]{at: l.at, ok: l.ok}
	for _, e := range l.v {
		ref, ok := asBlockRef(e.v)
		if !ok || ref.kind != kind {
			wanted := fmt.Sprintf("%s.NAME", kind)
			if e.v.Type() == cty.String && !e.v.IsNull() {
				wanted = fmt.Sprintf("%s.%s, without quotes", kind, e.v.AsString())
			}
			b.fault(e.at, "Wrong type", "%s refers to %s block: write %s.", name, text.Article(kind), wanted)
			s.ok = false
			continue
		}
		s.v = append(s.v, element[string]{ref.name, e.at})
	}
	return s
}

// block is the inner block of that type, nil where there is none; there may be
// one at most.
func (b *reader) block(name string) *reader {
	b.within[name] = true
	var found *hclsyntax.Block
	for _, inner := range b.src.Blocks {
		if inner.Type != name {
			continue
		}
		if found != nil {
			b.fault(inner.DefRange().Ptr(), "Duplicate block", "There is a %s block already, on line %d; put all its settings into one.", name, found.TypeRange.Start.Line)
			continue
		}
		if len(inner.Labels) > 0 {
			b.fault(inner.LabelRanges[0].Ptr(), "Unexpected label", "A %s block has no label.", name)
		}
		found = inner
	}
	if found == nil {
		return nil
	}
	in := newReader(b.scope, found, b.ctx)
	in.whole, in.subject = b.whole, b.subject
	return in
}

// done reports what nobody asked for.
func (b *reader) done() {
	known := slices.Concat(slices.Collect(maps.Keys(b.asked)), slices.Collect(maps.Keys(b.within)))
	slices.Sort(known)
	known = slices.Compact(known)
	for _, name := range slices.Sorted(maps.Keys(b.src.Attributes)) {
		switch {
		case b.within[name] && !b.asked[name]:
			b.fault(b.src.Attributes[name].NameRange.Ptr(), "Wrong type", "%s is a block: %[1]s { ... }, without =.", name)
		case !b.asked[name]:
			b.fault(b.src.Attributes[name].NameRange.Ptr(), "Unknown setting", "%s has no %s.%s", text.UpperFirst(text.Article(b.what)), name, b.suggest(name, known))
		}
	}
	for _, inner := range b.src.Blocks {
		switch {
		case b.asked[inner.Type] && !b.within[inner.Type]:
			b.fault(inner.TypeRange.Ptr(), "Wrong type", "%s is a setting, not a block: %[1]s = ...", inner.Type)
		case !b.within[inner.Type]:
			b.fault(inner.TypeRange.Ptr(), "Unknown block", "%s has no block %s.%s", text.UpperFirst(text.Article(b.what)), inner.Type, b.suggest(inner.Type, known))
		}
	}
}

// missing reports a setting that must be there.
func (b *reader) missing(name, how string) {
	b.fault(b.at, "Missing setting", "%s needs %s.", text.UpperFirst(text.Article(b.what)), name+": "+how)
}

// nullMissing is a setting that must be there and is null. Some of them passed
// for what was stated once, so that it is a new rule.
var nullMissing = NewRule{Name: "setting.null"}

// lacking is missing for a setting that is not there, or null.
func (b *reader) lacking(name, how string) {
	if !b.has(name) {
		b.missing(name, how)
		return
	}
	b.refuseNew(nullMissing, b.at, "Missing setting", "%s needs %s.", text.UpperFirst(text.Article(b.what)), name+": "+how)
}

func (b *reader) fault(at *hcl.Range, summary, format string, args ...any) {
	b.scope.fault(at, b.whole, summary, format, args...)
}

func (b *reader) suggest(name string, known []string) string {
	if meant := suggest(strings.TrimSuffix(b.what, " block"), name, known); meant != "" {
		return meant
	}
	return fmt.Sprintf(" It has %s.", strings.Join(known, ", "))
}

// span reads a duration that may also be one of whole days: "72h" or "3d".
func (b *reader) span(name string, least, most time.Duration) setting[time.Duration] {
	s := b.text(name)
	if !s.ok {
		return setting[time.Duration]{at: s.at}
	}
	v, ok := parseSpan(s.v)
	if !ok || v < least || v > most {
		b.fault(s.at, "Invalid duration", "%s = %q: write a duration like \"36h\" or \"3d\", from %s to %s.", name, text.Short(s.v), spanText(least), spanText(most))
		return setting[time.Duration]{at: s.at}
	}
	return setting[time.Duration]{v, s.at, true}
}

// refuseNew reports that a rule which earlier versions did not have rejects what
// stands at a place. The caller goes on as if it were allowed: where the
// revision was in force, the value is part of the spec, and b.subject is held.
func (b *reader) refuseNew(rule NewRule, at *hcl.Range, summary, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if lines := rule.Allow.Lines(); lines != "" && rule.Allow.Text == "" {
		detail += " To allow it, write into certroll.hcl: " + lines
	}
	diag := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: at, Context: b.whole, Extra: rule}
	if b.scope.inForce {
		diag.Severity = hcl.DiagWarning
		place := ""
		if at != nil {
			place = at.Filename + ":" + strconv.Itoa(at.Start.Line) + ": "
		}
		h := Hold{Rule: rule, Subject: b.subject, Message: place + summary + ": " + detail}
		if !slices.Contains(b.scope.holds[b.subject], h) {
			b.scope.holds[b.subject] = append(b.scope.holds[b.subject], h)
		}
	}
	b.scope.report(diag)
}

// source is the text of the outermost block.
func (b *reader) source() string {
	return string(b.whole.SliceBytes(b.scope.sources[b.whole.Filename]))
}
