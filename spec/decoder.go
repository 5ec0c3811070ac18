package spec

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxDiagnostics is how many mistakes, and how many warnings, are shown.
const maxDiagnostics = 1_000

// decoder works on one revision.
type decoder struct {
	trust  Trust
	spec   Spec
	diags  hcl.Diagnostics
	seen   map[string]bool // diagnostics already reported
	budget *budget
	meter  meter
	// reported counts the diagnostics.
	reported map[hcl.DiagnosticSeverity]int
	// broken: a file did not parse, so that what it declares is not known.
	broken bool
	// lacks are the certificates that neither state a setting nor get it from defaults.
	lacks     map[string][]lack
	holds     map[string][]Hold // by subject, of NewRules; see refuseNew
	exhausted bool
	// references are the vault() of the config repo.
	references []repoReference
	// realLeft is what evaluating fields on a real pair may still cost.
	realLeft int64
	faults   int // mistakes, those of each certificate of a for_each counted

	functions    map[string]function.Function
	files        []parsed
	sources      map[string][]byte // by path
	issuerBlocks map[string]declared
	dnsBlocks    map[string]declared
	policies     []*policy
	// underPolicies are those of a file that was asked for already.
	underPolicies map[string][]*policy
	localAttrs    map[string]*hclsyntax.Attribute
	locals        map[string]cty.Value
	defaults      map[string]*partial // by directory
	added         map[place]bool      // headers of the blocks that Trust.Before does not have
	ctx           *hcl.EvalContext    // of the repo's files
	trustedCtx    *hcl.EvalContext    // of the reconciler's own
}

// parsed is a file that may be looked into.
type parsed struct {
	path    string
	body    *hclsyntax.Body
	trusted bool
	rest    bool // another parsed has the first blocks of this file
}

// declared is an issuer or dns block.
type declared struct {
	block   *hclsyntax.Block
	trusted bool
}

// place is where a block's header begins.
type place struct {
	file string
	at   int // byte
}

func placeOf(r hcl.Range) place { return place{r.Filename, r.Start.Byte} }

// lack is a certificate with something that is reported later, with others: it lacks
// a setting that it needs, or is one too many.
type lack struct {
	body *body
	name string
}

// repoReference is one of the config repo, and the block that it stands in.
type repoReference struct {
	Value
	in *body
}

// body reads the settings of one block, each once, and knows in the end which
// of them nobody asked for.
type body struct {
	d      *decoder
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

// policy is a policy block of certroll.hcl: what the files of the config repo
// that its globs match may ask for. A nil list and a zero number limit nothing.
type policy struct {
	name  string
	at    hcl.Range
	files []string
	// blocks are the types of blocks that may stand in the files; nil limits
	// none. Those that say where credentials are sent may stand only where one
	// of a file's policies names them.
	blocks   []string
	patterns []namePattern
	limited  bool // the names are: patterns is what was said, even if it is nothing
	issuers  []string
	dns      []string
	vault    []string // prefixes of mount and path
	// passwords are what keystores may take their passwords from: prefixes of
	// mount and path, and after "env:" of names of variables.
	passwords []string
	minKey    string
	most      int // certificates of all its files together
	// Each is allowed unless the policy says that it is not.
	wildcards, revoke, reuseKeys, pauses, probes bool

	count  int   // certificates found
	excess *lack // the first beyond the maximum
}

func (p *policy) String() string {
	return fmt.Sprintf("policy %q (%s:%d)", p.name, p.at.Filename, p.at.Start.Line)
}

// certificates are those found so far, by what must be unique.
type certificates struct {
	*decoder
	blocks map[string]*hclsyntax.Block
	names  map[string]*Certificate // in lower case: names become file names
	paths  map[string]*Certificate // mount and path
	moves  moves
	cautions
}

// move is one moved block.
type move struct {
	from, to     string
	file         string
	fromAt, toAt *hcl.Range
	whole        *hcl.Range
}

// place is where the block stands, for a message.
func (m *move) place() string {
	return fmt.Sprintf("%s:%d", m.whole.Filename, m.whole.Start.Line)
}

// moves are the moved blocks by the name that they lead to, and by the one that they
// lead from.
type moves struct {
	list     []*move
	to, from map[string]*move
	steps    []moveStep
}

// moveStep is one former name of one certificate, and the block that says so.
type moveStep struct {
	former, heir string
	by           *move
}

// caution is what a public CA refuses in the names of one place: the instances of a
// for_each share one.
type caution struct {
	summary, why string
	issuers      []string // each once
	names        []string // each once, as typed
	at, block    *hcl.Range
}

// cautions gathers them. The zero value is ready.
type cautions struct {
	list  []*caution
	index map[string]*caution
	more  int // places beyond mostCautions
}

func newDecoder(ctx context.Context, files []File, trust Trust) *decoder {
	trust.Mount = cmp.Or(trust.Mount, "secret")
	trust.State = cmp.Or(trust.State, "certroll")
	if trust.Env == nil {
		trust.Env = []string{"CERTROLL_DNS_"}
	}
	size := 0
	for _, f := range slices.Concat(files, trust.Files) {
		size += len(f.Bytes)
	}
	b := newBudget(ctx, min(size, MaxTotalSize), trust.InForce)
	m := meter{b}
	return &decoder{
		trust: trust, seen: map[string]bool{}, reported: map[hcl.DiagnosticSeverity]int{}, budget: b, meter: m, functions: functionsOf(m, noFileFunc), realLeft: b.all, holds: map[string][]Hold{}, lacks: map[string][]lack{}, added: map[place]bool{},
		spec:         Spec{Issuers: map[string]*Issuer{}, DNS: map[string]*DNSAccount{}},
		issuerBlocks: map[string]declared{}, dnsBlocks: map[string]declared{},
		sources: map[string][]byte{}, underPolicies: map[string][]*policy{},
		localAttrs: map[string]*hclsyntax.Attribute{}, locals: map[string]cty.Value{}, defaults: map[string]*partial{},
		trustedCtx: &hcl.EvalContext{Functions: functionsOf(m, fileFunc), Variables: map[string]cty.Value{}},
	}
}
