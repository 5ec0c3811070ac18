package spec

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"certroll/spec/eval"
)

// CustomFields is a map of field names to expressions over cert. certroll evaluates the
// expressions twice: on a sample when it decodes the file, to find mistakes before
// anything is issued, and on each pair that it writes.
type CustomFields struct {
	names  []string
	exprs  map[string]hclsyntax.Expression
	ctx    *hcl.EvalContext // of the block: locals and each
	budget *eval.Budget
	digest string
	// passwords are the references that the expressions gave for the sample. The decoder
	// checked them against the trust settings, so the expressions may give no other
	// reference for a real pair.
	passwords []password
	// held stops rendering: the fields come from a revision that was in force and break a
	// NewRule. The plan holds the certificates too.
	held bool
}

// password is a reference to a keystore's password, with the field that uses it.
type password struct {
	Value
	field string
}

// NewCustomFields returns fields made by the expressions, evaluated in ctx and charged to
// b. The fields are not complete before Seal.
func NewCustomFields(exprs map[string]hclsyntax.Expression, ctx *hcl.EvalContext, b *eval.Budget) *CustomFields {
	return &CustomFields{names: slices.Sorted(maps.Keys(exprs)), exprs: exprs, ctx: ctx, budget: b}
}

// Names returns the names of the fields, sorted.
func (c *CustomFields) Names() []string { return c.names }

// Expr returns the expression of a field.
func (c *CustomFields) Expr(name string) hclsyntax.Expression { return c.exprs[name] }

// Hold makes every later rendering fail.
func (c *CustomFields) Hold() { c.held = true }

// Held reports whether Hold was called.
func (c *CustomFields) Held() bool { return c.held }

// Passwords returns the references that the expressions gave for the sample.
func (c *CustomFields) Passwords() []Value {
	list := make([]Value, len(c.passwords))
	for i, p := range c.passwords {
		list[i] = p.Value
	}
	return list
}

// Fields wraps c as Fields.
func (c *CustomFields) Fields() Fields { return Fields{custom: c} }

// SampleContext returns the evaluation context for the sample. It records each password
// reference for the field that *field names at that moment. env is the prefix of the
// variables that may contain a password; an error message suggests it.
func (c *CustomFields) SampleContext(field *string, env string) *hcl.EvalContext {
	return c.context(SampleValue(), func(kind string, v cty.Value, alias string) (string, error) {
		if !IsReference(v) {
			return "", fmt.Errorf("the password is a secret, and this file is in Git: write %s(vault(\"mount/path\", \"field\")) or %[1]s(env(\"%[2]sKEYSTORE\"))", kind, env)
		}
		p := password{*v.EncapsulatedValue().(*Value), *field}
		p.Range = c.exprs[*field].Range()
		if c.indexOf(p.Value) < 0 {
			c.passwords = append(c.passwords, p)
		}
		return strings.Join([]string{sampleStore, kind, alias}, " "), nil
	})
}

// TryReal renders the fields for a random pair that looks like a CA's, with a stand-in
// for its key. It finds expressions that work only for the fixed sample. It takes its
// steps from *left. If an expression fails, the error is a *FieldError.
func (c *CustomFields) TryReal(left *int64) error {
	p, err := realSample()
	if err != nil {
		return err
	}
	return c.budget.Aside(left, func() error {
		_, err := c.make(p, p.chargedKey(), c.standIn(p))
		return err
	})
}

