package spec

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"certroll/spec/text"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// File is one file of the config repo.
type File struct {
	Path  string // relative to the config directory, with slashes
	Bytes []byte
}

// Trust says what the files of the config repo may reach. It comes from the
// reconciler's own settings, never from the repo. The zero value is strict.
type Trust struct {
	// Known is whether those settings are at hand. Without them (a laptop, the
	// CI of a fork) the limits are not checked, and one warning says so.
	Known    bool
	Own      []string   // the reconciler's own variables, which env() never reaches
	Env      []string   // prefixes of names that env() may reach; nil: CERTROLL_DNS_
	Vault    []string   // prefixes of paths that vault() may reach, as "secret/dns/"; nil: none
	HTTPReq  bool       // whether the DNS provider httpreq, which posts anywhere, may be used
	Webroots []string   // directories that a webroot may lie in; nil: none
	Mount    string     // the KV v2 mount of certificates that name none; "": secret
	Probe    ProbeRules // where the endpoints of certificates may be, besides their own names at public addresses
	State    string     // the path of the reconciler's own state below any mount; "": certroll
	// Endpoints are the servers that issuer and dns blocks of the repo may name
	// besides well-known CAs and providers' own; nil: none.
	Endpoints ProbeRules
	Ambient   bool // whether dns blocks of the repo may use the machine's identities
	// CNAMEZones are zones that CNAMEs at _acme-challenge may lead into.
	CNAMEZones []string
	// InForce says that the files were in force before, perhaps under an earlier
	// certroll: a NewRule then holds the certificates concerned and rejects nothing.
	InForce bool
	// Before are the files that these are a change of; nil: not known. Of two places that
	// cannot both stand, the mistake is told at the one that was not there before.
	Before []File
	// Files are the reconciler's own, whose issuer and dns blocks join those of
	// the repo. Their references are not limited. Their policy blocks say what
	// files of the repo may ask for; other blocks are left alone.
	Files []File
}

// Decode turns the files of one revision into a Spec. It finds every mistake
// at once; where there is an error the Spec is nil. Warnings may come with it.
//
// What it may cost is bounded in steps, by the size of the files. It ends soon
// after ctx does, by an error diagnostic that says so; parsing one file, of at
// most MaxFileSize, is the longest that it does without a look at ctx.
func Decode(ctx context.Context, files []File, trust Trust) (*Spec, hcl.Diagnostics) {
	d := newDecoder(ctx, files, trust)
	for _, step := range []func(){
		func() { d.parse(files) }, d.declare, d.decodePolicies, d.decodeIssuers, d.decodeDNS, d.checkFiles, d.decodeCertificates, d.checkReferences,
	} {
		if step(); d.over() {
			break
		}
	}
	d.settleHolds()
	if d.budget.stopped() && !d.exhausted { // between two evaluations
		d.exhausted = true
		d.late(nil, nil)
	}
	if !trust.Known {
		d.report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "References not checked",
			Detail: "There is no certroll.hcl at hand, so whether vault(), env(), httpreq, webroots, servers and endpoints stay within what the reconciler allows was not checked. Pass it with --config."})
	}
	d.sort()
	if d.diags.HasErrors() {
		return nil, d.diags
	}
	d.spec.policies = d.policies
	found := d.spec // a pointer into the decoder would keep the syntax trees of all files
	return &found, d.diags
}

// over tells whether there is no use in going on: the budget or the time has
// ended, or there are more mistakes than are shown.
func (d *decoder) over() bool {
	return d.exhausted || d.reported[hcl.DiagError] > maxDiagnostics || d.faults > 5*maxDiagnostics || d.budget.stopped()
}

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
		trust: trust, seen: map[string]bool{}, reported: map[hcl.DiagnosticSeverity]int{}, budget: b, meter: m, functions: m.functions(), realLeft: b.all, holds: map[string][]Hold{}, lacks: map[string][]lack{}, added: map[place]bool{},
		spec:         Spec{Issuers: map[string]*Issuer{}, DNS: map[string]*DNSAccount{}},
		issuerBlocks: map[string]declared{}, dnsBlocks: map[string]declared{},
		sources: map[string][]byte{}, underPolicies: map[string][]*policy{},
		localAttrs: map[string]*hclsyntax.Attribute{}, locals: map[string]cty.Value{}, defaults: map[string]*partial{},
		trustedCtx: &hcl.EvalContext{Functions: m.trustedFunctions(), Variables: map[string]cty.Value{}},
	}
}

