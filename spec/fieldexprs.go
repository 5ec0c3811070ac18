package spec

import (
	"errors"
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

const maxFields = 64

var fieldName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// customFields reads a map of expressions, each of which must give a text.
func (b *body) customFields(object *hclsyntax.ObjectConsExpr) (Fields, bool) {
	exprs := map[string]hclsyntax.Expression{}
	good := true
	for _, item := range object.Items {
		name, ok := b.fieldName(item.KeyExpr, exprs)
		if good = good && ok; ok {
			exprs[name] = item.ValueExpr
		}
	}
	at := object.Range().Ptr()
	if n := len(exprs); n == 0 || n > maxFields {
		if good {
			b.fault(at, "Value out of range", "A secret has 1 to %d fields; there are %d.", maxFields, n)
		}
		return Fields{}, false
	}
	c := newCustomFields(exprs, b.ctx, b.d.budget)
	b.checkKeys(c)
	made, ok := b.trySample(c)
	if !ok || !b.checkMade(c, made) || !b.tryReal(c) {
		return Fields{}, false
	}
	for _, v := range c.Passwords() {
		good = b.mayRefer(v) && good
	}
	if b.affordDigest(c) {
		c.Seal(made, b.d.sourceOf)
	}
	return c.Fields(), good
}

// checkKeys holds the expressions against what may be done with the key.
func (b *body) checkKeys(c *customFields) {
	for _, name := range c.Names() {
		for _, f := range checkKeyUse(c.Expr(name)) {
			c.Hold()
			b.refuseNew(NewRule{Name: "fields.private_key"}, &f.at, "Private key computed on",
				"The field %s: %s. The private key, and a keystore of it, may be joined into texts (templates without directives, join, format with %%s, chomp, trimspace, indent), encoded whole (base64encode, jsonencode) and put into pkcs12() and jks(), and nothing else: an expression that decides by the key would tell parts of it.", name, f.why)
		}
	}
}

// tryReal evaluates the expressions on a pair as CAs issue them: what works for
// the constants of the sample alone is no use to a certificate.
func (b *body) tryReal(c *customFields) bool {
	if c.Held() {
		return true
	}
	err := c.TryReal(&b.d.realLeft)
	e := &evaluationError{}
	switch {
	case err == nil:
	case errors.As(err, &e):
		c.Hold()
		b.refuseNew(NewRule{Name: "fields.real"}, e.at.Ptr(), "Expression fails for a certificate", "The field %s works for a sample, and not for a pair as a CA issues it: %s.", e.field, e.err)
	default:
		b.fault(c.Expr(c.Names()[0]).Range().Ptr(), "No sample", "Making a sample of a certificate failed: %s.", err)
		return false
	}
	return true
}

// affordDigest takes the steps of reading the expressions once more.
func (b *body) affordDigest(c *customFields) bool {
	for _, name := range c.Names() {
		if r := c.Expr(name).Range(); !b.d.afford(int64(r.End.Byte-r.Start.Byte)*perSource, r, b.whole) {
			return false
		}
	}
	return true
}

func (b *body) fieldName(key hclsyntax.Expression, seen map[string]hclsyntax.Expression) (string, bool) {
	v, ok := b.d.eval(key, b.ctx, b.whole)
	if !ok {
		return "", false
	}
	at := key.Range().Ptr()
	if v.IsNull() || v.Type() != cty.String || !fieldName.MatchString(v.AsString()) {
		b.fault(at, "Invalid name", "%s: a field's name is made of letters, digits, dots, _ and -, and has at most 128 characters.", kindOf(v))
		return "", false
	}
	if seen[v.AsString()] != nil {
		b.fault(at, "Duplicate name", "The field %s is there twice.", v.AsString())
		return "", false
	}
	return v.AsString(), true
}

// trySample evaluates the expressions on the sample.
func (b *body) trySample(c *customFields) (made map[string]string, good bool) {
	field := ""
	ctx := c.SampleContext(&field, b.d.firstEnv())
	made, good = map[string]string{}, true
	size := 0
	for _, field = range c.Names() {
		e := c.Expr(field)
		v, ok := b.d.eval(e, ctx, b.whole)
		if ok {
			made[field], ok = primitive[string](b.reader, v, e.Range().Ptr(), cty.String, "a field is a text")
		}
		good = good && ok
		if size += len(made[field]); size > maxValue {
			b.fault(e.Range().Ptr(), "Value too large", "The fields of a secret have at most %d bytes together.", maxValue)
			return made, false
		}
	}
	return made, good
}

// checkMade makes sure that what is written can be used.
func (b *body) checkMade(c *customFields, made map[string]string) bool {
	at := c.Expr(c.Names()[0]).Range().Ptr()
	switch {
	case !sampleKeyIn(made):
		b.fault(at, "No private key among the fields", "No field holds cert.private_key, pkcs12(...) or jks(...): the private key would be nowhere.")
		return false
	case !samplePairIn(made):
		b.d.report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "The pair cannot be read back", Subject: at, Context: b.whole,
			Detail: "Keystores are not looked into: where a key shall be kept (key.rotation = \"never\") or somebody overwrote the secret, certroll needs fields with cert.private_key and cert.fullchain as well."})
	}
	return true
}
