package decode

import (
	"errors"
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/eval"
)

const maxFields = 64

var fieldName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// customFields reads a map of expressions, each of which must yield a text.
func (b *body) customFields(object *hclsyntax.ObjectConsExpr) (spec.Fields, bool) {
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
			b.Fault(at, "Value out of range", "A secret has 1 to %d fields; there are %d.", maxFields, n)
		}
		return spec.Fields{}, false
	}
	c := spec.NewCustomFields(exprs, b.Context, b.d.Budget)
	b.checkKeys(c)
	made, ok := b.trySample(c)
	if !ok || !b.checkMade(c, made) || !b.tryReal(c) {
		return spec.Fields{}, false
	}
	for _, v := range c.Passwords() {
		good = b.mayRefer(v) && good
	}
	if b.affordDigest(c) {
		c.Seal(made, b.d.sourceOf)
	}
	return c.Fields(), good
}

// checkKeys reports expressions that compute on the private key; see keyexpr.go.
func (b *body) checkKeys(c *spec.CustomFields) {
	for _, name := range c.Names() {
		for _, f := range checkKeyUse(c.Expr(name)) {
			c.Hold()
			b.RefuseNew(spec.NewRule{Name: "fields.private_key"}, &f.at, "Private key computed on",
				"The field %s: %s. An expression may only join the private key, or a keystore of it, into texts (templates without directives, join, format with %%s, chomp, trimspace, indent), encode it whole (base64encode, jsonencode), or pass it to pkcs12() and jks(): any other use would disclose parts of the key.", name, f.why)
		}
	}
}

// tryReal evaluates the expressions on a pair like a CA's, because an expression may work
// only for the constants of the sample.
func (b *body) tryReal(c *spec.CustomFields) bool {
	if c.Held() {
		return true
	}
	err := c.TryReal(&b.d.realLeft)
	e := &spec.FieldError{}
	switch {
	case err == nil:
	case errors.As(err, &e):
		c.Hold()
		b.RefuseNew(spec.NewRule{Name: "fields.real"}, e.At.Ptr(), "Expression fails for a certificate", "The field %s works for a sample, and not for a pair as a CA issues it: %s.", e.Field, e.Err)
	default:
		b.Fault(c.Expr(c.Names()[0]).Range().Ptr(), "No sample", "Making a sample of a certificate failed: %s.", err)
		return false
	}
	return true
}

// affordDigest charges the steps to lex the expressions again for the digest.
func (b *body) affordDigest(c *spec.CustomFields) bool {
	for _, name := range c.Names() {
		if r := c.Expr(name).Range(); !b.d.Afford(int64(r.End.Byte-r.Start.Byte)*block.PerSource, r, b.Whole) {
			return false
		}
	}
	return true
}

// fieldName evaluates the name of a field and checks that it is valid and unique.
func (b *body) fieldName(key hclsyntax.Expression, seen map[string]hclsyntax.Expression) (string, bool) {
	v, ok := b.d.Eval(key, b.Context, b.Whole)
	if !ok {
		return "", false
	}
	at := key.Range().Ptr()
	if v.IsNull() || v.Type() != cty.String || !fieldName.MatchString(v.AsString()) {
		b.Fault(at, "Invalid name", "%s: a field's name is made of letters, digits, dots, _ and -, and has at most 128 characters.", block.KindOf(v))
		return "", false
	}
	if seen[v.AsString()] != nil {
		b.Fault(at, "Duplicate name", "The field %s is there twice.", v.AsString())
		return "", false
	}
	return v.AsString(), true
}

// trySample evaluates the expressions on the sample.
func (b *body) trySample(c *spec.CustomFields) (made map[string]string, good bool) {
	field := ""
	ctx := c.SampleContext(&field, b.d.firstEnv())
	made, good = map[string]string{}, true
	size := 0
	for _, field = range c.Names() {
		e := c.Expr(field)
		v, ok := b.d.Eval(e, ctx, b.Whole)
		if ok {
			made[field], ok = block.As[string](b.Reader, v, e.Range().Ptr(), cty.String, "a field is a text")
		}
		good = good && ok
		if size += len(made[field]); size > eval.MaxValue {
			b.Fault(e.Range().Ptr(), "Value too large", "The fields of a secret have at most %d bytes together.", eval.MaxValue)
			return made, false
		}
	}
	return made, good
}

// checkMade checks that the fields contain the private key, and warns if certroll cannot
// read the pair back from the secret.
func (b *body) checkMade(c *spec.CustomFields, made map[string]string) bool {
	at := c.Expr(c.Names()[0]).Range().Ptr()
	switch {
	case !spec.SampleHoldsKey(made):
		b.Fault(at, "No private key among the fields", "No field holds cert.private_key, pkcs12(...) or jks(...): the private key would be nowhere.")
		return false
	case !spec.SampleHoldsPair(made):
		b.d.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "The pair cannot be read back", Subject: at, Context: b.Whole,
			Detail: "certroll does not read keystores: to keep a key (key.rotation = \"never\"), or to restore a secret that another program overwrote, it also needs fields with cert.private_key and cert.fullchain."})
	}
	return true
}