// parse reads the syntax of all files.
func (d *decoder) parse(files []File) {
	total := 0
	for _, f := range files {
		total += len(f.Bytes)
	}
	if len(files) > MaxFiles || total > MaxTotalSize {
		d.broken = true
		d.fault(nil, nil, "Config repo too large", "There are %d files of %d bytes; at most %d files and %d bytes are read.", len(files), total, MaxFiles, MaxTotalSize)
		return
	}
	for _, f := range d.trust.Files {
		d.parseFile(f, true)
	}
	for _, f := range files {
		if d.over() {
			return
		}
		d.parseFile(f, false)
	}
	d.oldFirst()
}

func (d *decoder) parseFile(f File, trusted bool) {
	body, diags := Parse(f)
	d.report(diags...)
	if body == nil {
		d.broken = true
		return
	}
	d.sources[f.Path] = f.Bytes
	d.files = append(d.files, parsed{path: f.Path, body: body, trusted: trusted})
}

// declare takes stock of what can be referred to.
func (d *decoder) declare() {
	for _, f := range d.files {
		if !f.trusted {
			for _, a := range sortedAttributes(f.body) {
				d.fault(a.NameRange.Ptr(), nil, "Setting outside a block", "Settings stand in blocks; put %s into a locals block, and write local.%[1]s where it is used.", a.Name)
			}
		}
		for _, b := range f.body.Blocks {
			d.declareBlock(f, b)
		}
	}
	d.decodeLocals()
	d.ctx = &hcl.EvalContext{Functions: d.functions, Variables: map[string]cty.Value{
		"issuer": refObject("issuer", d.issuerBlocks), "dns": refObject("dns", d.dnsBlocks), "local": cty.ObjectVal(d.locals),
	}}
}

var blockTypes = []string{"locals", "defaults", "issuer", "dns", "certificate", "moved"}

func (d *decoder) declareBlock(f parsed, b *hclsyntax.Block) {
	switch {
	case b.Type == "issuer":
		d.declareNamed(d.issuerBlocks, f, b)
	case b.Type == "dns" && f.trusted && len(b.Labels) == 0:
		d.decodeCNAMEZones(b)
	case b.Type == "dns":
		d.declareNamed(d.dnsBlocks, f, b)
	case f.trusted: // the reconciler's own settings
	case b.Type == "locals":
		d.noLabels(b)
		d.declareLocals(b)
	case b.Type == "certificate", b.Type == "defaults", b.Type == "moved":
	default:
		d.fault(b.TypeRange.Ptr(), nil, "Unknown block", "There is no block %s here: a config repo has %s.%s", b.Type, strings.Join(blockTypes, ", "), suggest("config repo", b.Type, blockTypes))
	}
}

func (d *decoder) declareNamed(table map[string]declared, f parsed, b *hclsyntax.Block) {
	name, ok := d.label(b)
	if !ok {
		return
	}
	if !hclsyntax.ValidIdentifier(name) {
		d.fault(b.LabelRanges[0].Ptr(), b.Range().Ptr(), "Invalid name", "%q cannot be referred to as %s.%[1]s: use letters, digits, _ and -, beginning with a letter.", name, b.Type)
		return
	}
	if other, dup := table[name]; dup {
		d.duplicate(b, other.block)
		return
	}
	table[name] = declared{b, f.trusted}
}

func (d *decoder) duplicate(b, first *hclsyntax.Block) {
	d.fault(b.DefRange().Ptr(), b.Range().Ptr(), "Duplicate name", "%s Names are unique in the whole repo; rename %s.",
		d.twice(b.Type, b.Labels[0], first.DefRange(), b.DefRange()), d.theOne(b.DefRange()))
}

