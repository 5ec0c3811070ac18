package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Locator finds the line and column of a block's setting in the files of a revision.
type Locator struct {
	sources map[string][]byte
	bodies  map[string]*hclsyntax.Body // parsed so far; nil if the file does not parse
}

// NewLocator returns a locator for the files that a spec was decoded from.
func NewLocator(files []File) *Locator {
	l := &Locator{sources: make(map[string][]byte, len(files)), bodies: map[string]*hclsyntax.Body{}}
	for _, f := range files {
		l.sources[f.Path] = f.Bytes
	}
	return l
}

// Setting returns the range of a setting, "domains" or "key.rotation", in the block with
// this header. It returns the header if the block lacks the setting (a defaults block may
// provide it), if the file does not parse, or if l is nil.
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

// body parses a file once and remembers the result, also a failure.
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

// find descends the parts of a field as far as the body contains them. It returns nil if
// the body lacks the first part.
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
