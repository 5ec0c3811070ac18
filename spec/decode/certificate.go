package decode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/eval"
	"certroll/spec/policy"
	"certroll/spec/text"
)

const (
	defaultThreshold = 30 // days
	defaultFallback  = 3 * spec.Day
)

// decodeCertificates decodes all certificate blocks of the repo. Defaults and moved
// blocks come first because instances need them. Checks that need all certificates come
// last. It skips trusted files: certroll.hcl declares no certificates.
func (d *decoder) decodeCertificates() {
	d.decodeDefaults()
	c := &certificates{decoder: d, blocks: map[string]*hclsyntax.Block{}, names: map[string]*spec.Certificate{}, paths: map[string]*spec.Certificate{}}
	c.decodeMoves()
	for _, f := range d.files {
		if f.trusted {
			continue
		}
		defaults := d.defaultsFor(f.path)
		for _, block := range f.body.Blocks {
			if block.Type == "certificate" && !d.Over() {
				c.block(f, block, defaults)
			}
		}
	}
	d.reportWithout()
	d.reportExcess()
	c.checkMoves()
	d.tell(&c.cautions)
	slices.SortFunc(d.spec.Certificates, func(a, b *spec.Certificate) int { return cmp.Compare(a.Name, b.Name) })
	if !d.Over() {
		d.warnSameNames()
	}
}

// block decodes a certificate block: one certificate, or one for each key of for_each.
func (c *certificates) block(f parsed, block *hclsyntax.Block, defaults partial) {
	name, ok := c.label(block)
	if !ok {
		return
	}
	if first, dup := c.blocks[name]; dup {
		c.duplicate(block, first)
		return
	}
	c.blocks[name] = block
	b := c.body(block, c.ctx)
	if b.Asked["for_each"] = true; !b.Has("for_each") {
		c.instance(f, b, name, "", defaults)
		return
	}
	for _, each := range c.forEach(b) {
		if c.Over() {
			return
		}
		in := c.body(block, c.ctx.NewChild())
		in.Asked["for_each"] = true
		in.Context.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(each.key), "value": each.value})}
		c.instance(f, in, name+"."+each.key, each.key, defaults)
	}
}

type eachValue struct {
	key   string
	value cty.Value
}

// forEachNull rejects for_each = null. Null could mean no certificate, or a setting left
// out, which would be one certificate. Most often it is a typo inside try(..., null).
var forEachNull = spec.NewRule{Name: "for_each.null"}

// forEach evaluates for_each: a map, or a set of texts.
func (c *certificates) forEach(b *body) []eachValue {
	v := b.Eval("for_each")
	if !v.OK {
		if v.At == nil {
			b.RefuseNew(forEachNull, b.Syntax.Attributes["for_each"].Expr.Range().Ptr(), "Setting is null",
				"for_each is null, so that it is not known which certificates there are. Write {} for none; where it comes from try(..., null), check that the name in it is right.")
		}
		return nil
	}
	t := v.Value.Type()
	isSet := t.IsSetType() && (t.ElementType() == cty.String || v.Value.LengthInt() == 0)
	if !isSet && !t.IsMapType() && !t.IsObjectType() {
		hint := ""
		if t.IsTupleType() || t.IsListType() || t.IsSetType() {
			hint = " A list becomes a set of texts by toset([...])."
		}
		b.Fault(v.At, "Wrong type", "for_each takes a map, or a set of texts.%s", hint)
		return nil
	}
	var list []eachValue
	for it := v.Value.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if isSet {
			key = value
		}
		if key.IsNull() || !spec.IsCertificateName(key.AsString()) {
			b.Fault(v.At, "Invalid name", "The key %s of for_each becomes part of a certificate's name, which is made of letters, digits, dots, _ and -.", block.KindOf(key))
			continue
		}
		list = append(list, eachValue{key.AsString(), value})
	}
	return list
}

