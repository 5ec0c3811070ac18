package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/text"
)

// Places are the places of a certificate's settings, in its own block or in a defaults
// block above; nil for settings left out.
type Places struct {
	Names        []*hcl.Range // of the domains
	Issuers, DNS []block.Element[string]
	Path, Mount  *hcl.Range
	Prefix       block.Setting[string]

	Fields, Shape, Rotation, Pause, OnRemove *hcl.Range
}

// request is a certificate with the places of its settings, after defaults were applied.
type request struct {
	*block.Reader // of the certificate's block
	cert          *spec.Certificate
	places        Places
	policy        *Policy // the policy it is checked against
}

// Check checks one certificate against all policies that cover its file. Settings from a
// defaults block of another file count as the certificate's own: otherwise a defaults
// block could bypass the policy of the files below it.
func Check(b *block.Reader, cert *spec.Certificate, at Places, policies []*Policy) {
	r := request{Reader: b, cert: cert, places: at}
	for _, r.policy = range policies {
		r.checkNames()
		r.checkAccounts()
		r.checkTarget()
		r.checkPasswords()
		r.checkKey()
		r.checkToggles()
		r.checkCount()
	}
}

// refuse reports a setting that the policy forbids, with the values it allows. The
// mistake is the certificate's: if the setting stands in a defaults block, the message
// names that place and points at the certificate.
func (r *request) refuse(at *hcl.Range, what, allowed string, advice ...string) {
	at, from := r.place(at)
	r.Fault(at, Forbidden, "%s does not allow %s in %s; it allows %s.%s%s", text.UpperFirst(r.policy.String()), what, r.cert.File, allowed, from, strings.Join(advice, ""))
}

// place returns the range for a refusal, and a sentence about a defaults block that
// contains the setting.
func (r *request) place(at *hcl.Range) (shown *hcl.Range, from string) {
	if at == nil {
		at = r.At
	} else if at.Filename != r.Whole.Filename || at.Start.Byte < r.Whole.Start.Byte || at.End.Byte > r.Whole.End.Byte {
		from = fmt.Sprintf(" It is set by the defaults at %s:%d.", at.Filename, at.Start.Line)
		at = r.At
	}
	return at, from
}

func (r *request) checkNames() {
	for i, d := range r.cert.Domains {
		switch {
		case d.Wildcard && !r.policy.wildcards:
			r.refuse(r.places.Names[i], fmt.Sprintf("the wildcard %q", d.Typed), "no wildcards")
		case r.policy.limited && !slices.ContainsFunc(r.policy.Patterns, func(p spec.NamePattern) bool { return p.Covers(d) }):
			r.refuse(r.places.Names[i], "the name "+called(d), allowedOnly(r.policy.typed()))
		}
	}
}

// called returns a name as typed, with the A-labels sent to the CA if they differ.
func called(d spec.Domain) string {
	if strings.EqualFold(d.Typed, d.ASCII) {
		return strconv.Quote(text.Short(d.Typed))
	}
	return fmt.Sprintf("%q (%s)", text.Short(d.Typed), d.ASCII)
}

func (p *Policy) typed() []string {
	list := make([]string, len(p.Patterns))
	for i, pattern := range p.Patterns {
		list[i] = pattern.Typed
	}
	return list
}

// checkAccounts checks the issuers and DNS accounts. A nil list allows all.
func (r *request) checkAccounts() {
	for _, used := range []struct {
		kind    string
		list    []block.Element[string]
		allowed []string
	}{{"issuer", r.places.Issuers, r.policy.issuers}, {"dns", r.places.DNS, r.policy.dns}} {
		for _, e := range used.list {
			if used.allowed != nil && !slices.Contains(used.allowed, e.Value) {
				r.refuse(e.At, used.kind+"."+e.Value, allowedOnly(used.allowed))
			}
		}
	}
}

// checkTarget checks the Vault path. A prefix with a trailing slash once also allowed the
// secret of that name; rejecting it is therefore a NewRule.
func (r *request) checkTarget() {
	target := r.cert.Vault.Mount + "/" + r.cert.Vault.Path
	matches := func(rule func(p, prefix string) bool) bool {
		return slices.ContainsFunc(r.policy.vault, func(prefix string) bool { return rule(target, prefix) })
	}
	at := r.places.Path
	if at == nil {
		at = r.places.Mount
	}
	switch {
	case r.policy.vault == nil || matches(spec.Under):
	case !matches(spec.Below):
		r.refuse(at, "a secret at "+target, "secrets below "+allowedOnly(r.policy.vault), r.unsetPathAdvice())
	default:
		at, from := r.place(at)
		list := make([]string, 0, len(r.policy.vault)+1)
		for _, prefix := range append(slices.Clone(r.policy.vault), target) {
			list = append(list, strconv.Quote(prefix))
		}
		allow := spec.Allowance{Text: fmt.Sprintf("policy %q { vault = [%s] }", r.policy.name, strings.Join(list, ", "))}
		r.RefuseNew(spec.NewRule{Name: "policy.vault", Allow: allow}, at, Forbidden,
			"%s allows what lies below its prefixes, and not the secret at %s itself; it allows secrets below %s. Write %q without a slash at the end into the policy to allow it.%s%s",
			text.UpperFirst(r.policy.String()), target, allowedOnly(r.policy.vault), target, from, r.unsetPathAdvice())
	}
}

