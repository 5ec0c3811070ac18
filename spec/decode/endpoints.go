package decode

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/providers"
	"certroll/spec/text"
)

// endpointRule returns the new rule of trust.endpoints, with the list element that allows
// a host.
func endpointRule(host string, port uint16) spec.NewRule {
	at := net.JoinHostPort(strings.TrimSuffix(strings.ToLower(host), "."), strconv.Itoa(int(port)))
	return spec.NewRule{Name: "trust.endpoints", Allow: spec.Allowance{Block: "trust", Setting: "endpoints", Value: strconv.Quote(at), List: true}}
}

// reachOf returns the limits on the connections of a block.
func (d *decoder) reachOf(trusted bool) spec.Reach {
	return spec.Reach{Anything: trusted, Rules: d.trust.Endpoints, Ambient: trusted || d.trust.Ambient, Zones: d.trust.CNAMEZones}
}

// checkEndpoint checks an address in a file of the repo against trust.endpoints.
func (b *body) checkEndpoint(reach spec.Reach, what, host string, port uint16, at *hcl.Range) {
	if b.d.trust.Known && !reach.Names(host, port) {
		b.RefuseNew(endpointRule(host, port), at, "Endpoint not allowed",
			"%s leads to %s, which the config repo may not name. Move the block to certroll.hcl, or have trust.endpoints there allow the address.", what, text.Short(host))
	}
}

// checkVariable checks a variable by its kind: addresses, host labels, choices and
// ambient identities each have a rule. It reports whether the variable becomes part of
// the account; a violation of a NewRule is reported and still kept.
func (b *body) checkVariable(a *spec.DNSAccount, c credential, v spec.Value) bool {
	kind := providers.KindOf(c.name)
	if kind == providers.Unclassified {
		b.Fault(c.nameAt, "Variable not allowed", "%s is not classified: certroll does not know whether it leads to another server.", c.name)
		return false
	}
	if a.Reach.Anything || kind == providers.Plain || a.Provider == "" { // an unknown provider was rejected
		return true
	}
	if a.Provider == "httpreq" && (b.d.trust.HTTPReq || !b.d.trust.Known) {
		return true // trust.httpreq allows all its addresses
	}
	literal := v.Source == spec.Literal
	switch kind {
	case providers.Label:
		if literal && !providers.IsLabel(v.Text) {
			b.RefuseNew(spec.NewRule{Name: "dns.credentials"}, c.valAt, "Invalid value", "%s becomes part of a host name: write 1 to 40 lower-case letters, digits and hyphens.", c.name)
		}
	case providers.Port:
		if _, ok := providers.ParsePort(v.Text); literal && !ok {
			b.RefuseNew(spec.NewRule{Name: "dns.credentials"}, c.valAt, "Invalid value", "%s is a port: write a number from 1 to 65535.", c.name)
		}
	case providers.Choice:
		if literal && !providers.IsChoice(c.name, v.Text) {
			b.RefuseNew(spec.NewRule{Name: "dns.credentials"}, c.valAt, "Unknown value", "%s chooses a server: write one of %s.", c.name, text.OneOf(providers.Choices(c.name)))
		}
	case providers.Ambient:
		if b.d.trust.Known && !a.Reach.Ambient && (!literal || providers.ChoosesAmbient(c.name, v.Text)) {
			b.RefuseNew(ambientRule, c.valAt, "Ambient credentials not allowed", "%s uses an identity of the machine that certroll runs on, which the config repo may not use.", c.name)
		}
	default:
		b.checkAddress(a, kind, c, v)
	}
	return true
}

// checkAddress checks a variable that contains an address. A reference is checked after
// certroll resolved it; see DNSAccount.CheckResolved.
func (b *body) checkAddress(a *spec.DNSAccount, kind providers.Kind, c credential, v spec.Value) {
	if v.Source != spec.Literal {
		if b.d.trust.Known && len(b.d.trust.Endpoints) == 0 {
			b.RefuseNew(spec.NewRule{Name: "trust.endpoints"}, c.valAt, "Endpoint not allowed",
				"%s holds an address that trust.endpoints in certroll.hcl does not allow, since it allows none. Write the address itself, or move the block to certroll.hcl.", c.name)
		}
		return
	}
	host, port, ok := spec.ParseEndpoint(kind, v.Text)
	if slices.Contains(providers.GoRound(), a.Provider) {
		b.RefuseNew(spec.NewRule{Name: "trust.endpoints"}, c.valAt, "Endpoint not allowed", "%s: what the provider %s connects to cannot be checked. Move the block to certroll.hcl.", c.name, a.Provider)
		return
	}
	if !ok {
		b.RefuseNew(spec.NewRule{Name: "trust.endpoints"}, c.valAt, "Invalid address", "%s = %q: write a plain https:// URL or host and port, without a user name, so that it can be checked against trust.endpoints.", c.name, text.Short(v.Text))
		return
	}
	b.checkEndpoint(a.Reach, c.name, host, port, c.valAt)
}

var ambientRule = spec.NewRule{Name: "trust.ambient", Allow: spec.Allowance{Block: "trust", Setting: "ambient", Value: "true"}}

// checkAmbient rejects an account that would use the machine's own identity, because its
// explicit credentials are incomplete.
func (b *body) checkAmbient(a *spec.DNSAccount) {
	sets, ok := providers.ExplicitIdentity(a.Provider)
	if !ok || a.Reach.Ambient || !b.d.trust.Known {
		return
	}
	complete := func(set []string) bool {
		return !slices.ContainsFunc(set, func(name string) bool { _, there := a.Credentials[name]; return !there })
	}
	if slices.ContainsFunc(sets, complete) {
		return
	}
	wanted := make([]string, len(sets))
	for i, set := range sets {
		wanted[i] = strings.Join(set, " and ")
	}
	at := b.At
	if c := b.Syntax.Attributes["credentials"]; c != nil {
		at = c.NameRange.Ptr()
	}
	b.RefuseNew(ambientRule, at, "Ambient credentials not allowed",
		"Without %s the provider %s uses an identity of the machine that certroll runs on, which the config repo may not use.", strings.Join(wanted, ", or "), a.Provider)
}

// checkPort checks a port that a provider reads from a variable of its own.
func (b *body) checkPort(a *spec.DNSAccount) {
	for name, of := range providers.HostOfPort() {
		port, host := a.Credentials[name], a.Credentials[of]
		if port.Text == "" || host.Text == "" || a.Reach.Anything {
			continue // a reference is checked after certroll resolved it
		}
		n, isPort := providers.ParsePort(port.Text)
		server, _, isHost := spec.ParseEndpoint(providers.Host, host.Text)
		if isPort && isHost { // else reported already
			b.checkEndpoint(a.Reach, name, server, n, &port.Range)
		}
	}
}

// credential is one entry of the credentials map, with its places.
type credential struct {
	name          string
	nameAt, valAt *hcl.Range
	value         cty.Value
}
