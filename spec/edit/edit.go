package edit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/decode"
	"certroll/spec/text"
)

// Editor changes certificate blocks in place for a person at a command line. Everything
// outside the changed setting stays the same, byte for byte, including comments and
// layout. Editor accepts an edit only if the edited files decode and their spec differs
// by exactly that change.
type Editor struct {
	ctx     context.Context // of the command that makes the edits
	files   []spec.File
	trust   spec.Trust
	spec    *spec.Spec
	changed map[string]bool // by path
}

// New decodes the files to edit. It returns nil and diagnostics if they contain a
// mistake. ctx bounds all decodings of the Editor.
func New(ctx context.Context, files []spec.File, trust spec.Trust) (*Editor, hcl.Diagnostics) {
	s, diags := decode.Files(ctx, files, trust)
	if s == nil {
		return nil, diags
	}
	return &Editor{ctx: ctx, files: slices.Clone(files), trust: trust, spec: s, changed: map[string]bool{}}, diags
}

// Spec returns the spec of the files with the edits made so far.
func (e *Editor) Spec() *spec.Spec { return e.spec }

// Changed returns the edited files with their new content.
func (e *Editor) Changed() []spec.File {
	var list []spec.File
	for _, f := range e.files {
		if e.changed[f.Path] {
			list = append(list, f)
		}
	}
	return list
}

// Certificate finds a certificate by name. The error for an unknown name suggests similar
// ones.
func (e *Editor) Certificate(name string) (*spec.Certificate, error) {
	if c := e.spec.Certificate(name); c != nil {
		return c, nil
	}
	names := make([]string, len(e.spec.Certificates))
	for i, c := range e.spec.Certificates {
		names[i] = c.Name
		if strings.HasPrefix(c.Name, name+".") {
			if s, err := e.site(c); err == nil && s.repeated() && s.block.Labels[0] == name {
				return nil, s.refusal(c)
			}
		}
	}
	return nil, fmt.Errorf("there is no certificate %q in the config repo.%s", name, text.Meant(name, names))
}

// Rotating is a request for one rotation.
type Rotating struct {
	Reason string // a text that the certificate's rotate did not have before
	Revoke bool   // revoke the replaced certificate
	Code   string // revocation reason by its name in RFC 5280; "" means superseded
}

// Rotate requests one rotation of a certificate.
func (e *Editor) Rotate(name string, r Rotating) error {
	if err := checkReason(&r.Reason); err != nil {
		return err
	}
	want := func(c *spec.Certificate) { c.Rotate, c.RotateRevoke = r.Reason, nil }
	if r.Revoke {
		code, ok := spec.RevocationCode(cmp.Or(r.Code, "superseded"))
		if !ok {
			return fmt.Errorf("%q is no reason to revoke for: use %s.%s", r.Code, text.OneOf(spec.RevocationReasons()), text.Meant(r.Code, spec.RevocationReasons()))
		}
		want = func(c *spec.Certificate) { c.Rotate, c.RotateRevoke = r.Reason, &spec.Revocation{Code: code} }
	}
	return e.edit(name, want, func(p *patch, b *hclsyntax.Block, key string) {
		if key != "" {
			keyed{p.src, key}.rotate(p, b, r)
			return
		}
		attr, inner := b.Body.Attributes["rotate"], innerBlock(b, "rotate")
		lines := r.lines()
		switch {
		case attr != nil && len(lines) == 1:
			p.set(attr, quote(r.Reason))
		case attr != nil:
			p.rewrite(attr.NameRange.Start.Byte, attr.SrcRange.End.Byte, lines)
		case inner != nil:
			p.rewrite(inner.TypeRange.Start.Byte, inner.CloseBraceRange.End.Byte, lines)
		default:
			p.add(b, lines)
		}
	})
}

// lines returns the setting, or a block if the rotation revokes.
func (r Rotating) lines() []string {
	if !r.Revoke {
		return []string{"rotate = " + quote(r.Reason)}
	}
	lines := []string{"rotate {", "\treason = " + quote(r.Reason), "\trevoke = true"}
	if r.Code != "" {
		lines = append(lines, "\tcode   = "+quote(r.Code))
	}
	return append(lines, "}")
}

