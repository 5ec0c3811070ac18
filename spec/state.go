package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxDiagnostics is how many mistakes, and how many warnings, are shown.
const maxDiagnostics = 1_000

// scope is what the blocks of one revision share while they are read: what was found
// wrong with them, what evaluating them may still cost, and the names that their
// expressions can refer to.
type scope struct {
	diags hcl.Diagnostics
	seen  map[string]bool // diagnostics already reported
	// reported counts the diagnostics.
	reported  map[hcl.DiagnosticSeverity]int
	faults    int // mistakes, those of each certificate of a for_each counted
	exhausted bool
	budget    *budget
	meter     meter

	known   bool              // certroll.hcl is at hand; see Trust
	inForce bool              // the revision was in force before; see Trust
	holds   map[string][]Hold // by subject, of NewRules; see refuseNew
	// broken: a file did not parse, so that what it declares is not known.
	broken       bool
	sources      map[string][]byte // by path
	issuerBlocks map[string]declared
	dnsBlocks    map[string]declared
	localAttrs   map[string]*hclsyntax.Attribute
}

func newScope(b *budget, trust Trust) *scope {
	return &scope{
		budget: b, meter: meter{b}, known: trust.Known, inForce: trust.InForce,
		seen: map[string]bool{}, reported: map[hcl.DiagnosticSeverity]int{}, holds: map[string][]Hold{}, sources: map[string][]byte{},
		issuerBlocks: map[string]declared{}, dnsBlocks: map[string]declared{}, localAttrs: map[string]*hclsyntax.Attribute{},
	}
}

// declared is an issuer or dns block.
type declared struct {
	block   *hclsyntax.Block
	trusted bool
}

// reader reads the settings of one block, each once, and knows in the end which
// of them nobody asked for.
type reader struct {
	scope  *scope
	ctx    *hcl.EvalContext
	src    *hclsyntax.Body
	what   string          // "certificate block"
	at     *hcl.Range      // the header: where something is missing
	whole  *hcl.Range      // the outermost block: the context of a mistake
	asked  map[string]bool // settings
	within map[string]bool // inner blocks
	// subject is what a Hold found in the block concerns, as "dns.NAME".
	subject string
	// restricts says that what is left out of the block is not limited, so that null
	// must not pass for it.
	restricts bool
}

// setting is one that may have been left out.
type setting[T any] struct {
	v  T
	at *hcl.Range
	ok bool
}

// or takes another one where this was left out; a bad one was not.
func (s setting[T]) or(other setting[T]) setting[T] {
	if s.at != nil {
		return s
	}
	return other
}

// element is one of a list, with its place.
type element[T any] struct {
	v  T
	at *hcl.Range
}
