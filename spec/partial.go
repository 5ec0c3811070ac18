package spec

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"certroll/spec/text"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// partial reads the settings a certificate block and a defaults block share.
// target is handed the vault block, for what only a certificate has.
func (b *body) partial(target func(vault *body)) partial {
	p := partial{issuers: b.issuers(), dns: b.accounts(), labels: b.labels()}
	if s := b.choice("on_remove", string(Keep), string(Delete), string(Revoke)); s.ok {
		p.onRemove = setting[OnRemove]{OnRemove(s.v), s.at, true}
	}
	if key := b.block("key"); key != nil {
		p.shape = key.shape()
		if s := key.choice("rotation", string(RotateAlways), string(RotateNever)); s.ok {
			p.rotation = setting[Rotation]{Rotation(s.v), s.at, true}
		}
		p.maxAge = key.span("max_age", day, 10*365*day)
		p.nextKey = key.boolean("next")
		key.done()
	}
	if renewal := b.block("renewal"); renewal != nil {
		p.pause, p.threshold = renewal.pause(), renewal.threshold()
		p.fallback = renewal.span("fallback_after", time.Hour, 30*day)
		renewal.done()
	}
	if vault := b.block("vault"); vault != nil {
		if p.mount = vault.text("mount"); p.mount.ok {
			p.mount.v = strings.TrimSuffix(p.mount.v, "/") // as Vault's own CLI writes a mount
			vault.checkPath(p.mount.v, p.mount.at, "mount")
		}
		p.fields = vault.fields()
		if s := vault.choice("previous", string(Keep), string(Delete)); s.ok {
			p.previous = setting[OnRemove]{OnRemove(s.v), s.at, true}
		}
		target(vault)
		vault.done()
	}
	return p
}

// maxIssuers is how many issuers a certificate may have.
const maxIssuers = 5

func (b *body) issuers() setting[[]element[string]] {
	l := b.refs("issuer", "issuer", true)
	b.unique(l, "issuer", "each issuer is gone to once")
	switch {
	case l.ok && len(l.v) == 0:
		b.fault(l.at, "Empty setting", "Name at least one issuer: issuer = issuer.NAME.")
		l.ok = false
	case len(l.v) > maxIssuers:
		b.fault(l.v[maxIssuers].at, "Too many issuers", "A certificate has at most %d issuers.", maxIssuers)
		l.v = l.v[:maxIssuers]
	}
	return l
}

func (b *body) unique(l setting[[]element[string]], kind, why string) {
	seen := map[string]bool{}
	for _, e := range l.v {
		if seen[e.v] {
			b.fault(e.at, "Duplicate name", "%s.%s stands in the list twice; %s.", kind, e.v, why)
		}
		seen[e.v] = true
	}
}

func (b *body) accounts() setting[[]element[string]] {
	l := b.refs("dns", "dns", true)
	b.unique(l, "dns", "each account is tried once, in order")
	if l.ok && len(l.v) == 0 {
		b.fault(l.at, "Empty setting", "Name at least one DNS account: dns = dns.NAME.")
		l.ok = false
	}
	return l
}

// shape reads algorithm, curve and size.
func (b *body) shape() (s setting[Key]) {
	algorithm := b.choice("algorithm", string(ECDSA), string(RSA))
	curve := b.choice("curve", "P-256", "P-384", "P-521")
	size := b.integer("size", 2048, 4096)
	if size.ok && !slices.Contains([]int{2048, 3072, 4096}, size.v) {
		b.fault(size.at, "Unknown value", "size = %d: use 2048, 3072 or 4096.", size.v)
	}
	s.v = Key{Algorithm: Algorithm(algorithm.v), Curve: curve.v, Size: size.v}
	s.at = algorithm.or(curve).or(setting[string]{at: size.at}).at
	if s.ok = s.at != nil; !s.ok {
		return s
	}
	switch {
	case curve.ok && size.ok:
		b.fault(size.at, "Contradicting settings", "An ECDSA key has a curve, an RSA key has a size; leave one of them out.")
	case curve.ok && s.v.Algorithm == RSA:
		b.fault(curve.at, "Contradicting settings", "An RSA key has no curve; leave it out, or set size to 2048, 3072 or 4096.")
	case size.ok && s.v.Algorithm == ECDSA:
		b.fault(size.at, "Contradicting settings", "An ECDSA key has no size; leave it out, or set curve to \"P-256\", \"P-384\" or \"P-521\".")
	case curve.ok:
		s.v.Algorithm = ECDSA
	case size.ok:
		s.v.Algorithm = RSA
	}
	return s
}

// The bounds of labels.
const (
	maxLabels    = 64
	maxLabelText = 256 // bytes of a key or value
)

