package decode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/policy"
	"certroll/spec/text"
)

// A moved block declares that a certificate, or all certificates of a for_each, have a
// new name. The decoder only records it; package reconcile applies it to the ledger and
// Vault.
//
//	moved { from = "checkout"     to = "basket" }
//	moved { from = "shop.porto"   to = "shop.lisbon" }   one key of a for_each
//	moved { from = "shop"         to = "store" }         all keys: shop.KEY -> store.KEY

// maxMoves is the longest chain of moved blocks.
const maxMoves = 32

func (c *certificates) decodeMoves() {
	c.moves = moves{to: map[string]*move{}, from: map[string]*move{}}
	for _, f := range c.files {
		for _, block := range f.body.Blocks {
			if block.Type == "moved" && !f.trusted && !c.Over() {
				c.decodeMove(f, block)
			}
		}
	}
	c.refuseCycles()
}

// decodeMove decodes a moved block. Each name may move once and have one former name, so
// that chains of moves have no branches.
func (c *certificates) decodeMove(f parsed, block *hclsyntax.Block) {
	c.noLabels(block)
	b := c.body(block, c.ctx)
	from, to := b.movedName("from"), b.movedName("to")
	b.Finish()
	if !from.OK || !to.OK {
		return
	}
	m := &move{from: from.Value, to: to.Value, file: f.path, fromAt: from.At, toAt: to.At, whole: b.Whole}
	switch first, second := c.moves.from[m.from], c.moves.to[m.to]; {
	case first != nil:
		b.Fault(from.At, "Duplicate name", "%q moved to %q already, by the block at %s; leave one of them out.", m.from, first.to, first.place())
	case second != nil:
		b.Fault(to.At, "Duplicate name", "%q moved to %q already, by the block at %s; a certificate has one former name.", second.from, m.to, second.place())
	default:
		c.moves.from[m.from], c.moves.to[m.to] = m, m
		c.moves.list = append(c.moves.list, m)
	}
}

func (b *body) movedName(name string) block.Setting[string] {
	s := b.Text(name)
	switch {
	case s.At == nil:
		b.Missing(name, "the name of a certificate, as in "+name+" = \"shop\" or \"shop.porto\"")
	case s.OK && !spec.IsCertificateName(s.Value):
		b.Fault(s.At, "Invalid name", "%q is no name of a certificate.", text.Short(s.Value))
		s.OK = false
	}
	return s
}

// refuseCycles reports each cycle of moved blocks once, and removes it so that
// formerNames ends. Each name has at most one block from it and one to it, so a path has
// no branches.
func (c *certificates) refuseCycles() {
	seen := map[*move]bool{}
	for _, first := range c.moves.list {
		var path []*move
		for m := first; m != nil && !seen[m]; m = c.moves.from[m.to] {
			seen[m] = true
			path = append(path, m)
		}
		if len(path) == 0 || path[len(path)-1].to != first.from {
			continue
		}
		steps := make([]string, 0, maxMoves)
		for _, m := range path {
			delete(c.moves.to, m.to)
			if len(steps) < maxMoves {
				steps = append(steps, fmt.Sprintf("%q to %q at %s", m.from, m.to, m.place()))
			}
		}
		c.Fault(first.toAt, first.whole, "Cycle of moved blocks", "These moved blocks lead in a circle: %s. Leave out those whose move is done.", strings.Join(steps, ", "))
	}
}

// formerNames returns the former names of a certificate, the most recent first. key is
// its for_each key, or "".
func (c *certificates) formerNames(file, name, key string) []string {
	var names []string
	heir, block := name, name
	if key != "" {
		block = strings.TrimSuffix(name, "."+key)
	}
	for {
		m := c.moves.to[name]
		switch {
		case m != nil:
			block, key = splitAs(m.from, block)
		case key != "" && c.moves.to[block] != nil:
			m = c.moves.to[block]
			block = m.from
		default:
			return names
		}
		if !slices.Equal(c.policiesFor(m.file), c.policiesFor(file)) {
			c.Fault(m.toAt, m.whole, policy.Forbidden, "The moved block in %s is about a certificate in %s, and other policies are for that file; write it there.", m.file, file)
			return names
		}
		if name = block; key != "" {
			name += "." + key
		}
		c.moves.steps = append(c.moves.steps, moveStep{former: name, heir: heir, by: m})
		if names = append(names, name); len(names) > maxMoves {
			c.Fault(m.toAt, m.whole, "Too many moved blocks", "More than %d moved blocks follow one another; leave out those whose move is done.", maxMoves)
			return names
		}
	}
}

// splitAs splits the name of a for_each certificate of the given block into block and
// key. Any other name is a block of its own.
func splitAs(name, block string) (string, string) {
	if key, ok := strings.CutPrefix(name, block+"."); ok {
		return block, key
	}
	return name, ""
}

// checkMoves checks that the old name of each moved block is gone, and warns if its new
// name does not exist.
func (c *certificates) checkMoves() {
	reported := map[hcl.Range]bool{}
	for _, m := range c.moves.list {
		if at := c.declares(m.from); at != nil {
			reported[*at] = true
			c.Fault(m.fromAt, m.whole, "Moved and still there", "%q moved to %q, and is still there, at %s:%d; remove that block, or this one.", m.from, m.to, at.Filename, at.Start.Line)
		}
		if c.declares(m.to) == nil && c.moves.from[m.to] == nil {
			c.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Moved to nowhere", Subject: m.toAt, Context: m.whole,
				Detail: fmt.Sprintf("There is no certificate %q, so this block does nothing. Correct the name, or remove the block.", m.to)})
		}
	}
	c.checkSteps(reported)
}

// checkSteps checks each certificate of a for_each that moved as a whole: its former name
// must be gone, and no other certificate may have the same former name. told are the
// places that checkMoves already reported.
func (c *certificates) checkSteps(reported map[hcl.Range]bool) {
	first := map[string]moveStep{}
	for _, s := range c.moves.steps {
		if at := c.declares(s.former); at != nil && !reported[*at] {
			reported[*at] = true
			c.Fault(s.by.fromAt, s.by.whole, "Moved and still there", "%q moved to %q by this block, and is still there, at %s:%d; remove that certificate, or move the keys one by one.", s.former, s.heir, at.Filename, at.Start.Line)
		}
		switch other, twice := first[s.former]; {
		case !twice:
			first[s.former] = s
		case other.heir != s.heir:
			c.Fault(s.by.fromAt, s.by.whole, "Duplicate name", "%q moved to %q already, by the block at %s, and %q cannot go on from it too; leave one of the blocks out, or move the keys one by one.", s.former, other.heir, other.by.place(), s.heir)
		}
	}
}

// declares returns the place of the certificate, or of the block with for_each, that has
// this name; nil if there is none.
func (c *certificates) declares(name string) *hcl.Range {
	if b := c.blocks[name]; b != nil {
		return b.DefRange().Ptr()
	}
	if cert := c.names[strings.ToLower(name)]; cert != nil && cert.Name == name {
		return &cert.Range
	}
	return nil
}
