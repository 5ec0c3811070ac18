package spec

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"certroll/spec/text"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

const (
	mostParallel    = 64
	mostPropagation = time.Hour
)

func (d *decoder) decodeDNS() {
	for _, name := range slices.Sorted(maps.Keys(d.dnsBlocks)) {
		decl := d.dnsBlocks[name]
		d.spec.DNS[name] = d.decodeAccount(name, decl)
	}
}

// decodeCNAMEZones reads the dns block without a name, which certroll.hcl alone
// may have: what holds for all DNS accounts.
func (d *decoder) decodeCNAMEZones(block *hclsyntax.Block) {
	b := d.body(block, d.trustedCtx)
	d.trust.CNAMEZones = append(d.trust.CNAMEZones, b.zones("cname_zones")...)
	b.done()
}

// zones reads a list of domains.
func (b *body) zones(setting string) []string {
	var list []string
	for _, e := range b.texts(setting).v {
		name, why := parseHost(strings.TrimSuffix(e.v, "."))
		if why == "" && net.ParseIP(name) != nil {
			why = "an address is no zone"
		}
		if why != "" {
			b.fault(e.at, "Invalid zone", "%q: %s.", text.Short(e.v), why)
			continue
		}
		list = append(list, name)
	}
	return list
}

func (d *decoder) decodeAccount(name string, decl declared) *DNSAccount {
	b := d.body(decl.block, d.contextOf(decl))
	b.subject = "dns." + name
	a := &DNSAccount{Name: name, Challenge: DNS01, FollowCNAME: true, Parallel: 1, Range: decl.block.DefRange(), Reach: d.reachOf(decl.trusted)}
	if s := b.choice("challenge", string(DNS01), string(HTTP01), string(TLSALPN01)); s.ok {
		a.Challenge = Challenge(s.v)
	}
	if s := b.integer("parallel", 1, mostParallel); s.ok {
		a.Parallel = s.v
	}
	a.Zones = b.zones("zones")
	switch a.Challenge {
	case DNS01:
		b.provider(a, decl.trusted)
		b.propagation(a)
	case HTTP01:
		b.webroot(a, decl.trusted)
		b.listen(a, ":80")
	case TLSALPN01:
		b.listen(a, ":443")
	}
	b.misplaced(a.Challenge)
	b.done()
	return a
}

// misplaced reports settings of another challenge.
func (b *body) misplaced(c Challenge) {
	for name, challenges := range map[string][]Challenge{
		"provider": {DNS01}, "credentials": {DNS01}, "follow_cname": {DNS01},
		"webroot": {HTTP01}, "listen": {HTTP01, TLSALPN01},
	} {
		if a := b.src.Attributes[name]; a != nil && !slices.Contains(challenges, c) && !b.asked[name] {
			b.asked[name] = true
			b.fault(a.NameRange.Ptr(), "Setting of another challenge", "%s says nothing to the challenge %s; leave it out, or change challenge.", name, c)
		}
	}
}

func (b *body) provider(a *DNSAccount, trusted bool) {
	s := b.text("provider")
	if s.at == nil { // left out, or null
		b.lacking("provider", "the code of the DNS provider, as in https://go-acme.github.io/lego/dns/, or another challenge")
	}
	if follow := b.boolean("follow_cname"); follow.ok {
		a.FollowCNAME = follow.v
	}
	p, refusal := (*provider)(nil), ""
	if s.ok {
		p, refusal = lookupProvider(s.v)
	}
	switch {
	case !s.ok:
	case refusal != "":
		b.fault(s.at, "Provider not allowed", "%s", refusal)
	case p == nil:
		b.fault(s.at, "Unknown provider", "There is no DNS provider %q.%s The codes are listed at https://go-acme.github.io/lego/dns/.", s.v, didYouMean(s.v, Providers()))
	case p.code == "httpreq" && !trusted && b.d.trust.Known && !b.d.trust.HTTPReq:
		b.fault(s.at, "Provider not allowed", "httpreq sends requests to any server the file names; it is taken from the config repo only where certroll.hcl says trust { httpreq = true }.")
	default:
		a.Provider = p.code
	}
	if a.Provider == "httpreq" && b.d.trust.HTTPReq {
		a.Reach.Anything = true // certroll.hcl allows it to send to any address
	}
	a.Credentials = b.credentials(a, p, trusted)
	b.checkPort(a)
	b.checkAmbient(a)
}

// credentials reads the map of a provider's variables. p is nil where the
// provider is not known.
func (b *body) credentials(a *DNSAccount, p *provider, trusted bool) map[string]Value {
	out := map[string]Value{}
	for _, c := range b.credentialItems() {
		if _, dup := out[c.name]; dup {
			b.fault(c.nameAt, "Duplicate name", "The variable %s stands in credentials twice.", c.name)
			continue
		}
		v, ok := b.toValue(c.name, c.value, c.valAt, trusted)
		if p != nil && b.credentialAllowed(p, c, v) && ok && b.checkVariable(a, c, v) {
			out[c.name] = v
		}
	}
	return out
}

