package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"certroll/spec/text"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

const (
	defaultThreshold = 30 // days
	defaultFallback  = 3 * day
)

func (d *decoder) decodeCertificates() {
	d.decodeDefaults()
	c := &certificates{decoder: d, blocks: map[string]*hclsyntax.Block{}, names: map[string]*Certificate{}, paths: map[string]*Certificate{}}
	c.decodeMoves()
	for _, f := range d.files {
		if f.trusted {
			continue
		}
		defaults := d.defaultsFor(f.path)
		for _, block := range f.body.Blocks {
			if block.Type == "certificate" && !d.over() {
				c.block(f, block, defaults)
			}
		}
	}
	d.reportWithout()
	d.reportExcess()
	c.checkMoves()
	d.tell(&c.cautions)
	slices.SortFunc(d.spec.Certificates, func(a, b *Certificate) int { return cmp.Compare(a.Name, b.Name) })
	if !d.over() {
		d.warnSameNames()
	}
}

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
	if b.asked["for_each"] = true; !b.has("for_each") {
		c.instance(f, b, name, "", defaults)
		return
	}
	for _, each := range c.forEach(b) {
		if c.over() {
			return
		}
		in := c.body(block, c.ctx.NewChild())
		in.asked["for_each"] = true
		in.ctx.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(each.key), "value": each.value})}
		c.instance(f, in, name+"."+each.key, each.key, defaults)
	}
}

type eachValue struct {
	key   string
	value cty.Value
}

// forEachNull is an error since null is neither "for nobody" nor "left out",
// which would be one certificate: it is mostly a slip in try(..., null).
var forEachNull = NewRule{Name: "for_each.null"}

// forEach evaluates what a block is repeated over: a map, or a set of texts.
func (c *certificates) forEach(b *body) []eachValue {
	v := b.value("for_each")
	if !v.ok {
		if v.at == nil {
			b.refuseNew(forEachNull, b.src.Attributes["for_each"].Expr.Range().Ptr(), "Setting is null",
				"for_each is null, so that it is not known which certificates there are. Write {} for none; where it comes from try(..., null), see that the name in it is right.")
		}
		return nil
	}
	t := v.v.Type()
	isSet := t.IsSetType() && (t.ElementType() == cty.String || v.v.LengthInt() == 0)
	if !isSet && !t.IsMapType() && !t.IsObjectType() {
		hint := ""
		if t.IsTupleType() || t.IsListType() || t.IsSetType() {
			hint = " A list becomes a set of texts by toset([...])."
		}
		b.fault(v.at, "Wrong type", "for_each takes a map, or a set of texts.%s", hint)
		return nil
	}
	var list []eachValue
	for it := v.v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if isSet {
			key = value
		}
		if key.IsNull() || !IsCertificateName(key.AsString()) {
			b.fault(v.at, "Invalid name", "The key %s of for_each becomes part of a certificate's name, which is made of letters, digits, dots, _ and -.", kindOf(key))
			continue
		}
		list = append(list, eachValue{key.AsString(), value})
	}
	return list
}

// instance decodes one certificate.
func (c *certificates) instance(f parsed, b *body, name, key string, defaults partial) {
	cert := &Certificate{Name: name, Range: *b.at, File: f.path, MovedFrom: c.formerNames(f.path, name, key)}
	b.subject = "certificate." + name
	if !c.afford(instanceCost(b.whole), *b.at, b.whole) {
		return
	}
	var vaultPath setting[string]
	p := b.partial(func(vault *body) {
		if vaultPath = vault.text("path"); vaultPath.ok {
			vaultPath.ok = vault.checkPath(vaultPath.v, vaultPath.at, "path")
		}
		if a := vault.src.Attributes["prefix"]; a != nil {
			vault.asked["prefix"] = true
			vault.fault(a.NameRange.Ptr(), "Only a default", "A prefix is for many certificates; write it into a defaults block, or path = \"...\" here.")
		}
	}).under(defaults)
	var places []*hcl.Range
	cert.Domains, places = b.domains()
	cert.Rotate, cert.RotateRevoke = b.rotate()
	var endpoints []*hcl.Range
	cert.Probes, endpoints = b.probes(cert.Domains)
	b.done()
	b.settle(cert, p, vaultPath)
	c.warn(b, cert, p)
	if c.claimName(b, cert) && c.afford(c.checksOf(cert), *b.at, b.whole) {
		c.claimPath(b, cert, p, vaultPath.at, key != "")
		for _, issuer := range append([]string{cert.Issuer}, cert.Fallbacks...) {
			c.checkIssuer(b, cert, issuer, places)
			c.checkPublic(b, cert, issuer, places)
		}
		c.checkAccounts(b, cert, places)
		c.checkProbes(b, cert, endpoints)
		c.checkPolicies(request{body: b, cert: cert, p: p, names: places, path: vaultPath.at})
	}
	c.keep(b, cert)
}

