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
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// customFields are a map of expressions over cert. They are evaluated twice:
// when the file is decoded, on a sample that shows what is wrong with them, and
// for each pair that is written.
type customFields struct {
	names  []string
	exprs  map[string]hclsyntax.Expression
	ctx    *hcl.EvalContext // of the block: locals, each
	budget *budget
	digest string
	// refs are the references the sample followed. They were checked; the real
	// pair must lead to no other.
	refs []Value
}

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
	sum := sha256.New()
	for _, name := range c.names {
		_, _ = fmt.Fprintf(sum, "%s\x00%s\x00", name, b.d.sourceOf(c.exprs[name]))
	}
	c.digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	if !b.trySample(c) || !good {
		return Fields{}, false
	}
	for _, ref := range c.refs {
		good = b.d.mayReach(ref, b.whole) && good
	}
	return Fields{custom: c}, good
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

// The sample's key, and what its keystores hold, are known again in what the
// expressions make of them.
const (
	sampleKey   = "-----BEGIN PRIVATE KEY-----\nsample\n-----END PRIVATE KEY-----\n"
	sampleCert  = "-----BEGIN CERTIFICATE-----\nsample\n-----END CERTIFICATE-----\n"
	sampleStore = "a sample of a keystore"
)

// trySample evaluates the expressions on a sample.
func (b *body) trySample(c *customFields) bool {
	sample := certValue(Material{Certificate: sampleCert, Chain: sampleCert, FullChain: sampleCert + sampleCert, PrivateKey: sampleKey},
		sampleCert, "0a:1b:2c", []string{"www.example.com"}, time.Unix(0, 0), time.Unix(1, 0))
	ctx := c.context(sample, func(kind string, password cty.Value, _ string) (string, error) {
		if !isReference(password) {
			return "", fmt.Errorf("the password is a secret, and this file is in Git: write %s(vault(\"mount/path\", \"field\")) or %[1]s(env(\"%[2]sKEYSTORE\"))", kind, b.d.firstEnv())
		}
		c.refs = append(c.refs, *password.EncapsulatedValue().(*Value))
		return sampleStore, nil
	})
	good, made := true, ""
	for _, name := range c.names {
		e := c.exprs[name]
		refs := len(c.refs)
		v, ok := b.d.eval(e, ctx, b.whole)
		for i := range c.refs[refs:] {
			c.refs[refs+i].Range = e.Range()
		}
		var text string
		if ok {
			text, ok = primitive[string](b, v, e.Range().Ptr(), cty.String, "a field is a text")
		}
		good = good && ok
		made += text + "\n"
	}
	if good {
		good = b.checkMade(c, made)
	}
	return good
}

// checkMade makes sure that what is written can be used.
func (b *body) checkMade(c *customFields, made string) bool {
	at := c.exprs[c.names[0]].Range().Ptr()
	hasKey := strings.Contains(made, strings.TrimSpace(sampleKey))
	switch {
	case !hasKey && !strings.Contains(made, sampleStore):
		b.fault(at, "No private key among the fields", "No field holds cert.private_key, pkcs12(...) or jks(...): the private key would be nowhere.")
		return false
	case !hasKey || !strings.Contains(made, strings.TrimSpace(sampleCert)):
		b.d.report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "The pair cannot be read back", Subject: at, Context: b.whole,
			Detail: "Keystores are not looked into: where a key shall be kept (key.rotation = \"never\") or somebody overwrote the secret, certroll needs fields with cert.private_key and cert.fullchain as well."})
	}
	return true
}

// certValue is what cert is in an expression.
func certValue(m Material, ca, serial string, names []string, notBefore, notAfter time.Time) cty.Value {
	list := make([]cty.Value, len(names))
	for i, name := range names {
		list[i] = cty.StringVal(name)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"certificate": cty.StringVal(m.Certificate), "chain": cty.StringVal(m.Chain), "fullchain": cty.StringVal(m.FullChain),
		"private_key": cty.StringVal(m.PrivateKey), "ca": cty.StringVal(ca), "serial": cty.StringVal(serial),
		"names":      cty.ListVal(list),
		"not_before": cty.StringVal(notBefore.UTC().Format(time.RFC3339)), "not_after": cty.StringVal(notAfter.UTC().Format(time.RFC3339)),
	})
}

