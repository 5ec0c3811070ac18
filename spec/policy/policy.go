package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/text"
)

// Policy is a policy block of certroll.hcl: the limits for the files of the config repo
// that its globs match. A nil list and a zero number mean no limit.
type Policy struct {
	name  string
	At    hcl.Range
	Files []string
	// blocks are the allowed block types; nil allows all but the delicate ones, which
	// each file may contain only if one of its policies lists block types.
	blocks   []string
	Patterns []spec.NamePattern
	limited  bool // names are limited: Patterns applies even if it is empty
	issuers  []string
	dns      []string
	vault    []string // prefixes of mount and path
	// passwords are the allowed sources of keystore passwords: prefixes of mount and
	// path, or "env:" and a prefix of variable names.
	passwords []string
	minKey    string
	Most      int // maximum number of certificates in all its files together
	// Each of these is allowed unless the policy forbids it.
	wildcards, revoke, reuseKeys, pauses, probes bool

	Count  int     // certificates found so far
	Excess *Excess // the first certificate beyond the maximum
}

// Excess is the first certificate beyond a policy's maximum, with its block.
type Excess struct {
	*block.Reader
	Name string
}

// String names the policy, for a message.
func (p *Policy) String() string {
	return fmt.Sprintf("policy %q (%s:%d)", p.name, p.At.Filename, p.At.Start.Line)
}

// delicate are the block types that decide which server gets credentials.
var delicate = []string{"issuer", "dns"}

// strengths are bits of security from NIST SP 800-57 part 1, table 2; for RSA with 4096
// bits from FIPS 140-2 implementation guidance 7.5.
var strengths = map[string]int{
	"rsa-2048": 112, "rsa-3072": 128, "rsa-4096": 152, "ecdsa-P-256": 128, "ecdsa-P-384": 192, "ecdsa-P-521": 256,
}

// shapes lists the key shapes in the order of the documentation.
var shapes = []string{"ecdsa-P-256", "ecdsa-P-384", "ecdsa-P-521", "rsa-2048", "rsa-3072", "rsa-4096"}

// Read reads a policy block. It rejects null settings (Restricts), because a setting left
// out limits nothing.
func Read(b *block.Reader, name string, header hcl.Range) *Policy {
	b.Restricts = true
	p := &Policy{name: name, At: header, wildcards: true, revoke: true, reuseKeys: true, pauses: true, probes: true}
	if !b.Has("files") {
		b.Missing("files", "globs of the paths that it is for, as in [\"teams/shop/**\"]")
	}
	p.Files = checked(b, "files", "Invalid glob", spec.BadGlob)
	p.blocks = checked(b, "blocks", "Unknown value", badBlock)
	p.limited = b.Has("names")
	for _, e := range b.Texts("names").Value {
		pattern, why := spec.ParseNamePattern(e.Value)
		if why != "" {
			b.Fault(e.At, "Invalid name", "%q: %s.", text.Short(e.Value), why)
		}
		p.Patterns = append(p.Patterns, pattern)
	}
	p.issuers, p.dns = checked(b, "issuers", "", nil), checked(b, "dns", "", nil)
	p.vault = checked(b, "vault", "Invalid Vault path", func(s string) string { return spec.BadSecretPath(strings.TrimSuffix(s, "/")) })
	p.passwords = checked(b, "passwords", "Invalid reference", badPassword)
	p.minKey = b.Choice("min_key", shapes...).Value
	p.Most = b.Integer("max_certificates", 1, spec.MaxCertificates).Value
	for name, allowed := range map[string]*bool{"wildcards": &p.wildcards, "revoke": &p.revoke, "key_reuse": &p.reuseKeys, "pause": &p.pauses, "probe": &p.probes} {
		if s := b.Boolean(name); s.OK {
			*allowed = s.Value
		}
	}
	b.Finish()
	return p
}

// Covers reports whether one of the policy's globs matches a file.
func (p *Policy) Covers(file string) bool {
	return slices.ContainsFunc(p.Files, func(glob string) bool { return spec.MatchGlob(glob, file) })
}

func badPassword(s string) string {
	if name, is := strings.CutPrefix(s, "env:"); is {
		if !spec.IsVariableName(name) {
			return "after env: stands the beginning of a variable's name"
		}
		return ""
	}
	return spec.BadSecretPath(strings.TrimSuffix(s, "/"))
}

func badBlock(name string) string {
	if slices.Contains(spec.BlockTypes(), name) {
		return ""
	}
	return "a config repo has " + text.OneOf(spec.BlockTypes())
}

// checked reads a list of texts. It returns nil if the setting is left out, which limits
// nothing; an empty list allows nothing.
func checked(b *block.Reader, name, summary string, bad func(string) string) []string {
	s := b.Texts(name)
	if s.At == nil {
		return nil
	}
	list := make([]string, 0, len(s.Value))
	for _, e := range s.Value {
		if bad != nil {
			if why := bad(e.Value); why != "" {
				b.Fault(e.At, summary, "%q: %s.", text.Short(e.Value), why)
			}
		}
		list = append(list, e.Value)
	}
	return list
}

// CheckDelicate rejects an issuer or dns block in a file whose policies list no block
// types. Such a block could send a credential to another server.
func CheckDelicate(s *block.Scope, file string, declared *hclsyntax.Block, policies []*Policy) bool {
	names := func(p *Policy) bool { return p.blocks != nil }
	if !slices.Contains(delicate, declared.Type) || slices.ContainsFunc(policies, names) {
		return true // CheckBlock checks the listed types
	}
	list := make([]string, len(policies))
	for i, p := range policies {
		list[i] = p.String()
	}
	s.Fault(declared.DefRange().Ptr(), declared.Range().Ptr(), Forbidden, "%s block says where credentials are sent, and stands only where a policy names it. For %s there is %s; have blocks = [..., %q] written there, or move it to where they are allowed.",
		text.UpperFirst(text.Article(declared.Type)), file, strings.Join(list, " and "), declared.Type)
	return false
}

// CheckBlock checks a block's type against the policy, and the name of an issuer or dns
// block.
func (p *Policy) CheckBlock(s *block.Scope, file string, declared *hclsyntax.Block) {
	at, whole := declared.DefRange().Ptr(), declared.Range().Ptr()
	if p.blocks != nil && slices.Contains(spec.BlockTypes(), declared.Type) && !p.allowsBlock(declared.Type) {
		s.Fault(at, whole, Forbidden, "%s allows no %s block in %s; it allows %s.", text.UpperFirst(p.String()), declared.Type, file, allowedOnly(p.blocks))
		return
	}
	named := map[string][]string{"issuer": p.issuers, "dns": p.dns}[declared.Type]
	if named != nil && len(declared.Labels) == 1 && !slices.Contains(named, declared.Labels[0]) {
		s.Fault(at, whole, Forbidden, "%s does not allow %s.%s; it allows %s.", text.UpperFirst(p.String()), declared.Type, declared.Labels[0], allowedOnly(named))
	}
}

// allowsBlock reports whether the policy lists a block type. Files that may contain
// certificates may also contain moved blocks, because renaming a certificate needs them.
func (p *Policy) allowsBlock(kind string) bool {
	return slices.Contains(p.blocks, kind) || kind == "moved" && slices.Contains(p.blocks, "certificate")
}

// Forbidden is the summary of diagnostics for settings that a policy forbids.
const Forbidden = "Forbidden by policy"

func allowedOnly(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.ReplaceAll(text.OneOf(list), " or ", " and ")
}