// Seal computes the digest from the expressions' tokens, so that layout and comments do
// not change it, and from the fields made for the sample, so that a changed local does.
func (c *CustomFields) Seal(made map[string]string, source func(hcl.Expression) []byte) {
	sum := sha256.New()
	for _, name := range c.names {
		_, _ = fmt.Fprintf(sum, "%q %q", name, made[name])
		tokens, _ := hclsyntax.LexExpression(source(c.exprs[name]), "", hcl.InitialPos)
		for _, t := range tokens {
			if t.Type != hclsyntax.TokenNewline && t.Type != hclsyntax.TokenComment {
				_, _ = fmt.Fprintf(sum, " %q", t.Bytes)
			}
		}
	}
	for _, p := range c.passwords {
		_, _ = fmt.Fprintf(sum, " %q %q %q %q", p.Source, p.Path, p.Field, p.Name)
	}
	c.digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// certValue returns the object cert of the expressions.
func certValue(m Material, ca, serial, keyDigest string, names []string, notBefore, notAfter time.Time) cty.Value {
	list := make([]cty.Value, len(names))
	for i, name := range names {
		list[i] = cty.StringVal(name)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"certificate": cty.StringVal(m.Certificate), "chain": cty.StringVal(m.Chain), "fullchain": cty.StringVal(m.FullChain),
		"private_key": cty.StringVal(m.PrivateKey), "ca": cty.StringVal(ca), "serial": cty.StringVal(serial),
		"names":      cty.ListVal(list),
		"key_digest": cty.StringVal(keyDigest), "next_key_digest": cty.StringVal(m.NextKeyDigest),
		"not_before": cty.StringVal(notBefore.UTC().Format(time.RFC3339)), "not_after": cty.StringVal(notAfter.UTC().Format(time.RFC3339)),
	})
}

// storeMaker encodes a keystore of a kind, "pkcs12" or "jks", as text.
type storeMaker func(kind string, password cty.Value, alias string) (string, error)

// context returns the evaluation context with cert and the keystore functions. It counts
// keystores, and refuses more than maxStores.
func (c *CustomFields) context(cert cty.Value, store storeMaker) *hcl.EvalContext {
	ctx := c.ctx.NewChild()
	made := 0
	bounded := func(kind string, password cty.Value, alias string) (string, error) {
		if made++; made > maxStores {
			return "", fmt.Errorf("the fields of a secret have at most %d keystores", maxStores)
		}
		return store(kind, password, alias)
	}
	ctx.Variables = map[string]cty.Value{"cert": cert}
	ctx.Functions = map[string]function.Function{"pkcs12": keystoreFunc("pkcs12", bounded), "jks": keystoreFunc("jks", bounded)}
	return ctx
}

// maxStores is the number of keystores in one secret. Each costs milliseconds of CPU,
// because the encoders stretch the password.
const maxStores = 64