// label is the one label a block has.
func (d *decoder) label(b *hclsyntax.Block) (string, bool) {
	switch {
	case len(b.Labels) == 1 && b.Labels[0] != "":
		return b.Labels[0], true
	case len(b.Labels) > 1:
		d.fault(b.LabelRanges[1].Ptr(), b.Range().Ptr(), "Unexpected label", "%s block has one label, its name.", text.UpperFirst(text.Article(b.Type)))
	default:
		d.fault(b.DefRange().Ptr(), b.Range().Ptr(), "Missing name", "%s block has a name: %s \"NAME\" { ... }.", text.UpperFirst(text.Article(b.Type)), b.Type)
	}
	return "", false
}

func (d *decoder) noLabels(b *hclsyntax.Block) {
	if len(b.Labels) > 0 {
		d.fault(b.LabelRanges[0].Ptr(), b.Range().Ptr(), "Unexpected label", "A %s block has no label.", b.Type)
	}
}

func refObject(kind string, table map[string]declared) cty.Value {
	attrs := make(map[string]cty.Value, len(table))
	for name := range table {
		attrs[name] = cty.CapsuleVal(blockType, &blockRef{kind, name})
	}
	return cty.ObjectVal(attrs)
}

func sortedAttributes(b *hclsyntax.Body) []*hclsyntax.Attribute {
	list := make([]*hclsyntax.Attribute, 0, len(b.Attributes))
	for _, a := range b.Attributes {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *hclsyntax.Attribute) int { return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte) })
	return list
}

// fault reports a mistake. summary is one of a fixed few; what it is about
// stands in the detail.
func (d *decoder) fault(at, block *hcl.Range, summary, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	d.faults++
	if !d.exhausted && !d.budget.afford(perFault+int64(len(detail))) { // each certificate of a for_each has its own
		d.outOfWork(cmp.Or(at, block, &hcl.Range{}), block)
	}
	d.report(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: at, Context: block})
}

// report keeps diagnostics, each once: what is wrong in a block with for_each
// is wrong in every instance. Warnings and mistakes are counted apart: many warnings
// must not reject a revision, nor hide a mistake.
func (d *decoder) report(diags ...*hcl.Diagnostic) {
	for _, diag := range diags {
		diag.Detail = bounded(diag.Detail)
		key := diag.Summary + "\x00" + diag.Detail
		if diag.Subject != nil {
			key = diag.Subject.String() + "\x00" + key
		}
		n := d.reported[diag.Severity]
		if d.seen[key] || n > maxDiagnostics {
			continue
		}
		d.seen[key], d.reported[diag.Severity] = true, n+1
		if n == maxDiagnostics {
			diag = tooMany(diag.Severity)
		}
		d.diags = append(d.diags, diag)
	}
}

func tooMany(severity hcl.DiagnosticSeverity) *hcl.Diagnostic {
	summary, what := "Too many mistakes", "mistakes"
	if severity == hcl.DiagWarning {
		summary, what = "Too many warnings", "warnings"
	}
	return &hcl.Diagnostic{Severity: severity, Summary: summary, Detail: fmt.Sprintf("There are more than %d %s; the rest is not shown.", maxDiagnostics, what)}
}

// maxDetail is how long the text of a mistake may be: it quotes what people
// wrote, which may be a name of a megabyte.
const maxDetail = 4_000

func bounded(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetail], "") + "..."
}

// sort brings diagnostics into the order of the files' text.
func (d *decoder) sort() {
	slices.SortStableFunc(d.diags, func(a, b *hcl.Diagnostic) int {
		if a.Subject == nil || b.Subject == nil {
			return cmp.Compare(boolRank(a.Subject == nil), boolRank(b.Subject == nil))
		}
		return cmp.Or(cmp.Compare(a.Subject.Filename, b.Subject.Filename), cmp.Compare(a.Subject.Start.Byte, b.Subject.Start.Byte))
	})
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
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

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
