package block

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec"
	"certroll/spec/eval"
)

// MaxDiagnostics is how many mistakes, and how many warnings, are shown.
const MaxDiagnostics = 1_000

// Scope is what the blocks of one revision share while they are read: what was found
// wrong with them, what evaluating them may still cost, and the names that their
// expressions can refer to.
type Scope struct {
	Diags hcl.Diagnostics
	seen  map[string]bool // diagnostics already reported
	// reported counts the diagnostics.
	reported  map[hcl.DiagnosticSeverity]int
	faults    int // mistakes, those of each certificate of a for_each counted
	Exhausted bool
	Budget    *eval.Budget
	Meter     eval.Meter

	known   bool                   // certroll.hcl is at hand; see Trust
	inForce bool                   // the revision was in force before; see Trust
	Holds   map[string][]spec.Hold // by subject, of NewRules; see RefuseNew
	// Broken: a file did not parse, so that what it declares is not known.
	Broken       bool
	Sources      map[string][]byte // by path
	IssuerBlocks map[string]Declared
	DNSBlocks    map[string]Declared
	LocalAttrs   map[string]*hclsyntax.Attribute
}

// NewScope begins a revision: nothing is declared, and nothing wrong.
func NewScope(b *eval.Budget, trust spec.Trust) *Scope {
	return &Scope{
		Budget: b, Meter: eval.Meter{Budget: b}, known: trust.Known, inForce: trust.InForce,
		seen: map[string]bool{}, reported: map[hcl.DiagnosticSeverity]int{}, Holds: map[string][]spec.Hold{}, Sources: map[string][]byte{},
		IssuerBlocks: map[string]Declared{}, DNSBlocks: map[string]Declared{}, LocalAttrs: map[string]*hclsyntax.Attribute{},
	}
}

// Declared is an issuer or dns block.
type Declared struct {
	Block   *hclsyntax.Block
	Trusted bool
}

// Reader reads the settings of one block, each once, and knows in the end which
// of them nobody asked for.
type Reader struct {
	scope   *Scope
	Context *hcl.EvalContext
	Syntax  *hclsyntax.Body
	what    string          // "certificate block"
	At      *hcl.Range      // the header: where something is missing
	Whole   *hcl.Range      // the outermost block: the context of a mistake
	Asked   map[string]bool // settings
	Within  map[string]bool // inner blocks
	// Subject is what a Hold found in the block concerns, as "dns.NAME".
	Subject string
	// Restricts says that what is left out of the block is not limited, so that null
	// must not pass for it.
	Restricts bool
}

// Setting is one that may have been left out.
type Setting[T any] struct {
	Value T
	At    *hcl.Range
	OK    bool
}

// Or takes another one where this was left out; a bad one was not.
func (s Setting[T]) Or(other Setting[T]) Setting[T] {
	if s.At != nil {
		return s
	}
	return other
}

// Element is one of a list, with its place.
type Element[T any] struct {
	Value T
	At    *hcl.Range
}