func (b *body) labels() (s setting[map[string]string]) {
	v := b.value("labels")
	if s.at = v.at; !v.ok {
		return s
	}
	if !v.v.Type().IsObjectType() && !v.v.Type().IsMapType() {
		b.fault(v.at, "Wrong type", "labels is a map of texts: labels = { team = \"payments\" }.")
		return s
	}
	s.v, s.ok = map[string]string{}, true
	for it := v.v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		text, ok := primitive[string](b.reader, value, v.at, cty.String, "labels is a map of texts")
		if name := key.AsString(); ok {
			b.checkLabel(name, text, v.at)
			s.v[name] = text
		}
	}
	if len(s.v) > maxLabels {
		b.fault(v.at, "Value out of range", "A certificate has at most %d labels.", maxLabels)
	}
	return s
}

func (b *body) checkLabel(name, value string, at *hcl.Range) {
	for _, s := range []string{name, value} {
		if len(s) > maxLabelText || strings.ContainsFunc(s, unicode.IsControl) {
			b.fault(at, "Invalid label", "Keys and values of labels have at most %d bytes and no line breaks or control characters; %q has.", maxLabelText, text.Short(s))
		}
	}
}

// fields reads what the secret holds: a preset's name, or a map of expressions
// over cert.
func (b *body) fields() (s setting[Fields]) {
	a := b.src.Attributes["fields"]
	b.asked["fields"] = true
	if a == nil {
		return s
	}
	s.at = a.Expr.Range().Ptr()
	object, ok := a.Expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		preset := b.text("fields")
		s.at = preset.at // nil where it is null
		if s.v, s.ok = presetFields(preset.v); preset.ok && !s.ok {
			b.fault(preset.at, "Unknown value", "fields = %q: use %s, or a map of expressions over cert.%s", preset.v, text.OneOf(presetNames), didYouMean(preset.v, presetNames))
		}
		return s
	}
	s.v, s.ok = b.customFields(object)
	return s
}

func (b *body) checkPath(p string, at *hcl.Range, what string) bool {
	why := badSecretPath(p)
	if why != "" {
		b.fault(at, "Invalid Vault path", "%s = %q: %s.", what, text.Short(p), why)
	}
	return why == ""
}

// usualPrefix is where the secrets of certificates are that have neither a path nor a
// prefix.
const usualPrefix = "tls/"

// pathPrefix reads what the paths of certificates without one begin with. It ends with
// a slash, so that names of certificates are segments of their own.
func (b *body) pathPrefix() setting[string] {
	s := b.text("prefix")
	if !s.ok {
		return s
	}
	rest, ends := strings.CutSuffix(s.v, "/")
	why := badSecretPath(rest)
	if why == "" && !ends {
		why = fmt.Sprintf("a prefix ends with a slash, as in %q; the name of the certificate follows it", text.Short(s.v)+"/")
	}
	if s.ok = why == ""; !s.ok {
		b.fault(s.at, "Invalid Vault path", "prefix = %q: %s.", text.Short(s.v), why)
	}
	return s
}

// defaultPath is where a certificate is written that has no vault.path: below the
// prefix, by the first of the names that it has had.
func defaultPath(p partial, cert *Certificate) string {
	name := cert.Name
	if n := len(cert.MovedFrom); n > 0 {
		name = cert.MovedFrom[n-1]
	}
	if p.prefix.ok {
		return p.prefix.v + name
	}
	return usualPrefix + name
}

// decodeDefaults reads the defaults blocks, one a directory.
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
				d.fault(block.DefRange().Ptr(), block.Range().Ptr(), "Duplicate block", "There is a defaults block for this directory already, at %s:%d; put all its settings into one.", first.Filename, first.Start.Line)
				continue
			}
			at[dir] = block.DefRange()
			d.defaults[dir] = d.defaultsOf(block, dir)
		}
	}
}

func (d *decoder) defaultsOf(block *hclsyntax.Block, dir string) *partial {
	b := d.body(block, d.ctx)
	b.subject = "defaults." + dir
	for _, name := range []string{"domains", "for_each", "rotate", "probe"} {
		if a := b.src.Attributes[name]; a != nil {
			b.asked[name] = true
			b.fault(a.NameRange.Ptr(), "Not a default", "%s says something of one certificate; write it there.", name)
		}
	}
	for _, inner := range b.src.Blocks {
		if inner.Type == "rotate" {
			b.within["rotate"] = true
			b.fault(inner.TypeRange.Ptr(), "Not a default", "rotate says something of one certificate; write it there.")
		}
	}
	var prefix setting[string]
	p := b.partial(func(vault *body) {
		if a := vault.src.Attributes["path"]; a != nil {
			vault.asked["path"] = true
			vault.fault(a.NameRange.Ptr(), "Not a default", "The path says something of one certificate; write it there. To put certificates that have none below another path than tls/, set prefix, as in prefix = \"tls/shop/\".")
		}
		prefix = vault.pathPrefix()
	})
	p.prefix = prefix
	b.done()
	return &p
}

// defaultsFor are the defaults of a file: of its directory and those above.
func (d *decoder) defaultsFor(file string) partial {
	var p partial
	for _, dir := range ancestors(file) {
		if above := d.defaults[dir]; above != nil {
			p = p.under(*above)
		}
	}
	return p
}
