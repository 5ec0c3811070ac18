package decode

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

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/hint"
	"certroll/spec/providers"
	"certroll/spec/text"
)

const (
	mostParallel    = 64
	mostPropagation = time.Hour
)

func (d *decoder) decodeDNS() {
	for _, name := range slices.Sorted(maps.Keys(d.DNSBlocks)) {
		decl := d.DNSBlocks[name]
		d.spec.DNS[name] = d.decodeAccount(name, decl)
	}
}

// decodeCNAMEZones reads the dns block without a name. Only certroll.hcl may have it; its
// settings apply to all DNS accounts.
func (d *decoder) decodeCNAMEZones(block *hclsyntax.Block) {
	b := d.body(block, d.trustedCtx)
	d.trust.CNAMEZones = append(d.trust.CNAMEZones, b.zones("cname_zones")...)
	b.Finish()
}

// zones reads a list of domains. A trailing dot is allowed.
func (b *body) zones(setting string) []string {
	var list []string
	for _, e := range b.Texts(setting).Value {
		name, why := spec.ParseHost(strings.TrimSuffix(e.Value, "."))
		if why == "" && net.ParseIP(name) != nil {
			why = "an address is no zone"
		}
		if why != "" {
			b.Fault(e.At, "Invalid zone", "%q: %s.", text.Short(e.Value), why)
			continue
		}
		list = append(list, name)
	}
	return list
}

// decodeAccount decodes a dns block. The challenge decides which settings apply.
func (d *decoder) decodeAccount(name string, decl block.Declared) *spec.DNSAccount {
	b := d.body(decl.Block, d.contextOf(decl))
	b.Subject = "dns." + name
	a := &spec.DNSAccount{Name: name, Challenge: spec.DNS01, FollowCNAME: true, Parallel: 1, Range: decl.Block.DefRange(), Reach: d.reachOf(decl.Trusted)}
	if s := b.Choice("challenge", string(spec.DNS01), string(spec.HTTP01), string(spec.TLSALPN01)); s.OK {
		a.Challenge = spec.Challenge(s.Value)
	}
	if s := b.Integer("parallel", 1, mostParallel); s.OK {
		a.Parallel = s.Value
	}
	a.Zones = b.zones("zones")
	switch a.Challenge {
	case spec.DNS01:
		b.provider(a, decl.Trusted)
		b.propagation(a)
	case spec.HTTP01:
		b.webroot(a, decl.Trusted)
		b.listen(a, ":80")
	case spec.TLSALPN01:
		b.listen(a, ":443")
	}
	b.misplaced(a.Challenge)
	b.Finish()
	return a
}

// misplaced reports settings that belong to another challenge.
func (b *body) misplaced(c spec.Challenge) {
	for name, challenges := range map[string][]spec.Challenge{
		"provider": {spec.DNS01}, "credentials": {spec.DNS01}, "follow_cname": {spec.DNS01},
		"webroot": {spec.HTTP01}, "listen": {spec.HTTP01, spec.TLSALPN01},
	} {
		if a := b.Syntax.Attributes[name]; a != nil && !slices.Contains(challenges, c) && !b.Asked[name] {
			b.Asked[name] = true
			b.Fault(a.NameRange.Ptr(), "Setting of another challenge", "%s says nothing to the challenge %s; leave it out, or change challenge.", name, c)
		}
	}
}