// instance decodes one certificate. It charges the budget first, because for_each repeats
// a block many times.
func (c *certificates) instance(f parsed, b *body, name, key string, defaults partial) {
	cert := &spec.Certificate{Name: name, Range: *b.At, File: f.path, MovedFrom: c.formerNames(f.path, name, key)}
	b.Subject = "certificate." + name
	if !c.Afford(instanceCost(b.Whole), *b.At, b.Whole) {
		return
	}
	var vaultPath block.Setting[string]
	p := b.partial(func(vault *body) {
		if vaultPath = vault.Text("path"); vaultPath.OK {
			vaultPath.OK = vault.checkPath(vaultPath.Value, vaultPath.At, "path")
		}
		if a := vault.Syntax.Attributes["prefix"]; a != nil {
			vault.Asked["prefix"] = true
			vault.Fault(a.NameRange.Ptr(), "Only a default", "A prefix is for many certificates; write it into a defaults block, or path = \"...\" here.")
		}
	}).under(defaults)
	var places []*hcl.Range
	cert.Domains, places = b.domains()
	cert.Rotate, cert.RotateRevoke = b.rotate()
	var endpoints []*hcl.Range
	cert.Probes, endpoints = b.probes(cert.Domains)
	b.Finish()
	b.settle(cert, p, vaultPath)
	c.warn(b, cert, p)
	if c.claimName(b, cert) && c.Afford(c.checksOf(cert), *b.At, b.Whole) {
		c.claimPath(b, cert, p, vaultPath.At, key != "")
		for _, issuer := range append([]string{cert.Issuer}, cert.Fallbacks...) {
			c.checkIssuer(b, cert, issuer, places)
			c.checkPublic(b, cert, issuer, places)
		}
		c.checkAccounts(b, cert, places)
		c.checkProbes(b, cert, endpoints)
		policy.Check(b.Reader, cert, placesOf(p, places, vaultPath.At), c.policiesFor(cert.File))
	}
	c.keep(b, cert)
}

// placesOf returns the places of a certificate's settings that policies check.
func placesOf(p partial, names []*hcl.Range, path *hcl.Range) policy.Places {
	return policy.Places{
		Names: names, Issuers: p.issuers.Value, DNS: p.dns.Value, Path: path, Mount: p.mount.At, Prefix: p.prefix,
		Fields: p.fields.At, Shape: p.shape.At, Rotation: p.rotation.At, Pause: p.pause.At, OnRemove: p.onRemove.At,
	}
}

// instanceCost returns the steps to decode a block of this size once, without the steps
// of its expressions.
func instanceCost(syntax *hcl.Range) int64 {
	size := int64(syntax.End.Byte - syntax.Start.Byte)
	return block.PerInstance + size + 15*max(0, size-4096)
}

// checksOf returns the steps to check a certificate's names against its issuers, DNS
// accounts and policies.
func (c *certificates) checksOf(cert *spec.Certificate) int64 {
	checks := 2 + len(cert.Fallbacks) + len(cert.DNS) + len(cert.Probes)
	for _, p := range c.policiesFor(cert.File) {
		checks += len(p.Patterns) + 1
	}
	return eval.Times(int64(len(cert.Domains)), int64(checks)) * block.PerMatching
}

// keep adds a certificate to the spec, up to MaxCertificates.
func (c *certificates) keep(b *body, cert *spec.Certificate) {
	if len(c.spec.Certificates) == spec.MaxCertificates {
		b.Fault(b.At, "Too many certificates", "A config repo has at most %d certificates.", spec.MaxCertificates)
		return
	}
	c.spec.Certificates = append(c.spec.Certificates, cert)
}