// keystoreFunc returns pkcs12(password) or jks(password). An optional second argument is
// the alias.
func keystoreFunc(kind string, store storeMaker) function.Function {
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

// FieldError reports a field that cannot be made. Its text depends on the expressions and
// on public parts of the certificate, never on the key.
type FieldError struct {
	Field string
	At    hcl.Range
	Err   error
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("making the field %s, at %s:%d:%d: %s", e.Field, e.At.Filename, e.At.Start.Line, e.At.Start.Column, e.Err)
}

func (e *FieldError) Unwrap() []error { return []error{ErrFields, e.Err} }

// ErrFields marks errors of Render whose cause are the expressions: the same spec fails
// again for the same certificate, so a retry is useless.
var ErrFields = errors.New("the fields of the secret cannot be made")

// render evaluates the expressions on a real pair in two passes. The first pass uses a
// stand-in for the key, as long as the longest key of this shape: it decides whether the
// fields can be made and charges the budget. The second pass uses the key and can no
// longer run out of budget, because its values are never longer. A failure of the budget
// therefore cannot depend on the key.
func (c *CustomFields) render(p *parsedPair, resolve func(Value) (string, error)) (map[string]string, error) {
	if c.held {
		return nil, errHeld
	}
	passwords, err := c.resolve(resolve)
	if err != nil {
		return nil, err
	}
	c.budget.Lock()
	defer c.budget.Unlock()
	c.budget.Refill()
	if _, err := c.make(p, p.chargedKey(), c.standIn(p)); err != nil {
		return nil, err
	}
	c.budget.Refill()
	fields, err := c.make(p, p.PrivateKey, func(kind string, v cty.Value, alias string) (string, error) {
		i, err := c.passwordOf(v)
		if err != nil {
			return "", err
		}
		return keystores[kind](p, passwords[i], alias)
	})
	if err != nil && !errors.Is(err, errKeystore) {
		// The cause may contain a part of the key, so it is dropped.
		return nil, ErrFields
	}
	return fields, err
}

var errHeld = errors.New("the fields break a rule that is newer than their revision; certroll doctor --upgrade shows it")

// passwordOf returns the index of a keystore's password among the checked references.
func (c *CustomFields) passwordOf(v cty.Value) (int, error) {
	if !IsReference(v) {
		return 0, errOtherReference
	}
	i := c.indexOf(*v.EncapsulatedValue().(*Value))
	if i < 0 {
		return 0, errOtherReference
	}
	return i, nil
}

// standIn returns a storeMaker whose texts are as long as the longest keystore of the
// pair can be.
func (c *CustomFields) standIn(p *parsedPair) storeMaker {
	size := len(p.chargedKey()) + len(p.leaf.Raw) + 4096
	for _, cert := range p.chain {
		size += len(cert.Raw) + 256
	}
	return func(_ string, v cty.Value, alias string) (string, error) {
		_, err := c.passwordOf(v)
		return strings.Repeat("A", (size+4*len(alias))*4/3), err
	}
}

// make evaluates the expressions with key in place of the private key. The caller holds
// the budget's lock.
func (c *CustomFields) make(p *parsedPair, key string, store storeMaker) (map[string]string, error) {
	var cause error
	ctx := c.context(p.value(key), func(kind string, v cty.Value, alias string) (text string, err error) {
		defer func() { cause = err }()
		return store(kind, v, alias)
	})
	fields, size := make(map[string]string, len(c.names)), 0
	for _, name := range c.names {
		cause = nil
		text, err := c.evaluate(c.exprs[name], ctx)
		if fields[name] = text; err != nil {
			return nil, &FieldError{name, c.exprs[name].Range(), cmp.Or(cause, err)}
		}
		if size += len(text); size > eval.MaxValue {
			return nil, &FieldError{name, c.exprs[name].Range(), eval.ErrTooLarge}
		}
	}
	return fields, nil
}

func (c *CustomFields) failed(field string, err error) error {
	r := c.exprs[field].Range()
	return fmt.Errorf("making the field %s, at %s:%d:%d: %w", field, r.Filename, r.Start.Line, r.Start.Column, err)
}

// resolve follows all references. render calls it before it locks the budget, because it
// may wait for Vault.
func (c *CustomFields) resolve(resolve func(Value) (string, error)) ([]string, error) {
	texts := make([]string, len(c.passwords))
	for i, p := range c.passwords {
		var err error
		if texts[i], err = resolve(p.Value); err == nil && texts[i] == "" {
			err = errors.New("the password is empty")
		}
		if err != nil {
			return nil, c.failed(p.field, err)
		}
	}
	return texts, nil
}

// indexOf returns the index of a reference among the checked ones, or -1.
func (c *CustomFields) indexOf(v Value) int {
	return slices.IndexFunc(c.passwords, func(p password) bool {
		return v.Source == p.Source && v.Path == p.Path && v.Field == p.Field && v.Name == p.Name
	})
}

// evaluate evaluates one expression within the revision's budget. HCL's diagnostics and
// cty's errors quote values, which may be the private key, so the error contains only
// HCL's fixed summary.
func (c *CustomFields) evaluate(e hclsyntax.Expression, ctx *hcl.EvalContext) (text string, err error) {
	v, diags, err := eval.Meter{Budget: c.budget}.Run(e, ctx)
	switch {
	case err != nil:
		return "", err
	case diags.HasErrors():
		return "", fmt.Errorf("it worked for a sample but not for this certificate (%s)", strings.ToLower(diags[0].Summary))
	}
	converted, err := convert.Convert(v, cty.String)
	if err != nil || converted.IsNull() || !converted.IsKnown() {
		return "", errors.New("it is no text")
	}
	return converted.AsString(), nil
}