// provider reads the provider and its credentials. The config repo may use httpreq only
// if trust.httpreq allows it, because httpreq posts to any URL.
func (b *body) provider(a *spec.DNSAccount, trusted bool) {
	s := b.Text("provider")
	if s.At == nil { // left out, or null
		b.Lacking("provider", "the code of the DNS provider, as in https://go-acme.github.io/lego/dns/, or another challenge")
	}
	if follow := b.Boolean("follow_cname"); follow.OK {
		a.FollowCNAME = follow.Value
	}
	p, refusal := (*providers.Provider)(nil), ""
	if s.OK {
		p, refusal = providers.Lookup(s.Value)
	}
	switch {
	case !s.OK:
	case refusal != "":
		b.Fault(s.At, "Provider not allowed", "%s", refusal)
	case p == nil:
		b.Fault(s.At, "Unknown provider", "There is no DNS provider %q.%s The codes are listed at https://go-acme.github.io/lego/dns/.", s.Value, hint.DidYouMean(s.Value, providers.Codes()))
	case p.Code == "httpreq" && !trusted && b.d.trust.Known && !b.d.trust.HTTPReq:
		b.Fault(s.At, "Provider not allowed", "httpreq sends requests to any server the file names; it is taken from the config repo only where certroll.hcl says trust { httpreq = true }.")
	default:
		a.Provider = p.Code
	}
	if a.Provider == "httpreq" && b.d.trust.HTTPReq {
		a.Reach.Anything = true // certroll.hcl allows httpreq, which posts to any address
	}
	a.Credentials = b.credentials(a, p, trusted)
	b.checkPort(a)
	b.checkAmbient(a)
}

// credentials reads the map of a provider's variables. p is nil if the provider is
// unknown.
func (b *body) credentials(a *spec.DNSAccount, p *providers.Provider, trusted bool) map[string]spec.Value {
	out := map[string]spec.Value{}
	for _, c := range b.credentialItems() {
		if _, dup := out[c.name]; dup {
			b.Fault(c.nameAt, "Duplicate name", "The variable %s stands in credentials twice.", c.name)
			continue
		}
		v, ok := b.toValue(c.name, c.value, c.valAt, trusted)
		if p != nil && b.credentialAllowed(p, c, v) && ok && b.checkVariable(a, c, v) {
			out[c.name] = v
		}
	}
	return out
}

