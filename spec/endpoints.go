package spec

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"certroll/spec/text"

	"github.com/hashicorp/hcl/v2"
)

// Reach says which addresses a connection on behalf of an issuer or a DNS
// account may lead to. The zero value is strict: public addresses alone.
//
// Two things are checked, as for probes (see ProbeRules): the host as written,
// when the config repo is decoded, and each address, when it is connected to.
type Reach struct {
	// Anything: the block stands in certroll.hcl, whose author may reach all.
	Anything bool
	Rules    ProbeRules // trust.endpoints
	// Ambient: the machine's own identities may be used (trust.ambient).
	Ambient bool
	// Zones are those that a CNAME at _acme-challenge may lead into besides
	// names that begin with _acme-challenge (dns.cname_zones of certroll.hcl), and
	// Led the names that it led to when the certificate was issued last.
	Zones, Led []string
	// LedAnywhere: the certificate was issued last by a certroll that did not
	// note where CNAMEs led.
	LedAnywhere bool
}

// oneName are the providers that can write the one name that the CNAME leads to
// and no other: their servers make it up, and nothing else is at it.
var oneName = []string{"acme-dns"}

// Writes tells whether the answer to a challenge may be written at a name that
// CNAMEs lead to. A team that has its own zone could else have any TXT record of
// the account's zones replaced: an SPF or a DMARC record, another's challenge.
func (a *DNSAccount) Writes(target string) bool {
	target = strings.ToLower(strings.TrimSuffix(target, "."))
	within := func(zone string) bool { return target == zone || strings.HasSuffix(target, "."+zone) }
	return strings.HasPrefix(target, "_acme-challenge.") || slices.ContainsFunc(a.Reach.Zones, within) ||
		a.Reach.LedAnywhere || slices.Contains(a.Reach.Led, target) || slices.Contains(oneName, a.Provider)
}

// Dials tells whether an address may be connected to.
func (r Reach) Dials(at netip.AddrPort) bool { return r.Anything || r.Rules.Dials(at) }

// Names tells whether a host may be named: an address where it may be connected
// to, a name where a rule says so.
func (r Reach) Names(host string, port uint16) bool {
	if r.Anything {
		return true
	}
	name, why := parseHost(strings.TrimSuffix(host, "."))
	if why != "" {
		return false
	}
	ip, _ := netip.ParseAddr(name)
	return slices.ContainsFunc(r.Rules, func(rule probeRule) bool { return rule.takes(Domain{ASCII: name, IP: ip}, port) })
}

// endpointText is an address as certroll and every provider read it alike.
var endpointText = regexp.MustCompile(`^(?:(https?)://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/[A-Za-z0-9._~/%@:=&?+,;-]*)?$`)

// parseEndpoint reads the host and the port of an address that a variable holds.
func parseEndpoint(kind variableKind, text string) (host string, port uint16, ok bool) {
	m := endpointText.FindStringSubmatch(text)
	usual := uint64(443)
	switch {
	case m == nil && kind == serverVariable && net.ParseIP(text) != nil: // an IPv6 address without brackets
		return text, 53, true
	case m == nil:
		return "", 0, false
	case kind == serverVariable:
		usual = 53
	case kind == realmVariable:
		usual = 88
	case m[1] == "http":
		usual = 80
	}
	if m[3] != "" {
		n, err := strconv.ParseUint(m[3], 10, 16)
		if err != nil || n == 0 {
			return "", 0, false
		}
		usual = n
	}
	return strings.Trim(m[2], "[]"), uint16(usual), true
}

// endpointRule is the new rule of trust.endpoints, with the element that allows
// a host.
func endpointRule(host string, port uint16) NewRule {
	at := net.JoinHostPort(strings.TrimSuffix(strings.ToLower(host), "."), strconv.Itoa(int(port)))
	return NewRule{Name: "trust.endpoints", Allow: Allowance{Block: "trust", Setting: "endpoints", Value: strconv.Quote(at), List: true}}
}

// reachOf is what a block may connect to.
func (d *decoder) reachOf(trusted bool) Reach {
	return Reach{Anything: trusted, Rules: d.trust.Endpoints, Ambient: trusted || d.trust.Ambient, Zones: d.trust.CNAMEZones}
}

// checkEndpoint holds an address that a file of the repo names against
// trust.endpoints.
func (b *body) checkEndpoint(reach Reach, what, host string, port uint16, at *hcl.Range) {
	if b.d.trust.Known && !reach.Names(host, port) {
		b.refuseNew(endpointRule(host, port), at, "Endpoint not allowed",
			"%s leads to %s, which the config repo may not name. Move the block to certroll.hcl, or have trust.endpoints there allow the address.", what, text.Short(host))
	}
}

// checkVariable holds a variable against what it may lead to. It reports whether
// the variable may be part of the account.
func (b *body) checkVariable(a *DNSAccount, c credential, v Value) bool {
	kind := kindOfVariable(c.name)
	if kind == unclassified {
		b.fault(c.nameAt, "Variable not allowed", "%s is not classified: certroll does not know whether it leads to another server.", c.name)
		return false
	}
	if a.Reach.Anything || kind == plainVariable || a.Provider == "" { // which was refused
		return true
	}
	if a.Provider == "httpreq" && (b.d.trust.HTTPReq || !b.d.trust.Known) {
		return true // allowed as a whole
	}
	literal := v.Source == Literal
	switch kind {
	case labelVariable:
		if literal && !labelText.MatchString(v.Text) {
			b.refuseNew(NewRule{Name: "dns.credentials"}, c.valAt, "Invalid value", "%s becomes part of a host name: write 1 to 40 lower-case letters, digits and hyphens.", c.name)
		}
	case choiceVariable:
		if literal && !isChoice(c.name, v.Text) {
			b.refuseNew(NewRule{Name: "dns.credentials"}, c.valAt, "Unknown value", "%s chooses a server: write one of %s.", c.name, text.OneOf(choices[c.name]))
		}
	case ambientVariable:
		if b.d.trust.Known && !a.Reach.Ambient && (!literal || !slices.Contains(notAmbient[c.name], v.Text)) {
			b.refuseNew(ambientRule, c.valAt, "Ambient credentials not allowed", "%s uses an identity of the machine that certroll runs on, which the config repo may not use.", c.name)
		}
	default:
		b.checkAddress(a, kind, c, v)
	}
	return true
}