// settle fills a certificate with the stated settings, or with their defaults.
func (b *body) settle(cert *spec.Certificate, p partial, vaultPath block.Setting[string]) {
	for i, issuer := range p.issuers.Value {
		if i == 0 {
			cert.Issuer = issuer.Value
		} else {
			cert.Fallbacks = append(cert.Fallbacks, issuer.Value)
		}
	}
	for _, account := range p.dns.Value {
		cert.DNS = append(cert.DNS, account.Value)
	}
	cert.Key = p.shape.Value
	cert.Key.Rotation = cmp.Or(p.rotation.Value, spec.RotateAlways)
	cert.Key.MaxAge = p.maxAge.Value
	cert.Key.Next = p.nextKey.Value
	b.checkNext(cert, p)
	cert.Renewal = spec.Renewal{
		Auto: !p.pause.Value.off, Reason: p.pause.Value.reason, Until: p.pause.Value.until, FallbackAfter: cmp.Or(p.fallback.Value, defaultFallback),
		ThresholdDays: cmp.Or(p.threshold.Value.days, defaultThreshold), ThresholdPercent: p.threshold.Value.percent, ThresholdStated: p.threshold.OK,
	}
	cert.Labels = p.labels.Value
	cert.OnRemove = cmp.Or(p.onRemove.Value, spec.Keep)
	cert.Vault = spec.Target{Mount: cmp.Or(p.mount.Value, b.d.trust.Mount), Path: cmp.Or(vaultPath.Value, defaultPath(p, cert)), Fields: p.fields.Value, Previous: p.previous.Value}
	if !p.issuers.OK && p.issuers.At == nil {
		b.d.without("issuer", b, cert)
	}
	if !p.dns.OK && p.dns.At == nil {
		b.d.without("dns", b, cert)
	}
}

// checkNext rejects a staged key that no renewal would use.
func (b *body) checkNext(cert *spec.Certificate, p partial) {
	if !cert.Key.Next || cert.Key.Rotation != spec.RotateNever {
		return
	}
	b.Fault(p.nextKey.At, "Contradicting settings", "key.next = true makes the key of the next renewal ahead, and key.rotation = \"never\" keeps the old one at renewals; leave one of them out.")
}

// domains reads the names with their places.
func (b *body) domains() ([]spec.Domain, []*hcl.Range) {
	list := b.Texts("domains")
	switch {
	case list.At == nil: // left out, or null
		b.Missing("domains", "a list of DNS names or IP addresses")
	case list.OK && len(list.Value) == 0:
		b.Fault(list.At, "Empty setting", "A certificate has at least one domain.")
	}
	var domains []spec.Domain
	var places []*hcl.Range
	seen := map[string]string{}
	for _, e := range list.Value {
		if !b.d.Afford(block.PerName+20*int64(min(len(e.Value), spec.MaxDomainText)), *e.At, b.Whole) {
			break
		}
		d, why := spec.ParseDomain(e.Value)
		if why != "" {
			b.Fault(e.At, "Invalid domain", "%q: %s.", text.Short(e.Value), why)
			continue
		}
		if first, dup := seen[d.ASCII]; dup {
			as := ""
			if first != d.Typed {
				as = fmt.Sprintf(", as %q", first)
			}
			b.Fault(e.At, "Duplicate name", "%q is in the list already%s.", d.Typed, as)
			continue
		}
		seen[d.ASCII] = d.Typed
		domains, places = append(domains, d), append(places, e.At)
	}
	return domains, places
}

// claimName reports whether the certificate's name is valid and unique. Names that differ
// only in case collide, because records are files and some file systems ignore case.
func (c *certificates) claimName(b *body, cert *spec.Certificate) bool {
	if !spec.IsCertificateName(cert.Name) {
		b.Fault(b.At, "Invalid name", "%q: a certificate's name is made of letters, digits, dots, _ and -, begins with a letter or digit, and has at most 128 characters; it becomes a file's name in the ledger.", text.Short(cert.Name))
		return false
	}
	folded := strings.ToLower(cert.Name)
	if other := c.names[folded]; other != nil {
		b.Fault(b.At, "Duplicate name", "%s Names are unique in the whole repo, also where upper and lower case are the same; rename %s.",
			c.twice("certificate", other.Name, other.Range, *b.At), c.theOne(*b.At))
		return false
	}
	c.names[folded] = cert
	return true
}

