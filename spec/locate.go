package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Locator finds where a setting of a block stands in the files of a revision.
type Locator struct {
	sources map[string][]byte
	bodies  map[string]*hclsyntax.Body // parsed so far; nil: it does not parse
}

// NewLocator makes a locator for files that were decoded.
func NewLocator(files []File) *Locator {
	l := &Locator{sources: make(map[string][]byte, len(files)), bodies: map[string]*hclsyntax.Body{}}
	for _, f := range files {
		l.sources[f.Path] = f.Bytes
	}
	return l
}

// Setting is where a setting, "domains" or "key.rotation", of the block with
// this header stands. Where it is left out there, as one that a defaults block
// says, it is the header itself.
//
// A nil Locator knows no more than the header.
func (l *Locator) Setting(header hcl.Range, field string) hcl.Range {
	if l == nil {
		return header
	}
	body := l.body(header.Filename)
	if body == nil {
		return header
	}
	for _, b := range body.Blocks {
		if b.DefRange() == header {
			if at := find(b.Body, field); at != nil {
				return *at
			}
			break
		}
	}
	return header
}

func (l *Locator) body(file string) *hclsyntax.Body {
	if b, done := l.bodies[file]; done {
		return b
	}
	l.bodies[file] = nil
	src, ok := l.sources[file]
	if ok {
		l.bodies[file], _ = Parse(File{file, src})
	}
	return l.bodies[file]
}

// find goes down the parts of a field as far as the body has them.
func find(body *hclsyntax.Body, field string) *hcl.Range {
	name, rest, _ := strings.Cut(field, ".")
	if a := body.Attributes[name]; a != nil {
		return a.NameRange.Ptr()
	}
	for _, b := range body.Blocks {
		if b.Type != name {
			continue
		}
		if rest != "" {
			if at := find(b.Body, rest); at != nil {
				return at
			}
		}
		return b.TypeRange.Ptr()
	}
	return nil
}
