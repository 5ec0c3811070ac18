package decode

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/hint"
	"certroll/spec/text"
)

// partial reads the settings that certificate and defaults blocks share. It calls target
// with the vault block, to read the settings that only one of the two has.
func (b *body) partial(target func(vault *body)) partial {
	p := partial{issuers: b.issuers(), dns: b.accounts(), labels: b.labels()}
	if s := b.Choice("on_remove", string(spec.Keep), string(spec.Delete), string(spec.Revoke)); s.OK {
		p.onRemove = block.Setting[spec.OnRemove]{Value: spec.OnRemove(s.Value), At: s.At, OK: true}
	}
	if key := b.block("key"); key != nil {
		p.shape = key.shape()
		if s := key.Choice("rotation", string(spec.RotateAlways), string(spec.RotateNever)); s.OK {
			p.rotation = block.Setting[spec.Rotation]{Value: spec.Rotation(s.Value), At: s.At, OK: true}
		}
		p.maxAge = key.Span("max_age", spec.Day, 10*365*spec.Day)
		p.nextKey = key.Boolean("next")
		key.Finish()
	}
	if renewal := b.block("renewal"); renewal != nil {
		p.pause, p.threshold = renewal.pause(), renewal.threshold()
		p.fallback = renewal.Span("fallback_after", time.Hour, 30*spec.Day)
		renewal.Finish()
	}
	if vault := b.block("vault"); vault != nil {
		if p.mount = vault.Text("mount"); p.mount.OK {
			p.mount.Value = strings.TrimSuffix(p.mount.Value, "/") // Vault's own CLI prints mounts with a trailing slash
			vault.checkPath(p.mount.Value, p.mount.At, "mount")
		}
		p.fields = vault.fields()
		if s := vault.Choice("previous", string(spec.Keep), string(spec.Delete)); s.OK {
			p.previous = block.Setting[spec.OnRemove]{Value: spec.OnRemove(s.Value), At: s.At, OK: true}
		}
		target(vault)
		vault.Finish()
	}
	return p
}

// maxIssuers is the number of issuers of one certificate.
const maxIssuers = 5

// issuers reads the issuer and its fallbacks, in order.
func (b *body) issuers() block.Setting[[]block.Element[string]] {
	l := b.Refs("issuer", "issuer", true)
	b.unique(l, "issuer", "each issuer is gone to once")
	switch {
	case l.OK && len(l.Value) == 0:
		b.Fault(l.At, "Empty setting", "Name at least one issuer: issuer = issuer.NAME.")
		l.OK = false
	case len(l.Value) > maxIssuers:
		b.Fault(l.Value[maxIssuers].At, "Too many issuers", "A certificate has at most %d issuers.", maxIssuers)
		l.Value = l.Value[:maxIssuers]
	}
	return l
}

func (b *body) unique(l block.Setting[[]block.Element[string]], kind, why string) {
	seen := map[string]bool{}
	for _, e := range l.Value {
		if seen[e.Value] {
			b.Fault(e.At, "Duplicate name", "%s.%s stands in the list twice; %s.", kind, e.Value, why)
		}
		seen[e.Value] = true
	}
}

func (b *body) accounts() block.Setting[[]block.Element[string]] {
	l := b.Refs("dns", "dns", true)
	b.unique(l, "dns", "each account is tried once, in order")
	if l.OK && len(l.Value) == 0 {
		b.Fault(l.At, "Empty setting", "Name at least one DNS account: dns = dns.NAME.")
		l.OK = false
	}
	return l
}

// shape reads algorithm, curve and size. A curve implies ECDSA, a size implies RSA.
func (b *body) shape() (s block.Setting[spec.Key]) {
	algorithm := b.Choice("algorithm", string(spec.ECDSA), string(spec.RSA))
	curve := b.Choice("curve", "P-256", "P-384", "P-521")
	size := b.Integer("size", 2048, 4096)
	if size.OK && !slices.Contains([]int{2048, 3072, 4096}, size.Value) {
		b.Fault(size.At, "Unknown value", "size = %d: use 2048, 3072 or 4096.", size.Value)
	}
	s.Value = spec.Key{Algorithm: spec.Algorithm(algorithm.Value), Curve: curve.Value, Size: size.Value}
	s.At = algorithm.Or(curve).Or(block.Setting[string]{At: size.At}).At
	if s.OK = s.At != nil; !s.OK {
		return s
	}
	switch {
	case curve.OK && size.OK:
		b.Fault(size.At, "Contradicting settings", "An ECDSA key has a curve, an RSA key has a size; leave one of them out.")
	case curve.OK && s.Value.Algorithm == spec.RSA:
		b.Fault(curve.At, "Contradicting settings", "An RSA key has no curve; leave it out, or set size to 2048, 3072 or 4096.")
	case size.OK && s.Value.Algorithm == spec.ECDSA:
		b.Fault(size.At, "Contradicting settings", "An ECDSA key has no size; leave it out, or set curve to \"P-256\", \"P-384\" or \"P-521\".")
	case curve.OK:
		s.Value.Algorithm = spec.ECDSA
	case size.OK:
		s.Value.Algorithm = spec.RSA
	}
	return s
}

// The bounds of labels.
const (
	maxLabels    = 64
	maxLabelText = 256 // bytes of a key or value
)