func (b *body) credentialItems() []credential {
	b.asked["credentials"] = true
	a := b.src.Attributes["credentials"]
	if a == nil {
		return nil
	}
	var items []credential
	if object, ok := a.Expr.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range object.Items {
			key, keyOK := b.d.eval(item.KeyExpr, b.ctx, b.whole)
			v, ok := b.d.eval(item.ValueExpr, b.ctx, b.whole)
			name, err := convert.Convert(key, cty.String)
			if !keyOK || !ok || err != nil || name.IsNull() || v.IsNull() {
				continue
			}
			items = append(items, credential{name.AsString(), item.KeyExpr.Range().Ptr(), item.ValueExpr.Range().Ptr(), v})
		}
		return items
	}
	v, ok := b.d.eval(a.Expr, b.ctx, b.whole)
	at := a.Expr.Range().Ptr()
	if !ok || v.IsNull() {
		return nil
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		b.fault(at, "Wrong type", "credentials is a map of the provider's variables: credentials = { NAME = vault(\"mount/path\", \"field\") }.")
		return nil
	}
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		if !element.IsNull() {
			items = append(items, credential{key.AsString(), at, at, element})
		}
	}
	return items
}

func (b *body) credentialAllowed(p *provider, c credential, v Value) bool {
	refusal, known := p.variable(c.name)
	switch {
	case refusal != "":
		b.fault(c.nameAt, "Variable not allowed", "%s", refusal)
		return false
	case !known:
		b.fault(c.nameAt, "Unknown variable", "The provider %s has no variable %s.%s See https://go-acme.github.io/lego/dns/%[1]s/.", p.code, c.name, variableHint(c.name, p))
		return false
	case v.Source != Literal:
		return true
	}
	why, secret := LooksSecret(v.Text)
	if SecretVariable(c.name) {
		why, secret = c.name+" holds a secret", true
	}
	if secret {
		b.fault(c.valAt, "Secret written into the file", "%s, and this file is in Git. Put it into Vault and write %s = vault(\"mount/path\", \"field\"), or hand it to the reconciler's environment and write env(\"%s%[2]s\"). What was committed should be changed at the provider.", text.UpperFirst(why), c.name, b.d.firstEnv())
	}
	return !secret
}

func variableHint(name string, p *provider) string {
	if near := nearest(name, p.names()); near != "" {
		return fmt.Sprintf(" Did you mean %s?", near)
	}
	return fmt.Sprintf(" It has %s.", strings.Join(p.names(), ", "))
}

func (b *body) propagation(a *DNSAccount) {
	in := b.block("propagation")
	if in == nil {
		return
	}
	a.Propagation = Propagation{
		Timeout:  in.duration("timeout", mostPropagation).v,
		Interval: in.duration("interval", time.Minute).v,
		Wait:     in.duration("wait", mostPropagation).v,
	}
	for _, ns := range in.texts("nameservers").v {
		if addr, ok := hostPort(ns.v, "53"); ok {
			a.Propagation.Nameservers = append(a.Propagation.Nameservers, addr)
			in.checkNameserver(a, addr, ns.at)
		} else {
			in.fault(ns.at, "Invalid address", "%q is no nameserver: write a host name or an address, with or without a port, as in \"192.0.2.53:53\" or \"[2001:db8::53]:53\".", ns.v)
		}
	}
	in.done()
}

// checkNameserver holds a resolver against trust.endpoints.
func (b *body) checkNameserver(a *DNSAccount, addr string, at *hcl.Range) {
	host, text, err := net.SplitHostPort(addr)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err == nil && portErr == nil {
		b.checkEndpoint(a.Reach, "nameservers", host, uint16(port), at)
	}
}

// hostPort completes an address with a port.
func hostPort(s, port string) (string, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return net.JoinHostPort(addr.String(), port), true
	}
	if !strings.Contains(s, ":") {
		s = net.JoinHostPort(s, port)
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, " /@") {
		return "", false
	}
	n, err := strconv.Atoi(p)
	return s, err == nil && n > 0 && n < 1<<16
}

func (b *body) listen(a *DNSAccount, usual string) {
	s := b.text("listen")
	if a.Webroot != "" {
		if s.ok {
			b.fault(s.at, "Two ways to answer", "The answer is either written to webroot or served on listen; leave one of them out.")
		}
		return
	}
	if a.Listen = usual; !s.ok {
		return
	}
	host, port, err := net.SplitHostPort(s.v)
	n, portErr := strconv.Atoi(port)
	if err != nil || portErr != nil || n < 1 || n >= 1<<16 || strings.ContainsAny(host, " /@") {
		b.fault(s.at, "Invalid address", "listen = %q: write an address with a port, as in %q or \"127.0.0.1:5002\".", s.v, usual)
		return
	}
	if s.v != ":80" && s.v != ":443" && !a.Reach.Anything && b.d.trust.Known {
		b.refuseNew(NewRule{Name: "dns.listen", Allow: Allowance{Text: b.source()}}, s.at, "Address not allowed",
			"listen = %q: the config repo may have certroll listen on \":80\" and \":443\" only. Move the block to certroll.hcl for another address.", s.v)
	}
	a.Listen = s.v
}

func (b *body) webroot(a *DNSAccount, trusted bool) {
	s := b.text("webroot")
	if !s.ok {
		return
	}
	if !path.IsAbs(s.v) || path.Clean(s.v) != s.v {
		b.fault(s.at, "Invalid path", "webroot = %q: write an absolute path without .. in it.", s.v)
		return
	}
	inside := func(root string) bool { return below(s.v[1:], root) }
	if !trusted && b.d.trust.Known && !slices.ContainsFunc(b.d.trust.Webroots, inside) {
		named := "names, and it names none"
		if len(b.d.trust.Webroots) > 0 {
			named = "names: " + text.OneOf(b.d.trust.Webroots)
		}
		b.fault(s.at, "Path out of reach", "webroot = %q: the config repo may write only to directories that trust.webroots in certroll.hcl %s.", s.v, named)
		return
	}
	a.Webroot = s.v
}