// context is what the expressions see; store makes a keystore.
func (c *customFields) context(cert cty.Value, store func(kind string, password cty.Value, alias string) (string, error)) *hcl.EvalContext {
	ctx := c.ctx.NewChild()
	ctx.Variables = map[string]cty.Value{"cert": cert}
	ctx.Functions = map[string]function.Function{"pkcs12": keystoreFunc("pkcs12", store), "jks": keystoreFunc("jks", store)}
	return ctx
}

// keystoreFunc is pkcs12(password) or jks(password), with an alias as a second
// argument where one is wanted.
func keystoreFunc(kind string, store func(kind string, password cty.Value, alias string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "password", Type: cty.DynamicPseudoType}},
		VarParam: &function.Parameter{Name: "alias", Type: cty.String},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			alias := defaultAlias
			switch {
			case len(args) > 2:
				return cty.NilVal, function.NewArgErrorf(2, "%s takes a password and an alias", kind)
			case len(args) == 2:
				alias = args[1].AsString()
			}
			text, err := store(kind, args[0], alias)
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(text), nil
		},
	})
}

var errOtherReference = errors.New("it is not the reference that was checked when the file was read; let it not depend on cert")

// render evaluates the expressions on a real pair.
func (c *customFields) render(p *parsedPair, resolve func(Value) (string, error)) (map[string]string, error) {
	names := slices.Clone(p.leaf.DNSNames)
	for _, ip := range p.leaf.IPAddresses {
		names = append(names, ip.String())
	}
	cert := certValue(p.Material, p.top(), p.serial(), names, p.leaf.NotBefore, p.leaf.NotAfter)
	ctx := c.context(cert, func(kind string, password cty.Value, alias string) (string, error) {
		if !isReference(password) {
			return "", errOtherReference
		}
		ref, ok := c.checked(*password.EncapsulatedValue().(*Value))
		if !ok {
			return "", errOtherReference
		}
		text, err := resolve(ref)
		if err != nil {
			return "", err
		}
		return keystores[kind](p, text, alias)
	})
	fields := make(map[string]string, len(c.names))
	for _, name := range c.names {
		text, err := c.evaluate(c.exprs[name], ctx)
		if err != nil {
			r := c.exprs[name].Range()
			return nil, fmt.Errorf("making the field %s, at %s:%d:%d: %w", name, r.Filename, r.Start.Line, r.Start.Column, err)
		}
		fields[name] = text
	}
	return fields, nil
}

// checked finds a reference among those that were checked.
func (c *customFields) checked(v Value) (Value, bool) {
	for _, ref := range c.refs {
		if v.Source == ref.Source && v.Path == ref.Path && v.Field == ref.Field && v.Name == ref.Name {
			return ref, true
		}
	}
	return Value{}, false
}

// evaluate evaluates one expression within the bounds of a revision. The
// diagnostics of HCL quote values, so only their own words are told.
func (c *customFields) evaluate(e hclsyntax.Expression, ctx *hcl.EvalContext) (text string, err error) {
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	c.budget.left = maxWork
	defer func() {
		if r := recover(); r != nil {
			if !errors.Is(asError(r), errWork) {
				panic(r)
			}
			err = errWork
		}
	}()
	v, diags := e.Value(ctx)
	if diags.HasErrors() {
		return "", causeOf(diags)
	}
	converted, err := convert.Convert(v, cty.String)
	if err != nil || converted.IsNull() || !converted.IsKnown() {
		return "", errors.New("it is no text")
	}
	return converted.AsString(), nil
}

// causeOf is the error of a function behind a diagnostic, or its summary.
func causeOf(diags hcl.Diagnostics) error {
	for _, d := range diags {
		if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
			var arg function.ArgError
			if err := call.FunctionCallError(); errors.As(err, &arg) {
				return arg
			}
		}
	}
	return errors.New(strings.ToLower(diags[0].Summary))
}