// instanceCost is what it takes to decode a block of that size once; its
// expressions come on top.
func instanceCost(block *hcl.Range) int64 {
	size := int64(block.End.Byte - block.Start.Byte)
	return perInstance + size + 15*max(0, size-4096)
}

// checksOf is what it takes to hold a certificate's names against its issuers,
// DNS accounts and policies.
func (c *certificates) checksOf(cert *Certificate) int64 {
	checks := 2 + len(cert.Fallbacks) + len(cert.DNS) + len(cert.Probes)
	for _, p := range c.policiesFor(cert.File) {
		checks += len(p.patterns) + 1
	}
	return times(int64(len(cert.Domains)), int64(checks)) * perMatching
}

// keep adds a certificate, as long as there are not too many.
func (c *certificates) keep(b *body, cert *Certificate) {
	if len(c.spec.Certificates) == MaxCertificates {
		b.fault(b.at, "Too many certificates", "A config repo has at most %d certificates.", MaxCertificates)
		return
	}
	c.spec.Certificates = append(c.spec.Certificates, cert)
}

// settle fills a certificate in with what is stated, or its default.
func (b *body) settle(cert *Certificate, p partial, vaultPath setting[string]) {
	for i, issuer := range p.issuers.v {
		if i == 0 {
			cert.Issuer = issuer.v
		} else {
			cert.Fallbacks = append(cert.Fallbacks, issuer.v)
		}
	}
	for _, account := range p.dns.v {
		cert.DNS = append(cert.DNS, account.v)
	}
	cert.Key = p.shape.v
	cert.Key.Rotation = cmp.Or(p.rotation.v, RotateAlways)
	cert.Key.MaxAge = p.maxAge.v
	cert.Key.Next = p.nextKey.v
	b.checkNext(cert, p)
	cert.Renewal = Renewal{
		Auto: !p.pause.v.off, Reason: p.pause.v.reason, Until: p.pause.v.until, FallbackAfter: cmp.Or(p.fallback.v, defaultFallback),
		ThresholdDays: cmp.Or(p.threshold.v.days, defaultThreshold), ThresholdPercent: p.threshold.v.percent, ThresholdStated: p.threshold.ok,
	}
	cert.Labels = p.labels.v
	cert.OnRemove = cmp.Or(p.onRemove.v, Keep)
	cert.Vault = Target{Mount: cmp.Or(p.mount.v, b.d.trust.Mount), Path: cmp.Or(vaultPath.v, defaultPath(p, cert)), Fields: p.fields.v, Previous: p.previous.v}
	if !p.issuers.ok && p.issuers.at == nil {
		b.d.without("issuer", b, cert)
	}
	if !p.dns.ok && p.dns.at == nil {
		b.d.without("dns", b, cert)
	}
}

// checkNext refuses to stage a key that no renewal would use.
func (b *body) checkNext(cert *Certificate, p partial) {
	if !cert.Key.Next || cert.Key.Rotation != RotateNever {
		return
	}
	b.fault(p.nextKey.at, "Contradicting settings", "key.next = true makes the key of the next renewal ahead, and key.rotation = \"never\" keeps the old one at renewals; leave one of them out.")
}

// domains reads the names, each with its place.
func (b *body) domains() ([]Domain, []*hcl.Range) {
	list := b.texts("domains")
	switch {
	case list.at == nil: // left out, or null
		b.missing("domains", "a list of DNS names or IP addresses")
	case list.ok && len(list.v) == 0:
		b.fault(list.at, "Empty setting", "A certificate has at least one domain.")
	}
	var domains []Domain
	var places []*hcl.Range
	seen := map[string]string{}
	for _, e := range list.v {
		if !b.d.afford(perName+20*int64(min(len(e.v), maxDomainText)), *e.at, b.whole) {
			break
		}
		d, why := parseDomain(e.v)
		if why != "" {
			b.fault(e.at, "Invalid domain", "%q: %s.", text.Short(e.v), why)
			continue
		}
		if first, dup := seen[d.ASCII]; dup {
			as := ""
			if first != d.Typed {
				as = fmt.Sprintf(", as %q", first)
			}
			b.fault(e.at, "Duplicate name", "%q is in the list already%s.", d.Typed, as)
			continue
		}
		seen[d.ASCII] = d.Typed
		domains, places = append(domains, d), append(places, e.at)
	}
	return domains, places
}