// checkAddress checks a variable that holds an address. One that is a reference
// is checked when it is followed; see DNSAccount.CheckResolved.
func (b *body) checkAddress(a *DNSAccount, kind variableKind, c credential, v Value) {
	if v.Source != Literal {
		if b.d.trust.Known && len(b.d.trust.Endpoints) == 0 {
			b.refuseNew(NewRule{Name: "trust.endpoints"}, c.valAt, "Endpoint not allowed",
				"%s holds an address that trust.endpoints in certroll.hcl does not allow, since it allows none. Write the address itself, or move the block to certroll.hcl.", c.name)
		}
		return
	}
	host, port, ok := parseEndpoint(kind, v.Text)
	if goRound[a.Provider] {
		b.refuseNew(NewRule{Name: "trust.endpoints"}, c.valAt, "Endpoint not allowed", "%s: what the provider %s connects to cannot be checked. Move the block to certroll.hcl.", c.name, a.Provider)
		return
	}
	if !ok {
		b.refuseNew(NewRule{Name: "trust.endpoints"}, c.valAt, "Invalid address", "%s = %q: write a plain https:// URL or host and port, without a user name, so that it can be checked against trust.endpoints.", c.name, text.Short(v.Text))
		return
	}
	b.checkEndpoint(a.Reach, c.name, host, port, c.valAt)
}

var ambientRule = NewRule{Name: "trust.ambient", Allow: Allowance{Block: "trust", Setting: "ambient", Value: "true"}}

// checkAmbient refuses an account that would use the machine's own identity.
func (b *body) checkAmbient(a *DNSAccount) {
	sets, ok := explicit[a.Provider]
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
	at := b.at
	if c := b.src.Attributes["credentials"]; c != nil {
		at = c.NameRange.Ptr()
	}
	b.refuseNew(ambientRule, at, "Ambient credentials not allowed",
		"Without %s the provider %s uses an identity of the machine that certroll runs on, which the config repo may not use.", strings.Join(wanted, ", or "), a.Provider)
}

// CheckResolved checks the variables of an account that hold an address, once
// references were followed. The answer names the variable and not its value,
// which may be a secret by mistake; "" where all may be reached.
func (a *DNSAccount) CheckResolved(values map[string]string) (refused string) {
	if a.Reach.Anything || a.Provider == "httpreq" {
		return ""
	}
	for name, text := range values {
		if a.Credentials[name].Source == Literal {
			continue // checked when it was decoded
		}
		good := true
		switch kind := kindOfVariable(name); kind {
		case urlVariable, hostVariable, serverVariable, realmVariable:
			host, port, ok := parseEndpoint(kind, text)
			good = ok && a.Reach.Names(host, port)
		case labelVariable:
			good = labelText.MatchString(text)
		case choiceVariable:
			good = isChoice(name, text)
		case ambientVariable:
			good = a.Reach.Ambient || slices.Contains(notAmbient[name], text)
		case plainVariable, unclassified:
		}
		if !good {
			return name
		}
	}
	return ""
}

func isChoice(name, text string) bool {
	return slices.ContainsFunc(choices[name], func(k string) bool { return strings.EqualFold(k, text) })
}

// checkPort checks the port that stands in a variable of its own.
func (b *body) checkPort(a *DNSAccount) {
	port, host := a.Credentials["INFOBLOX_PORT"], a.Credentials["INFOBLOX_HOST"]
	if port.Text == "" || host.Text == "" || a.Reach.Anything {
		return
	}
	n, err := strconv.ParseUint(port.Text, 10, 16)
	name, _, ok := parseEndpoint(hostVariable, host.Text)
	if err != nil || !ok {
		return // told already, or by the provider
	}
	b.checkEndpoint(a.Reach, "INFOBLOX_PORT", name, uint16(n), &port.Range)
}

// knownCA tells whether a directory is one of a well-known CA.
func knownCA(directory string) bool {
	u, err := url.Parse(directory)
	if err != nil {
		return false
	}
	return slices.Contains(knownCAHosts, strings.ToLower(u.Host))
}

// knownCAHosts are the hosts of public CAs that speak ACME, from their own
// documentation.
var knownCAHosts = []string{
	"acme-v02.api.letsencrypt.org", "acme-staging-v02.api.letsencrypt.org",
	"acme.zerossl.com",
	"dv.acme-v02.api.pki.goog", "dv.acme-v02.test-api.pki.goog",
	"acme.ssl.com",
	"api.buypass.com", "api.test4.buypass.no",
	"acme.sectigo.com", "acme-ov.sectigo.com", "acme-ev.sectigo.com",
	"acme.digicert.com",
	"emea.acme.atlas.globalsign.com",
	"acme-api.actalis.com",
}
