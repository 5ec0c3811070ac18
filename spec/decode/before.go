package decode

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec"
	"certroll/spec/policy"
	"certroll/spec/text"
)

// oldFirst moves the blocks that Trust.Before also has ahead of the added ones. If two
// blocks contradict each other, the decoder then reports the added one.
func (d *decoder) oldFirst() {
	if d.trust.Before == nil {
		return
	}
	before := make(map[string][]byte, len(d.trust.Before))
	for _, f := range d.trust.Before {
		before[f.Path] = f.Bytes
	}
	var old, added []parsed
	for _, f := range d.files {
		src, was := before[f.path]
		if f.trusted || was && bytes.Equal(src, d.Sources[f.path]) {
			old = append(old, f)
			continue
		}
		there := headers(spec.File{Path: f.path, Bytes: src})
		first, rest := f, f
		first.body, rest.body = part(f.body), part(f.body)
		rest.body.Attributes, rest.rest = nil, true
		for _, b := range f.body.Blocks {
			if there[header(b)] {
				first.body.Blocks = append(first.body.Blocks, b)
				continue
			}
			rest.body.Blocks = append(rest.body.Blocks, b)
			d.added[placeOf(b.DefRange())] = true
		}
		old, added = append(old, first), append(added, rest)
	}
	d.files = append(old, added...)
}

// part returns a copy of a body without its blocks.
func part(b *hclsyntax.Body) *hclsyntax.Body {
	whole := *b
	whole.Blocks = nil
	return &whole
}

// headers returns the block headers of a file; none if the file does not parse.
func headers(f spec.File) map[string]bool {
	there := map[string]bool{}
	if body, _ := spec.Parse(f); body != nil {
		for _, b := range body.Blocks {
			there[header(b)] = true
		}
	}
	return there
}

// header identifies a block by its type and labels.
func header(b *hclsyntax.Block) string {
	return strings.Join(append([]string{b.Type}, b.Labels...), "\x00")
}

// without records a certificate that lacks a setting. The instances of one for_each count
// once. Where the certificate's block or a defaults block above misspells the setting, that
// is reported already.
func (d *decoder) without(setting string, b *body, cert *spec.Certificate) {
	if b.Misspells(setting) {
		return
	}
	for _, dir := range ancestors(b.At.Filename) {
		if above := d.defaultBlocks[dir]; above != nil && above.Misspells(setting) {
			return
		}
	}
	list := d.lacks[setting]
	if n := len(list); n == 0 || *list[n-1].body.At != *b.At {
		d.lacks[setting] = append(list, lack{b, cert.Name})
	}
}

// reportWithout reports each missing setting once for all certificates, because the usual
// cause is one missing defaults block. It reports nothing while a file does not parse:
// that file may contain the defaults block.
func (d *decoder) reportWithout() {
	for _, setting := range []string{"issuer", "dns"} {
		list := d.lacks[setting]
		if len(list) == 0 || d.Broken {
			continue
		}
		how := setting + "." + "NAME, here or in a defaults block"
		if len(list) > 1 {
			how += "; " + list[1].name + " in " + list[1].body.At.Filename + " needs it too"
			if n := len(list) - 2; n > 0 {
				how += ", and " + text.Counted(n, "other certificate")
			}
		}
		if len(list) > 1 && len(d.defaults) == 0 {
			how += ". No defaults block was read: is this directory the root of the config repo?"
			list[0].body.Fault(list[0].body.At, "Missing setting", "A certificate block needs %s: %s", setting, how)
			continue
		}
		list[0].body.Missing(setting, how)
	}
}

// reportExcess reports a policy's max_certificates once, at the first certificate beyond
// it.
func (d *decoder) reportExcess() {
	for _, p := range d.policies {
		r := p.Excess
		if r == nil {
			continue
		}
		of := fmt.Sprintf("with %q there are %d", r.Name, p.Count)
		if !d.added[placeOf(*r.At)] {
			of = fmt.Sprintf("there are %d, in %s", p.Count, d.filesUnder(p))
		}
		r.Fault(r.At, policy.Forbidden, "%s allows %s, instances of for_each counted, and %s. Remove one, or have max_certificates raised.", text.UpperFirst(p.String()), text.Counted(p.Most, "certificate"), of)
	}
}

// filesUnder lists the files with certificates under a policy, at most three by name.
func (d *decoder) filesUnder(p *policy.Policy) string {
	var files []string
	for _, c := range d.spec.Certificates {
		if !slices.Contains(files, c.File) && slices.Contains(d.policiesFor(c.File), p) {
			files = append(files, c.File)
		}
	}
	slices.Sort(files)
	if more := len(files) - 3; more > 0 {
		files = append(files[:3], fmt.Sprintf("%d more", more))
	}
	return strings.Join(files, ", ")
}
