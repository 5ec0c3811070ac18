package decode

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/eval"
	"certroll/spec/policy"
)

// decoder holds the state of decoding one revision.
type decoder struct {
	*block.Scope
	trust spec.Trust
	spec  spec.Spec
	// lacks lists, by setting, the certificates without it, neither stated nor from
	// defaults.
	lacks map[string][]lack
	// references are the vault() references of the config repo; checkReferences checks
	// them once all targets are known.
	references []repoReference
	// realLeft is the number of steps left for TryReal in this revision.
	realLeft int64

	functions map[string]function.Function
	files     []parsed
	policies  []*policy.Policy
	// underPolicies caches the result of policiesFor by file.
	underPolicies map[string][]*policy.Policy
	locals        map[string]cty.Value
	defaults      map[string]*partial // by directory
	defaultBlocks map[string]*body    // by directory
	added         map[place]bool      // headers of the blocks that Trust.Before lacks
	ctx           *hcl.EvalContext    // for the repo's files
	trustedCtx    *hcl.EvalContext    // for the reconciler's own files
}

// parsed is a file without syntax errors, or a part of one; see oldFirst.
type parsed struct {
	path    string
	body    *hclsyntax.Body
	trusted bool
	rest    bool // another parsed contains the first blocks of this file
}

// place is the start of a block's header.
type place struct {
	file string
	at   int // byte
}

func placeOf(r hcl.Range) place { return place{r.Filename, r.Start.Byte} }

// lack is a certificate block without a required setting.
type lack struct {
	body *body
	name string
}

// repoReference is a reference of the config repo, with its block.
type repoReference struct {
	spec.Value
	in *body
}

// body reads the settings of one block.
type body struct {
	*block.Reader
	d *decoder
}

func (d *decoder) body(b *hclsyntax.Block, ctx *hcl.EvalContext) *body {
	return &body{block.NewReader(d.Scope, b, ctx), d}
}

// block returns the inner block of a type, or nil. It reports a second one.
func (b *body) block(name string) *body {
	if in := b.Reader.Block(name); in != nil {
		return &body{in, b.d}
	}
	return nil
}

// certificates indexes the certificates decoded so far by everything that must be unique.
type certificates struct {
	*decoder
	blocks map[string]*hclsyntax.Block
	names  map[string]*spec.Certificate // in lower case, because names become file names
	paths  map[string]*spec.Certificate // mount and path
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

// place returns the block's file and line, for a message.
func (m *move) place() string {
	return fmt.Sprintf("%s:%d", m.whole.Filename, m.whole.Start.Line)
}

// moves indexes the moved blocks by their new and by their old name.
type moves struct {
	list     []*move
	to, from map[string]*move
	steps    []moveStep
}

// moveStep is one former name of a certificate, with the block that declares it.
type moveStep struct {
	former, heir string
	by           *move
}

// caution is a warning about names in one place that public CAs refuse. The instances of
// a for_each share it.
type caution struct {
	summary, why string
	issuers      []string // without duplicates
	names        []string // without duplicates, as typed
	at, block    *hcl.Range
}

// cautions collects the warnings. The zero value is ready for use.
type cautions struct {
	list  []*caution
	index map[string]*caution
	more  int // places beyond mostCautions
}

func newDecoder(ctx context.Context, files []spec.File, trust spec.Trust) *decoder {
	trust.Mount = cmp.Or(trust.Mount, "secret")
	trust.State = cmp.Or(trust.State, "certroll")
	if trust.Env == nil {
		trust.Env = []string{"CERTROLL_DNS_"}
	}
	size := 0
	for _, f := range slices.Concat(files, trust.Files) {
		size += len(f.Bytes)
	}
	b := eval.NewBudget(ctx, min(size, spec.MaxTotalSize), trust.InForce)
	s := block.NewScope(b, trust)
	return &decoder{
		Scope: s, trust: trust, functions: functionsOf(s.Meter, noFileFunc), realLeft: b.Steps,
		lacks: map[string][]lack{}, added: map[place]bool{}, underPolicies: map[string][]*policy.Policy{},
		spec:   spec.Spec{Issuers: map[string]*spec.Issuer{}, DNS: map[string]*spec.DNSAccount{}},
		locals: map[string]cty.Value{}, defaults: map[string]*partial{}, defaultBlocks: map[string]*body{},
		trustedCtx: &hcl.EvalContext{Functions: functionsOf(s.Meter, fileFunc), Variables: map[string]cty.Value{}},
	}
}

func (d *decoder) contextOf(decl block.Declared) *hcl.EvalContext {
	if decl.Trusted {
		return d.trustedCtx
	}
	return d.ctx
}

// firstEnv returns an allowed prefix of variables, for examples in messages.
func (d *decoder) firstEnv() string {
	return cmp.Or(strings.Join(d.trust.Env[:min(1, len(d.trust.Env))], ""), "CERTROLL_DNS_")
}

// sourceOf returns the source text of an expression.
func (d *decoder) sourceOf(e hcl.Expression) []byte {
	r := e.Range()
	return r.SliceBytes(d.Sources[r.Filename])
}

// ancestors returns the directories above a file, the nearest first, up to the root.
func ancestors(file string) []string {
	var dirs []string
	for dir := path.Dir(file); ; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == "." || dir == "/" {
			return dirs
		}
	}
}

func sortedAttributes(b *hclsyntax.Body) []*hclsyntax.Attribute {
	list := make([]*hclsyntax.Attribute, 0, len(b.Attributes))
	for _, a := range b.Attributes {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *hclsyntax.Attribute) int { return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte) })
	return list
}