// UnsetPath explains the default path of a certificate without vault.path.
func UnsetPath(prefix block.Setting[string], cert *spec.Certificate) string {
	why := "no vault.path is set, so it is " + text.Short(cert.Vault.Path)
	if n := len(cert.MovedFrom); n > 0 {
		why += fmt.Sprintf(", by its former name %q", cert.MovedFrom[n-1])
	}
	if prefix.OK {
		why += fmt.Sprintf(", by the prefix at %s:%d", prefix.At.Filename, prefix.At.Start.Line)
	}
	return why
}

// unsetPathAdvice returns the setting to write if the policy forbids the default path; ""
// if the certificate sets a path.
func (r *request) unsetPathAdvice() string {
	if r.places.Path != nil {
		return ""
	}
	advice := " " + text.UpperFirst(UnsetPath(r.places.Prefix, r.cert))
	for _, allowed := range r.policy.vault {
		if prefix, ok := strings.CutPrefix(strings.TrimSuffix(allowed, "/")+"/", r.cert.Vault.Mount+"/"); ok && prefix != "" {
			return advice + fmt.Sprintf("; write vault { path = %q } or defaults { vault { prefix = %q } }.", prefix+r.cert.Name, prefix)
		}
	}
	return advice + "."
}

// checkPasswords checks the references of keystore passwords against the policy. A
// keystore is a way to guess a password offline, so a policy limits which secrets may
// serve as one.
func (r *request) checkPasswords() {
	if r.policy.passwords == nil {
		return
	}
	for _, v := range r.cert.Vault.Fields.Passwords() {
		within := func(allowed string) bool { return passwordWithin(v, allowed) }
		if !slices.ContainsFunc(r.policy.passwords, within) {
			r.refuse(r.places.Fields, "the keystore password "+written(v), "passwords from "+allowedOnly(r.policy.passwords))
		}
	}
}

// written returns the reference in HCL syntax.
func written(v spec.Value) string {
	if v.Source == spec.FromEnv {
		return fmt.Sprintf("env(%q)", v.Name)
	}
	return fmt.Sprintf("vault(%q, %q)", v.Path, v.Field)
}

// passwordWithin reports whether an element of the policy's passwords allows the
// reference.
func passwordWithin(v spec.Value, allowed string) bool {
	if prefix, is := strings.CutPrefix(allowed, "env:"); is {
		return v.Source == spec.FromEnv && strings.HasPrefix(v.Name, prefix)
	}
	return v.Source == spec.FromVault && spec.Under(v.Path, allowed)
}

// checkKey checks the shape of the key at first issue. If the spec leaves the shape open,
// an existing key keeps its own shape, which this check does not know.
func (r *request) checkKey() {
	if shape := r.cert.Key.Shape(); r.policy.minKey != "" && strengths[shape] < strengths[r.policy.minKey] {
		r.refuse(r.places.Shape, "a key as weak as "+shape, r.policy.minKey+" and what is as strong")
	}
}

// checkToggles checks the settings that a policy can forbid as a whole.
func (r *request) checkToggles() {
	p := r.policy
	if r.cert.OnRemove == spec.Revoke && !p.revoke {
		r.refuse(r.places.OnRemove, "on_remove = \"revoke\"", "no revocation")
	}
	if r.cert.RotateRevoke != nil && !p.revoke {
		r.refuse(headerOf(r.Reader, "rotate"), "a rotation that revokes", "no revocation")
	}
	if r.cert.Key.Rotation == spec.RotateNever && !p.reuseKeys {
		r.refuse(r.places.Rotation, "key.rotation = \"never\"", "no key that is kept over renewals")
	}
	if !r.cert.Renewal.Auto && !p.pauses {
		r.refuse(r.places.Pause, "renewal.auto = false", "no pauses")
	}
	if len(r.cert.Probes) > 0 && !p.probes {
		r.refuse(r.Syntax.Attributes["probe"].Expr.Range().Ptr(), "probe", "no endpoints to probe")
	}
}

// headerOf returns the place of an inner block, or nil.
func headerOf(b *block.Reader, name string) *hcl.Range {
	for _, inner := range b.Syntax.Blocks {
		if inner.Type == name {
			return inner.DefRange().Ptr()
		}
	}
	return nil
}

// checkCount counts the policy's certificates. The decoder reports the first certificate
// beyond the maximum at the end, when the total is known.
func (r *request) checkCount() {
	p := r.policy
	if p.Count++; p.Most > 0 && p.Count == p.Most+1 {
		p.Excess = &Excess{Reader: r.Reader, Name: r.cert.Name}
	}
}
