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

// CustomFields are a map of expressions over cert. They are evaluated twice:
// when the file is decoded, on a sample that shows what is wrong with them, and
// for each pair that is written.
type CustomFields struct {
	names  []string
	exprs  map[string]hclsyntax.Expression
	ctx    *hcl.EvalContext // of the block: locals, each
	budget *eval.Budget
	digest string
	// passwords are the references that the sample led to. They were checked;
	// the real pair must lead to no other.
	passwords []password
	// held says that nothing is made of them: a revision that was in force breaks
	// a rule of them that is newer. Its certificates are held by the plan, too.
	held bool
}

// password is a reference, and the field that it is for.
type password struct {
	Value
	field string
}

// NewCustomFields are the fields that these expressions make, evaluated in ctx at the
// cost of b. Seal makes them complete.
func NewCustomFields(exprs map[string]hclsyntax.Expression, ctx *hcl.EvalContext, b *eval.Budget) *CustomFields {
	return &CustomFields{names: slices.Sorted(maps.Keys(exprs)), exprs: exprs, ctx: ctx, budget: b}
}

// Names are the names of the fields, in order.
func (c *CustomFields) Names() []string { return c.names }

// Expr is the expression of a field.
func (c *CustomFields) Expr(name string) hclsyntax.Expression { return c.exprs[name] }

// Hold has nothing made of the fields.
func (c *CustomFields) Hold() { c.held = true }

// Held tells whether nothing is made of the fields.
func (c *CustomFields) Held() bool { return c.held }

// Passwords are the references that the sample led to.
func (c *CustomFields) Passwords() []Value {
	list := make([]Value, len(c.passwords))
	for i, p := range c.passwords {
		list[i] = p.Value
	}
	return list
}

// Fields are these fields.
func (c *CustomFields) Fields() Fields { return Fields{custom: c} }

// SampleContext is what the expressions see of the sample. A password that they name is
// noted for the field that *field is then; env is the beginning of the variables that
// may hold one.
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

// TryReal makes the fields of a pair as CAs issue them, with a stand-in for its key. It
// takes its steps from *left. Where an expression fails, the error is an evaluationError.
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

// Seal sets the digest. It is made of the expressions, however they are laid out, and
// of what they made of the sample, which is how locals come into it.
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

// certValue is what cert is in an expression.
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

// storeMaker makes a keystore of a kind.
type storeMaker func(kind string, password cty.Value, alias string) (string, error)

// context is what the expressions see.
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

// maxStores is how many keystores are made for one secret: each takes
// milliseconds, since its password is stretched.
const maxStores = 64

// keystoreFunc is pkcs12(password) or jks(password), with an alias as a second
// argument where one is wanted.
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

// FieldError is why a field could not be made. It depends on the
// expressions and on what is public of a certificate, never on its key.
type FieldError struct {
	Field string
	At    hcl.Range
	Err   error
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("making the field %s, at %s:%d:%d: %s", e.Field, e.At.Filename, e.At.Start.Line, e.At.Start.Column, e.Err)
}

func (e *FieldError) Unwrap() []error { return []error{ErrFields, e.Err} }

// ErrFields is the error of Render where the expressions fail for a certificate:
// the same spec and the same certificate fail again.
var ErrFields = errors.New("the fields of the secret cannot be made")

// render evaluates the expressions on a real pair, in two passes. The first has
// a stand-in for the key, as long as the longest key of its shape: it decides
// whether the fields can be made, and what they cost. The second has the key and
// no bounds, and has nothing left to fail by: what it makes is never longer.
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
		// It can depend on the key; nothing of it is told.
		return nil, ErrFields
	}
	return fields, err
}

var errHeld = errors.New("the fields break a rule that is newer than their revision; certroll doctor --upgrade shows it")

// passwordOf finds a keystore's password among the references that were checked.
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

// standIn makes a text as long as a keystore of the pair is at most.
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

// make evaluates the expressions with a text for the key. The caller holds the
// budget.
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

// resolve follows all references, before the lock on evaluation is taken.
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

// indexOf finds a reference among those that were checked; -1 where it is none.
func (c *CustomFields) indexOf(v Value) int {
	return slices.IndexFunc(c.passwords, func(p password) bool {
		return v.Source == p.Source && v.Path == p.Path && v.Field == p.Field && v.Name == p.Name
	})
}

// evaluate evaluates one expression within the bounds of a revision. HCL's
// diagnostics and cty's errors quote values, which may be the private key, so
// only the fixed summary is told.
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
