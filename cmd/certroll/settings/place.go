package settings

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec/hint"
)

// place returns the range of a setting in certroll.hcl, such as "vault.parallel"; else
// the range of its innermost existing block, or otherwise.
func (s *Settings) place(setting string, otherwise hcl.Range) hcl.Range {
	body := s.body
	for name := range strings.SplitSeq(setting, ".") {
		if body == nil {
			return otherwise
		}
		if a := body.Attributes[name]; a != nil {
			return a.SrcRange
		}
		inner := blockNamed(body, name)
		if inner == nil {
			return otherwise
		}
		otherwise, body = inner.DefRange(), inner.Body
	}
	return otherwise
}

func blockNamed(body *hclsyntax.Body, name string) *hclsyntax.Block {
	for _, b := range body.Blocks {
		if b.Type == name {
			return b
		}
	}
	return nil
}

// explainUnsupported adds two hints to the errors about unknown settings and blocks: the
// name here of another tool's setting, and the page with all settings.
func explainUnsupported(body *hclsyntax.Body, src []byte, diags hcl.Diagnostics) {
	for _, d := range diags {
		if !strings.HasPrefix(d.Summary, "Unsupported ") || d.Subject == nil {
			continue
		}
		name := string(d.Subject.SliceBytes(src))
		if here := hint.Familiar(kindAt(body, d.Subject.Start.Byte), name); here != "" && !strings.Contains(d.Detail, "Did you mean") {
			d.Detail += " " + here
		}
		d.Detail += " docs/certroll.md has all settings."
	}
}

// misspeltOnce drops the errors about missing settings that their block misspells: the
// error about the unknown name suggests the right one.
func misspeltOnce(body *hclsyntax.Body, src []byte, diags hcl.Diagnostics) hcl.Diagnostics {
	means := func(d *hcl.Diagnostic, name string) bool {
		kind, typed := kindAt(body, d.Subject.Start.Byte), string(d.Subject.SliceBytes(src))
		return strings.Contains(d.Detail, "Did you mean "+strconv.Quote(name)) || hint.Meant(kind, typed, nil) == name
	}
	return slices.DeleteFunc(slices.Clone(diags), func(missing *hcl.Diagnostic) bool {
		if missing.Summary != "Missing required argument" || missing.Subject == nil {
			return false
		}
		_, rest, _ := strings.Cut(missing.Detail, `"`)
		name, _, _ := strings.Cut(rest, `"`)
		at := missing.Subject.Start.Byte + 1 // hcl places it at the opening brace
		return slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool {
			return strings.HasPrefix(d.Summary, "Unsupported ") && d.Subject != nil && innermost(body, d.Subject.Start.Byte) == innermost(body, at) && means(d, name)
		})
	})
}

// innermost returns the innermost block whose braces contain a byte; nil if none do.
func innermost(body *hclsyntax.Body, at int) (found *hclsyntax.Block) {
	for next := blockAt(body, at); next != nil; next = blockAt(next.Body, at) {
		found = next
	}
	return found
}

// kindAt returns the block that contains a byte of certroll.hcl, in hint.Familiar's
// terms.
func kindAt(body *hclsyntax.Body, at int) string {
	var kinds []string
	for within := body; within != nil; {
		next := blockAt(within, at)
		if next == nil {
			break
		}
		kinds, within = append(kinds, next.Type), next.Body
	}
	if kind := strings.Join(kinds, "."); kind != "vault" {
		return kind
	}
	return "settings.vault"
}

// blockAt returns the block whose braces contain a byte; nil if none do.
func blockAt(body *hclsyntax.Body, at int) *hclsyntax.Block {
	for _, b := range body.Blocks {
		if b.OpenBraceRange.Start.Byte < at && at < b.CloseBraceRange.End.Byte {
			return b
		}
	}
	return nil
}

// apartFrom drops errors inside a block that failed to decode: they may only be
// consequences.
func apartFrom(wrong hcl.Diagnostics, body *hclsyntax.Body, diags hcl.Diagnostics) (rest hcl.Diagnostics) {
	doubtful := map[string]bool{}
	top := func(r *hcl.Range) string {
		for _, b := range body.Blocks {
			if r != nil && b.TypeRange.Start.Byte <= r.Start.Byte && r.Start.Byte < b.CloseBraceRange.End.Byte {
				return b.TypeRange.String()
			}
		}
		return ""
	}
	for _, d := range wrong {
		doubtful[top(d.Subject)] = true
	}
	for _, d := range diags {
		if in := top(d.Subject); in == "" || !doubtful[in] || d.Summary == "Unknown auth method" {
			rest = append(rest, d)
		}
	}
	return rest
}