// credentialItems evaluates the map entry by entry if it is written out, so that each
// entry keeps its own place in messages.
func (b *body) credentialItems() []credential {
	b.Asked["credentials"] = true
	a := b.Syntax.Attributes["credentials"]
	if a == nil {
		return nil
	}
	var items []credential
	if object, ok := a.Expr.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range object.Items {
			key, keyOK := b.d.Eval(item.KeyExpr, b.Context, b.Whole)
			v, ok := b.d.Eval(item.ValueExpr, b.Context, b.Whole)
			name, err := convert.Convert(key, cty.String)
			if !keyOK || !ok || err != nil || name.IsNull() || v.IsNull() {
				continue
			}
			items = append(items, credential{name.AsString(), item.KeyExpr.Range().Ptr(), item.ValueExpr.Range().Ptr(), v})
		}
		return items
	}
	v, ok := b.d.Eval(a.Expr, b.Context, b.Whole)
	at := a.Expr.Range().Ptr()
	if !ok || v.IsNull() {
		return nil
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		b.Fault(at, "Wrong type", "credentials is a map of the provider's variables: credentials = { NAME = vault(\"mount/path\", \"field\") }.")
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

// credentialAllowed checks that the provider has the variable, that certroll allows it,
// and that no secret is written into the file.
func (b *body) credentialAllowed(p *providers.Provider, c credential, v spec.Value) bool {
	refusal, known := p.Variable(c.name)
	switch {
	case refusal != "":
		b.Fault(c.nameAt, "Variable not allowed", "%s", refusal)
		return false
	case !known:
		b.Fault(c.nameAt, "Unknown variable", "The provider %s has no variable %s.%s See https://go-acme.github.io/lego/dns/%[1]s/.", p.Code, c.name, variableHint(c.name, p))
		return false
	case v.Source != spec.Literal:
		return true
	}
	why, secret := providers.LooksSecret(v.Text)
	if providers.IsSecret(c.name) {
		why, secret = c.name+" holds a secret", true
	}
	if secret {
		b.Fault(c.valAt, "Secret written into the file", "%s, and this file is in Git. Put it into Vault and write %s = vault(\"mount/path\", \"field\"), or hand it to the reconciler's environment and write env(\"%s%[2]s\"). What was committed should be changed at the provider.", text.UpperFirst(why), c.name, b.d.firstEnv())
	}
	return !secret
}

func variableHint(name string, p *providers.Provider) string {
	if near := hint.Nearest(name, p.VariableNames()); near != "" {
		return fmt.Sprintf(" Did you mean %s?", near)
	}
	return fmt.Sprintf(" It has %s.", strings.Join(p.VariableNames(), ", "))
}

func (b *body) propagation(a *spec.DNSAccount) {
	in := b.block("propagation")
	if in == nil {
		return
	}
	a.Propagation = spec.Propagation{
		Timeout:  in.Duration("timeout", mostPropagation).Value,
		Interval: in.Duration("interval", time.Minute).Value,
		Wait:     in.Duration("wait", mostPropagation).Value,
	}
	for _, ns := range in.Texts("nameservers").Value {
		if addr, ok := hostPort(ns.Value, "53"); ok {
			a.Propagation.Nameservers = append(a.Propagation.Nameservers, addr)
			in.checkNameserver(a, addr, ns.At)
		} else {
			in.Fault(ns.At, "Invalid address", "%q is no nameserver: write a host name or an address, with or without a port, as in \"192.0.2.53:53\" or \"[2001:db8::53]:53\".", ns.Value)
		}
	}
	in.Finish()
}

// checkNameserver checks a resolver against trust.endpoints.
func (b *body) checkNameserver(a *spec.DNSAccount, addr string, at *hcl.Range) {
	host, text, err := net.SplitHostPort(addr)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err == nil && portErr == nil {
		b.checkEndpoint(a.Reach, "nameservers", host, uint16(port), at)
	}
}

// hostPort adds the default port to an address without one.
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

// listen reads the address of the challenge server. The config repo may choose only the
// ports at which a CA connects (RFC 8555 section 8.3, RFC 8737), so that it cannot open
// others on the reconciler's machine.
func (b *body) listen(a *spec.DNSAccount, usual string) {
	s := b.Text("listen")
	if a.Webroot != "" {
		if s.OK {
			b.Fault(s.At, "Two ways to answer", "The answer is either written to webroot or served on listen; leave one of them out.")
		}
		return
	}
	if a.Listen = usual; !s.OK {
		return
	}
	host, port, err := net.SplitHostPort(s.Value)
	n, portErr := strconv.Atoi(port)
	if err != nil || portErr != nil || n < 1 || n >= 1<<16 || strings.ContainsAny(host, " /@") {
		b.Fault(s.At, "Invalid address", "listen = %q: write an address with a port, as in %q or \"127.0.0.1:5002\".", s.Value, usual)
		return
	}
	if s.Value != ":80" && s.Value != ":443" && !a.Reach.Anything && b.d.trust.Known {
		b.RefuseNew(spec.NewRule{Name: "dns.listen", Allow: spec.Allowance{Text: b.Source()}}, s.At, "Address not allowed",
			"listen = %q: the config repo may have certroll listen on \":80\" and \":443\" only. Move the block to certroll.hcl for another address.", s.Value)
	}
	a.Listen = s.Value
}

// webroot reads a directory for challenge responses. certroll writes into it, so
// trust.webroots must allow it for the config repo.
func (b *body) webroot(a *spec.DNSAccount, trusted bool) {
	s := b.Text("webroot")
	if !s.OK {
		return
	}
	if !path.IsAbs(s.Value) || path.Clean(s.Value) != s.Value {
		b.Fault(s.At, "Invalid path", "webroot = %q: write an absolute path without .. in it.", s.Value)
		return
	}
	inside := func(root string) bool { return spec.Below(s.Value[1:], root) }
	if !trusted && b.d.trust.Known && !slices.ContainsFunc(b.d.trust.Webroots, inside) {
		named := "names, and it names none"
		if len(b.d.trust.Webroots) > 0 {
			named = "names: " + text.OneOf(b.d.trust.Webroots)
		}
		b.Fault(s.At, "Path out of reach", "webroot = %q: the config repo may write only to directories that trust.webroots in certroll.hcl %s.", s.Value, named)
		return
	}
	a.Webroot = s.Value
}
