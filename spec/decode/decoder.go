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

// decoder works on one revision.
type decoder struct {
	*block.Scope
	trust spec.Trust
	spec  spec.Spec
	// lacks are the certificates that neither state a setting nor get it from defaults.
	lacks map[string][]lack
	// references are the vault() of the config repo.
	references []repoReference
	// realLeft is what evaluating fields on a real pair may still cost.
	realLeft int64

	functions map[string]function.Function
	files     []parsed
	policies  []*policy.Policy
	// underPolicies are those of a file that was asked for already.
	underPolicies map[string][]*policy.Policy
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

// place is where a block's header begins.
type place struct {
	file string
	at   int // byte
}

func placeOf(r hcl.Range) place { return place{r.Filename, r.Start.Byte} }

// lack is a certificate block without a setting that it needs.
type lack struct {
	body *body
	name string
}

// repoReference is one of the config repo, and the block that it stands in.
type repoReference struct {
	spec.Value
	in *body
}

// body is a block that a decoder reads.
type body struct {
	*block.Reader
	d *decoder
}

func (d *decoder) body(b *hclsyntax.Block, ctx *hcl.EvalContext) *body {
	return &body{block.NewReader(d.Scope, b, ctx), d}
}

// block is the inner block of that type, nil where there is none; there may be
// one at most.
func (b *body) block(name string) *body {
	if in := b.Reader.Block(name); in != nil {
		return &body{in, b.d}
	}
	return nil
}

// certificates are those found so far, by what must be unique.
type certificates struct {
	*decoder
	blocks map[string]*hclsyntax.Block
	names  map[string]*spec.Certificate // in lower case: names become file names
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
		locals: map[string]cty.Value{}, defaults: map[string]*partial{},
		trustedCtx: &hcl.EvalContext{Functions: functionsOf(s.Meter, fileFunc), Variables: map[string]cty.Value{}},
	}
}

func (d *decoder) contextOf(decl block.Declared) *hcl.EvalContext {
	if decl.Trusted {
		return d.trustedCtx
	}
	return d.ctx
}

// firstEnv is a prefix for examples.
func (d *decoder) firstEnv() string {
	return cmp.Or(strings.Join(d.trust.Env[:min(1, len(d.trust.Env))], ""), "CERTROLL_DNS_")
}

// sourceOf is the text of an expression, as its file has it.
func (d *decoder) sourceOf(e hcl.Expression) []byte {
	r := e.Range()
	return r.SliceBytes(d.Sources[r.Filename])
}

// ancestors are the directories of a file, nearest first, up to the root.
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
