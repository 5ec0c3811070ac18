package block

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec"
	"certroll/spec/eval"
)

// MaxDiagnostics is the number of mistakes, and of warnings, that certroll shows.
const MaxDiagnostics = 1_000

// Scope is the state that the blocks of one revision share during decoding: the
// diagnostics, the remaining steps, and the names that expressions can refer to.
type Scope struct {
	Diags hcl.Diagnostics
	seen  map[string]bool // diagnostics already reported
	// reported counts the diagnostics by severity.
	reported  map[hcl.DiagnosticSeverity]int
	faults    int // mistakes, counted for each certificate of a for_each
	Exhausted bool
	Budget    *eval.Budget
	Meter     eval.Meter

	known   bool                   // certroll.hcl is available; see Trust
	inForce bool                   // the revision was in force before; see Trust
	Holds   map[string][]spec.Hold // by subject, of NewRules; see RefuseNew
	// Broken is set if a file did not parse: its declarations are unknown.
	Broken       bool
	Sources      map[string][]byte // by path
	IssuerBlocks map[string]Declared
	DNSBlocks    map[string]Declared
	LocalAttrs   map[string]*hclsyntax.Attribute
}

// NewScope returns an empty scope for a revision.
func NewScope(b *eval.Budget, trust spec.Trust) *Scope {
	return &Scope{
		Budget: b, Meter: eval.Meter{Budget: b}, known: trust.Known, inForce: trust.InForce,
		seen: map[string]bool{}, reported: map[hcl.DiagnosticSeverity]int{}, Holds: map[string][]spec.Hold{}, Sources: map[string][]byte{},
		IssuerBlocks: map[string]Declared{}, DNSBlocks: map[string]Declared{}, LocalAttrs: map[string]*hclsyntax.Attribute{},
	}
}

// Declared is an issuer or dns block, and whether it stands in certroll.hcl.
type Declared struct {
	Block   *hclsyntax.Block
	Trusted bool
}

// Reader reads the settings of one block, each once, and remembers which it read.
type Reader struct {
	scope   *Scope
	Context *hcl.EvalContext
	Syntax  *hclsyntax.Body
	what    string          // "certificate block"
	At      *hcl.Range      // the header: the place of a missing setting
	Whole   *hcl.Range      // the outermost block: the context of a mistake
	Asked   map[string]bool // settings that were read
	Within  map[string]bool // inner blocks that were read

	finished bool
	absent   []absence       // required settings that are left out
	misspelt map[string]bool // settings that a mistake of Finish is about
	// Subject is the subject of holds found in the block, such as "dns.NAME".
	Subject string
	// Restricts is set if a setting left out of the block limits nothing, so that null
	// must not count as left out.
	Restricts bool
}

// absence is a required setting that is left out, and what belongs there.
type absence struct{ name, how string }

// Setting is the result of reading a setting. At is nil if the setting is left out, and
// OK is false if it is left out or invalid.
type Setting[T any] struct {
	Value T
	At    *hcl.Range
	OK    bool
}

// Or returns other if s is left out. An invalid setting is not left out.
func (s Setting[T]) Or(other Setting[T]) Setting[T] {
	if s.At != nil {
		return s
	}
	return other
}

// Element is one element of a list, with its place.
type Element[T any] struct {
	Value T
	At    *hcl.Range
}