// claimPath checks that no other certificate uses the same Vault path, and that the path
// is outside certroll's own state.
func (c *certificates) claimPath(b *body, cert *spec.Certificate, p partial, at *hcl.Range, repeated bool) {
	why := ""
	if at == nil {
		at, why = b.At, " "+text.UpperFirst(policy.UnsetPath(p.prefix, cert))+"."
		if bad := spec.BadSecretPath(cert.Vault.Path); bad != "" && p.prefix.OK {
			b.Fault(at, "Invalid Vault path", "%s: %s.", text.UpperFirst(policy.UnsetPath(p.prefix, cert)), bad)
			return
		}
	}
	if spec.Below(cert.Vault.Path, c.trust.State) {
		b.Fault(at, "Invalid Vault path", "%s/ is where certroll keeps its own state; choose another path.%s", c.trust.State, why)
		return
	}
	if spec.BadSecretPath(cert.Vault.Mount+"/"+cert.Vault.Path) != "" {
		return // reported at the mount or the path already
	}
	full := cert.Vault.Mount + "/" + cert.Vault.Path
	other := c.paths[full]
	switch {
	case other == nil:
		c.paths[full] = cert
	case repeated && other.Range == cert.Range:
		b.Fault(at, "Vault path claimed twice", "All certificates of this block would be written to %s. Let the path depend on each.key, as in \"tls/${each.key}\", or leave it out.", full)
	default:
		b.Fault(at, "Vault path claimed twice", "The certificate %q, at %s:%d, is written to %s already; choose another path for one of them.%s", other.Name, other.Range.Filename, other.Range.Start.Line, full, why)
	}
}

// checkIssuer checks the names against the limits of the issuer's profile.
func (c *certificates) checkIssuer(b *body, cert *spec.Certificate, name string, places []*hcl.Range) {
	issuer := c.spec.Issuers[name]
	if issuer == nil {
		return
	}
	limit, known := spec.CapsOf(issuer)
	if !known {
		return
	}
	profile := cmp.Or(issuer.Profile, "classic")
	if len(cert.Domains) > limit.Names {
		b.Fault(places[limit.Names], "Too many names", "issuer.%s takes at most %d names in one certificate by its profile %s; there are %d. Split it into several.", name, limit.Names, profile, len(cert.Domains))
	}
	for i, d := range cert.Domains {
		if d.IP.IsValid() && !limit.IPs {
			b.Fault(places[i], "Address not taken", "issuer.%s takes no IP addresses by its profile %s (%s is one); use an issuer with profile = \"shortlived\".", name, profile, d.Typed)
		}
	}
}

// checkAccounts checks that at least one of the certificate's accounts can prove each
// name, by its challenge and its zones.
func (c *certificates) checkAccounts(b *body, cert *spec.Certificate, places []*hcl.Range) {
	var accounts []*spec.DNSAccount
	for _, name := range cert.DNS {
		account := c.spec.DNS[name]
		if account == nil {
			return // reported already
		}
		accounts = append(accounts, account)
	}
	for i, d := range cert.Domains {
		if len(accounts) == 0 || slices.ContainsFunc(accounts, func(a *spec.DNSAccount) bool { return a.MayProve(d.ASCII) }) {
			continue
		}
		names := "dns." + strings.Join(cert.DNS, ", dns.")
		byChallenge := func(a *spec.DNSAccount) bool {
			return d.Wildcard == (a.Challenge == spec.DNS01) || !d.IP.IsValid() && !d.Wildcard
		}
		switch {
		case slices.ContainsFunc(accounts, byChallenge):
			b.Fault(places[i], "No account for the name", "None of %s has a zone for %s; add it to zones of one, or name another account.", names, d.Typed)
		case d.Wildcard:
			b.Fault(places[i], "Challenge cannot prove the name", "%s answers no challenge by which a CA issues for the wildcard %s (RFC 8555 section 7.1.3); use an account with a DNS provider.", names, d.Typed)
		default:
			b.Fault(places[i], "Challenge cannot prove the name", "%s answers the challenge dns-01, which cannot prove the address %s (RFC 8738 section 7); use an account with challenge = \"http-01\" or \"tls-alpn-01\".", names, d.Typed)
		}
	}
}