func (c *certificates) claimName(b *body, cert *Certificate) bool {
	if !IsCertificateName(cert.Name) {
		b.fault(b.at, "Invalid name", "%q: a certificate's name is made of letters, digits, dots, _ and -, begins with a letter or digit, and has at most 128 characters; it becomes a file's name in the ledger.", text.Short(cert.Name))
		return false
	}
	folded := strings.ToLower(cert.Name)
	if other := c.names[folded]; other != nil {
		b.fault(b.at, "Duplicate name", "%s Names are unique in the whole repo, also where upper and lower case are the same; rename %s.",
			c.twice("certificate", other.Name, other.Range, *b.at), c.theOne(*b.at))
		return false
	}
	c.names[folded] = cert
	return true
}

func (c *certificates) claimPath(b *body, cert *Certificate, p partial, at *hcl.Range, repeated bool) {
	why := ""
	if at == nil {
		at, why = b.at, " "+text.UpperFirst(unsetPath(p, cert))+"."
		if bad := badSecretPath(cert.Vault.Path); bad != "" && p.prefix.ok {
			b.fault(at, "Invalid Vault path", "%s: %s.", text.UpperFirst(unsetPath(p, cert)), bad)
			return
		}
	}
	if below(cert.Vault.Path, c.trust.State) {
		b.fault(at, "Invalid Vault path", "%s/ is where certroll keeps its own state; choose another path.%s", c.trust.State, why)
		return
	}
	if badSecretPath(cert.Vault.Mount+"/"+cert.Vault.Path) != "" {
		return // said of the mount or the path already
	}
	full := cert.Vault.Mount + "/" + cert.Vault.Path
	other := c.paths[full]
	switch {
	case other == nil:
		c.paths[full] = cert
	case repeated && other.Range == cert.Range:
		b.fault(at, "Vault path claimed twice", "All certificates of this block would be written to %s. Let the path depend on each.key, as in \"tls/${each.key}\", or leave it out.", full)
	default:
		b.fault(at, "Vault path claimed twice", "The certificate %q, at %s:%d, is written to %s already; choose another path for one of them.%s", other.Name, other.Range.Filename, other.Range.Start.Line, full, why)
	}
}

// checkIssuer holds the names against what the issuer's profile takes.
func (c *certificates) checkIssuer(b *body, cert *Certificate, name string, places []*hcl.Range) {
	issuer := c.spec.Issuers[name]
	if issuer == nil {
		return
	}
	limit, known := capsOf(issuer)
	if !known {
		return
	}
	profile := cmp.Or(issuer.Profile, "classic")
	if len(cert.Domains) > limit.names {
		b.fault(places[limit.names], "Too many names", "issuer.%s takes at most %d names in one certificate by its profile %s; there are %d. Split it into several.", name, limit.names, profile, len(cert.Domains))
	}
	for i, d := range cert.Domains {
		if d.IP.IsValid() && !limit.ips {
			b.fault(places[i], "Address not taken", "issuer.%s takes no IP addresses by its profile %s (%s is one); use an issuer with profile = \"shortlived\".", name, profile, d.Typed)
		}
	}
}

// checkAccounts holds each name against the accounts: one of them has to be able to
// prove it, by its challenge and its zones.
func (c *certificates) checkAccounts(b *body, cert *Certificate, places []*hcl.Range) {
	var accounts []*DNSAccount
	for _, name := range cert.DNS {
		account := c.spec.DNS[name]
		if account == nil {
			return // told already
		}
		accounts = append(accounts, account)
	}
	for i, d := range cert.Domains {
		if len(accounts) == 0 || slices.ContainsFunc(accounts, func(a *DNSAccount) bool { return a.MayProve(d.ASCII) }) {
			continue
		}
		names := "dns." + strings.Join(cert.DNS, ", dns.")
		byChallenge := func(a *DNSAccount) bool {
			return d.Wildcard == (a.Challenge == DNS01) || !d.IP.IsValid() && !d.Wildcard
		}
		switch {
		case slices.ContainsFunc(accounts, byChallenge):
			b.fault(places[i], "No account for the name", "None of %s has a zone for %s; add it to zones of one, or name another account.", names, d.Typed)
		case d.Wildcard:
			b.fault(places[i], "Challenge cannot prove the name", "%s answers no challenge by which a CA issues for the wildcard %s (RFC 8555 section 7.1.3); use an account with a DNS provider.", names, d.Typed)
		default:
			b.fault(places[i], "Challenge cannot prove the name", "%s answers the challenge dns-01, which cannot prove the address %s (RFC 8738 section 7); use an account with challenge = \"http-01\" or \"tls-alpn-01\".", names, d.Typed)
		}
	}
}
