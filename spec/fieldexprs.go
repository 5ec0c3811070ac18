package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

const maxFields = 64

var fieldName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// customFields reads a map of expressions, each of which must give a text.
func (b *body) customFields(object *hclsyntax.ObjectConsExpr) (Fields, bool) {
	c := &customFields{exprs: map[string]hclsyntax.Expression{}, ctx: b.ctx, budget: b.d.budget}
	good := true
	for _, item := range object.Items {
		name, ok := b.fieldName(item.KeyExpr, c.exprs)
		if good = good && ok; ok {
			c.exprs[name] = item.ValueExpr
		}
	}
	at := object.Range().Ptr()
	c.names = slices.Sorted(maps.Keys(c.exprs))
	if n := len(c.names); n == 0 || n > maxFields {
		if good {
			b.fault(at, "Value out of range", "A secret has 1 to %d fields; there are %d.", maxFields, n)
		}
		return Fields{}, false
	}
	b.checkKeys(c)
	made, ok := b.trySample(c)
	if !ok || !b.checkMade(c, made) || !b.tryReal(c) {
		return Fields{}, false
	}
	for _, p := range c.passwords {
		good = b.mayRefer(p.Value) && good
	}
	c.digest = b.digest(c, made)
	return Fields{custom: c}, good
}

// checkKeys holds the expressions against what may be done with the key.
func (b *body) checkKeys(c *customFields) {
	for _, name := range c.names {
		for _, f := range checkKeyUse(c.exprs[name]) {
			c.held = true
			b.refuseNew(NewRule{Name: "fields.private_key"}, &f.at, "Private key computed on",
				"The field %s: %s. The private key, and a keystore of it, may be joined into texts (templates without directives, join, format with %%s, chomp, trimspace, indent), encoded whole (base64encode, jsonencode) and put into pkcs12() and jks(), and nothing else: an expression that decides by the key would tell parts of it.", name, f.why)
		}
	}
}

// tryReal evaluates the expressions on a pair as CAs issue them: what works for
// the constants of the sample alone is no use to a certificate.
func (b *body) tryReal(c *customFields) bool {
	if c.held {
		return true
	}
	p, err := realSample()
	if err != nil {
		b.fault(c.exprs[c.names[0]].Range().Ptr(), "No sample", "Making a sample of a certificate failed: %s.", err)
		return false
	}
	err = c.budget.aside(&b.d.realLeft, func() error {
		_, err := c.make(p, p.chargedKey(), c.standIn(p))
		return err
	})
	if err != nil {
		e := &evaluationError{}
		if errors.As(err, &e) {
			c.held = true
			b.refuseNew(NewRule{Name: "fields.real"}, e.at.Ptr(), "Expression fails for a certificate", "The field %s works for a sample, and not for a pair as a CA issues it: %s.", e.field, e.err)
			return true
		}
		return false
	}
	return true
}

// digest is made of the expressions, however they are laid out, and of what
// they make of the sample, which is how locals come into it.
func (b *body) digest(c *customFields, made map[string]string) string {
	sum := sha256.New()
	for _, name := range c.names {
		if r := c.exprs[name].Range(); !b.d.afford(int64(r.End.Byte-r.Start.Byte)*perSource, r, b.whole) {
			return ""
		}
		_, _ = fmt.Fprintf(sum, "%q %q", name, made[name])
		tokens, _ := hclsyntax.LexExpression(b.d.sourceOf(c.exprs[name]), "", hcl.InitialPos)
		for _, t := range tokens {
			if t.Type != hclsyntax.TokenNewline && t.Type != hclsyntax.TokenComment {
				_, _ = fmt.Fprintf(sum, " %q", t.Bytes)
			}
		}
	}
	for _, p := range c.passwords {
		_, _ = fmt.Fprintf(sum, " %q %q %q %q", p.Source, p.Path, p.Field, p.Name)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
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
	ctx := c.context(sampleValue(), func(kind string, v cty.Value, alias string) (string, error) {
		if !isReference(v) {
			return "", fmt.Errorf("the password is a secret, and this file is in Git: write %s(vault(\"mount/path\", \"field\")) or %[1]s(env(\"%[2]sKEYSTORE\"))", kind, b.d.firstEnv())
		}
		p := password{*v.EncapsulatedValue().(*Value), field}
		p.Range = c.exprs[field].Range()
		if c.indexOf(p.Value) < 0 {
			c.passwords = append(c.passwords, p)
		}
		return strings.Join([]string{sampleStore, kind, alias}, " "), nil
	})
	made, good = map[string]string{}, true
	size := 0
	for _, field = range c.names {
		e := c.exprs[field]
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
	at := c.exprs[c.names[0]].Range().Ptr()
	has := func(text string) bool {
		for _, field := range made {
			if strings.Contains(field, text) {
				return true
			}
		}
		return false
	}
	switch {
	case !has(sampleKeyBody) && !has(sampleStore):
		b.fault(at, "No private key among the fields", "No field holds cert.private_key, pkcs12(...) or jks(...): the private key would be nowhere.")
		return false
	case !has(strings.TrimSpace(sampleKey)) || !has(strings.TrimSpace(sampleCert)):
		b.d.report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "The pair cannot be read back", Subject: at, Context: b.whole,
			Detail: "Keystores are not looked into: where a key shall be kept (key.rotation = \"never\") or somebody overwrote the secret, certroll needs fields with cert.private_key and cert.fullchain as well."})
	}
	return true
}

// The sample: its key, and what stands for a keystore of it, are known again
// in what the expressions make of them. It is part of every digest, so that a
// change of it would look like a change of everybody's fields.
const (
	sampleKeyBody = "c2FtcGxlIGtleQ=="
	sampleKey     = "-----BEGIN PRIVATE KEY-----\n" + sampleKeyBody + "\n-----END PRIVATE KEY-----\n"
	sampleCert    = "-----BEGIN CERTIFICATE-----\nc2FtcGxlIGxlYWY=\n-----END CERTIFICATE-----\n"
	sampleChain   = "-----BEGIN CERTIFICATE-----\nc2FtcGxlIGNoYWlu\n-----END CERTIFICATE-----\n"
	sampleStore   = "a sample of a keystore"
)

func sampleValue() cty.Value {
	m := Material{Certificate: sampleCert, Chain: sampleChain, FullChain: sampleCert + sampleChain, PrivateKey: sampleKey, NextKeyDigest: strings.Repeat("0b", sha256.Size)}
	return certValue(m, sampleChain, "0a:1b:2c", strings.Repeat("0a", sha256.Size), []string{"www.example.com"}, time.Unix(0, 0), time.Unix(1, 0))
}