// labels reads the labels, a map of texts.
func (b *body) labels() (s block.Setting[map[string]string]) {
	v := b.Eval("labels")
	if s.At = v.At; !v.OK {
		return s
	}
	if !v.Value.Type().IsObjectType() && !v.Value.Type().IsMapType() {
		b.Fault(v.At, "Wrong type", "labels is a map of texts: labels = { team = \"payments\" }.")
		return s
	}
	s.Value, s.OK = map[string]string{}, true
	for it := v.Value.ElementIterator(); it.Next(); {
		key, value := it.Element()
		text, ok := block.As[string](b.Reader, value, v.At, cty.String, "labels is a map of texts")
		if name := key.AsString(); ok {
			b.checkLabel(name, text, v.At)
			s.Value[name] = text
		}
	}
	if len(s.Value) > maxLabels {
		b.Fault(v.At, "Value out of range", "A certificate has at most %d labels.", maxLabels)
	}
	return s
}

func (b *body) checkLabel(name, value string, at *hcl.Range) {
	for _, s := range []string{name, value} {
		if len(s) > maxLabelText || strings.ContainsFunc(s, unicode.IsControl) {
			b.Fault(at, "Invalid label", "Keys and values of labels have at most %d bytes and no line breaks or control characters; %q has.", maxLabelText, text.Short(s))
		}
	}
}

// fields reads the fields of the secret: a preset's name, or a map of expressions over
// cert.
func (b *body) fields() (s block.Setting[spec.Fields]) {
	a := b.Syntax.Attributes["fields"]
	b.Asked["fields"] = true
	if a == nil {
		return s
	}
	s.At = a.Expr.Range().Ptr()
	object, ok := a.Expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		preset := b.Text("fields")
		s.At = preset.At // nil if it is null
		if s.Value, s.OK = spec.PresetFields(preset.Value); preset.OK && !s.OK {
			b.Fault(preset.At, "Unknown value", "fields = %q: use %s, or a map of expressions over cert.%s", preset.Value, text.OneOf(spec.PresetNames()), hint.DidYouMean(preset.Value, spec.PresetNames()))
		}
		return s
	}
	s.Value, s.OK = b.customFields(object)
	return s
}

func (b *body) checkPath(p string, at *hcl.Range, what string) bool {
	why := spec.BadSecretPath(p)
	if why != "" {
		b.Fault(at, "Invalid Vault path", "%s = %q: %s.", what, text.Short(p), why)
	}
	return why == ""
}

// usualPrefix precedes the names of certificates without a path and a prefix.
const usualPrefix = "tls/"

// pathPrefix reads the prefix for certificates without a path. The prefix must end with a
// slash, so that the certificate's name is a segment of its own.
func (b *body) pathPrefix() block.Setting[string] {
	s := b.Text("prefix")
	if !s.OK {
		return s
	}
	rest, ends := strings.CutSuffix(s.Value, "/")
	why := spec.BadSecretPath(rest)
	if why == "" && !ends {
		why = fmt.Sprintf("a prefix ends with a slash, as in %q; the name of the certificate follows it", text.Short(s.Value)+"/")
	}
	if s.OK = why == ""; !s.OK {
		b.Fault(s.At, "Invalid Vault path", "prefix = %q: %s.", text.Short(s.Value), why)
	}
	return s
}

// defaultPath returns the Vault path of a certificate without vault.path: the prefix and
// the certificate's oldest name, so that renaming does not move the secret.
func defaultPath(p partial, cert *spec.Certificate) string {
	name := cert.Name
	if n := len(cert.MovedFrom); n > 0 {
		name = cert.MovedFrom[n-1]
	}
	if p.prefix.OK {
		return p.prefix.Value + name
	}
	return usualPrefix + name
}

// decodeDefaults reads the defaults blocks, at most one per directory.
func (d *decoder) decodeDefaults() {
	at := map[string]hcl.Range{}
	for _, f := range d.files {
		dir := path.Dir(f.path)
		for _, block := range f.body.Blocks {
			if block.Type != "defaults" || f.trusted {
				continue
			}
			d.noLabels(block)
			if first, dup := at[dir]; dup {
				d.Fault(block.DefRange().Ptr(), block.Range().Ptr(), "Duplicate block", "There is a defaults block for this directory already, at %s:%d; put all its settings into one.", first.Filename, first.Start.Line)
				continue
			}
			at[dir] = block.DefRange()
			d.defaults[dir] = d.defaultsOf(block, dir)
		}
	}
}

// defaultsOf decodes a defaults block. It rejects settings that make sense for one
// certificate only, with advice.
func (d *decoder) defaultsOf(syntax *hclsyntax.Block, dir string) *partial {
	b := d.body(syntax, d.ctx)
	b.Subject = "defaults." + dir
	for _, name := range []string{"domains", "for_each", "rotate", "probe"} {
		if a := b.Syntax.Attributes[name]; a != nil {
			b.Asked[name] = true
			b.Fault(a.NameRange.Ptr(), "Not a default", "%s says something of one certificate; write it there.", name)
		}
	}
	for _, inner := range b.Syntax.Blocks {
		if inner.Type == "rotate" {
			b.Within["rotate"] = true
			b.Fault(inner.TypeRange.Ptr(), "Not a default", "rotate says something of one certificate; write it there.")
		}
	}
	var prefix block.Setting[string]
	p := b.partial(func(vault *body) {
		if a := vault.Syntax.Attributes["path"]; a != nil {
			vault.Asked["path"] = true
			vault.Fault(a.NameRange.Ptr(), "Not a default", "The path says something of one certificate; write it there. To put certificates that have none below another path than tls/, set prefix, as in prefix = \"tls/shop/\".")
		}
		prefix = vault.pathPrefix()
	})
	p.prefix, d.defaultBlocks[dir] = prefix, b
	b.Finish()
	return &p
}

// defaultsFor returns the defaults for a file: of its directory, then of the directories
// above.
func (d *decoder) defaultsFor(file string) partial {
	var p partial
	for _, dir := range ancestors(file) {
		if above := d.defaults[dir]; above != nil {
			p = p.under(*above)
		}
	}
	return p
}