// Disable turns a certificate's renewal off. until is a date or an RFC 3339 time; ""
// means until someone turns renewal on again.
func (e *Editor) Disable(name, reason, until string) error {
	if err := checkReason(&reason); err != nil {
		return err
	}
	want := func(c *spec.Certificate) {
		c.Renewal.Auto, c.Renewal.Reason, c.Renewal.Until = false, reason, spec.ParseMoment(until)
	}
	if until != "" && spec.ParseMoment(until).IsZero() {
		return errors.New(spec.BadMoment("until", until))
	}
	settings := []assignment{{"auto", "false"}, {"reason", quote(reason)}, {"until", ""}}
	if until != "" {
		settings[2].value = quote(until)
	}
	return e.edit(name, want, pausing(settings))
}

// pausing returns an edit that writes settings into the renewal block; with a key, for
// one certificate of a for_each only.
func pausing(settings []assignment) func(*patch, *hclsyntax.Block, string) {
	return func(p *patch, b *hclsyntax.Block, key string) {
		if key == "" {
			p.renewal(b, settings)
			return
		}
		keyed{p.src, key}.renewal(p, b, settings)
	}
}

// Enable turns a certificate's renewal on again.
func (e *Editor) Enable(name string) error {
	c, err := e.Certificate(name)
	if err != nil {
		return err
	}
	if c.Renewal.Auto {
		return fmt.Errorf("the renewal of %q is on already: there is nothing to change", name)
	}
	want := func(c *spec.Certificate) {
		c.Renewal.Auto, c.Renewal.Reason, c.Renewal.Until = true, "", spec.ParseMoment("")
	}
	// Removing the pause is enough, unless a defaults block turns renewal off. Then the
	// edit is unmet, and Enable writes auto = true.
	settings := []assignment{{"auto", ""}, {"reason", ""}, {"until", ""}}
	err = e.edit(name, want, func(p *patch, b *hclsyntax.Block, key string) {
		if key == "" {
			p.renewal(b, settings)
			return
		}
		keyed{p.src, key}.resume(p, b, settings)
	})
	var unmet *unmetError
	if errors.As(err, &unmet) {
		settings[0].value = "true"
		err = e.edit(name, want, pausing(settings))
	}
	return err
}

// quote formats a text as an HCL string, with templates and quotes escaped.
func quote(text string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes())
}

// checkReason validates a reason, and normalizes it to the form that decoding returns.
func checkReason(reason *string) error {
	*reason = cty.StringVal(strings.TrimSpace(*reason)).AsString()
	if *reason == "" || spec.BadReason(*reason) {
		return fmt.Errorf("the reason is one line of text, of at most %d bytes", spec.MaxReason)
	}
	return nil
}

// site is the place of a certificate's block.
type site struct {
	index int // of its file in Editor.files
	block *hclsyntax.Block
	at    int // index of the block among the file's blocks
}

func (e *Editor) site(c *spec.Certificate) (*site, error) {
	i := slices.IndexFunc(e.files, func(f spec.File) bool { return f.Path == c.File })
	body, err := parseAgain(e.files[i])
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.TypeRange.Start.Byte == c.Range.Start.Byte })
	return &site{i, body.Blocks[at], at}, nil
}

// parseAgain parses a file that already decoded.
func parseAgain(f spec.File) (*hclsyntax.Body, error) {
	file, diags := hclsyntax.ParseConfig(f.Bytes, f.Path, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	return file.Body.(*hclsyntax.Body), nil
}

func (s *site) repeated() bool { return s.block.Body.Attributes["for_each"] != nil }

// key returns the for_each key of a certificate; "" if it has its own block.
func (s *site) key(c *spec.Certificate) string {
	if !s.repeated() {
		return ""
	}
	return strings.TrimPrefix(c.Name, s.block.Labels[0]+".")
}

// refusal reports that a name is a block with for_each; the person must name one of its
// certificates.
func (s *site) refusal(c *spec.Certificate) error {
	return fmt.Errorf("%q is a block with for_each, %s:%d, and not one certificate: name one of its certificates, as %q, or edit the block by hand, which changes all of them",
		s.block.Labels[0], c.File, c.Range.Start.Line, c.Name)
}

// unmetError reports an edit without the wanted result.
type unmetError struct {
	file, name, why string
	byHand          string // advice on the manual edit
}

func (e *unmetError) Error() string {
	return fmt.Sprintf("changing certificate %q in %s: %s; nothing was changed: edit the file by hand%s", e.name, e.file, e.why, e.byHand)
}

// edit makes one change of one block. It tries the layout without an empty line first. If
// that would leave a formatted file unformatted, it tries the layout with one.
func (e *Editor) edit(name string, want func(*spec.Certificate), build func(*patch, *hclsyntax.Block, string)) error {
	c, err := e.Certificate(name)
	if err != nil {
		return err
	}
	s, err := e.site(c)
	if err != nil {
		return err
	}
	key := s.key(c)
	wanted := *c
	if want(&wanted); sameCertificate(c, &wanted) {
		return fmt.Errorf("certificate %q says so already: there is nothing to change", name)
	}
	src := e.files[s.index].Bytes
	plain := newPatch(src, s.block, false)
	build(plain, s.block, key)
	text, tidy := plain.result()
	if !tidy {
		spaced := newPatch(src, s.block, true)
		build(spaced, s.block, key)
		if t, ok := spaced.result(); ok {
			text = t
		}
	}
	err = e.take(s, &wanted, text)
	var unmet *unmetError
	if key != "" && errors.As(err, &unmet) {
		unmet.byHand = fmt.Sprintf(", with a value for this one alone, as in rotate = %s ? \"leaked\" : null", keyed{key: key}.condition())
	}
	return err
}

// take accepts a changed file only if it decodes to the wanted spec.
func (e *Editor) take(s *site, wanted *spec.Certificate, text []byte) error {
	unmet := func(why string) error { return &unmetError{file: e.files[s.index].Path, name: wanted.Name, why: why} }
	files := slices.Clone(e.files)
	files[s.index].Bytes = text
	after, diags := decode.Files(e.ctx, files, e.trust)
	if after == nil {
		bad := diags.Errs()[0]
		return unmet("the file would have a mistake then: " + bad.Error())
	}
	if !s.aloneChanged(e.files[s.index].Bytes, files[s.index]) {
		return unmet("more than its block would change")
	}
	if len(after.Certificates) != len(e.spec.Certificates) {
		return unmet("other certificates would change")
	}
	for i, c := range after.Certificates {
		expected := e.spec.Certificates[i]
		if c.Name == wanted.Name {
			expected = wanted
		}
		if !sameCertificate(c, expected) {
			return unmet(fmt.Sprintf("certificate %q would not be as it should", c.Name))
		}
	}
	e.files, e.spec, e.changed[files[s.index].Path] = files, after, true
	return nil
}

// aloneChanged reports whether the bytes before and after the block are unchanged.
func (s *site) aloneChanged(before []byte, after spec.File) bool {
	body, err := parseAgain(after)
	if err != nil || s.at >= len(body.Blocks) {
		return false
	}
	was, is := s.block.Range(), body.Blocks[s.at].Range()
	return bytes.Equal(before[:was.Start.Byte], after.Bytes[:is.Start.Byte]) &&
		bytes.Equal(before[s.block.CloseBraceRange.End.Byte:], after.Bytes[body.Blocks[s.at].CloseBraceRange.End.Byte:])
}

// sameCertificate compares the meaning of two blocks, not their places. Fields compare by
// digest, because they contain functions.
func sameCertificate(a, b *spec.Certificate) bool {
	x, y := *a, *b
	if x.Vault.Fields.Digest() != y.Vault.Fields.Digest() {
		return false
	}
	x.Vault.Fields, y.Vault.Fields = spec.Fields{}, spec.Fields{}
	x.Range, y.Range = hcl.Range{}, hcl.Range{}
	return reflect.DeepEqual(x, y) //nolint:govet // an error value inside would also have to be equal
}

// innerBlock returns the first inner block of a type, or nil.
func innerBlock(b *hclsyntax.Block, name string) *hclsyntax.Block {
	i := slices.IndexFunc(b.Body.Blocks, func(inner *hclsyntax.Block) bool { return inner.Type == name })
	if i < 0 {
		return nil
	}
	return b.Body.Blocks[i]
}
