package spec

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"certroll/spec/text"
)

// Protocol says how a connection reaches TLS.
type Protocol string

// The protocols of a probe.
const (
	PlainTLS Protocol = "tls"      // TLS from the first byte
	SMTP     Protocol = "smtp"     // STARTTLS (RFC 3207)
	IMAP     Protocol = "imap"     // STARTTLS (RFC 9051 section 6.2.1)
	Postgres Protocol = "postgres" // SSLRequest message
)

// startTLS are the schemes of the protocols that begin in plain text.
var startTLS = []string{string(SMTP), string(IMAP), string(Postgres)}

// Probe is an endpoint that should serve the certificate. certroll connects to it and
// checks the served certificate.
type Probe struct {
	Protocol Protocol
	Host     string // A-labels, or an address in canonical form
	Port     uint16
	// ServerName is sent as the SNI (RFC 6066 section 3). It is "" if the certificate has
	// only addresses.
	ServerName string
}

// Endpoint returns the probe in its written form: "api.example.com:443",
// "smtp://mail.example.com:25".
func (p Probe) Endpoint() string {
	at := net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))
	if p.Protocol == PlainTLS {
		return at
	}
	return string(p.Protocol) + "://" + at
}

// domain returns the host as a Domain, to compare with policies and certificates.
func (p Probe) domain() Domain {
	ip, _ := netip.ParseAddr(p.Host)
	return Domain{Typed: p.Host, ASCII: p.Host, IP: ip}
}

// ParseProbe reads an endpoint. why describes a mistake and how to fix it; it is "" if
// there is none.
func ParseProbe(typed string) (p Probe, why string) {
	p.Protocol = PlainTLS
	rest := typed
	if scheme, after, ok := strings.Cut(typed, "://"); ok {
		if !slices.Contains(startTLS, scheme) {
			return p, "write host and port alone, \"api.example.com:443\", for TLS from the first byte on, and " + text.OneOf(startTLS) + " before :// for what begins in plain text"
		}
		p.Protocol, rest = Protocol(scheme), after
	}
	host, port, err := net.SplitHostPort(rest)
	switch {
	case err != nil && net.ParseIP(rest) != nil && strings.Contains(rest, ":"):
		return p, "an IPv6 address stands in brackets, and the port follows: \"[2001:db8::1]:443\""
	case err != nil && !strings.Contains(rest, ":"):
		return p, "host and port are both there: \"api.example.com:443\""
	case err != nil:
		return p, "write host and port: \"api.example.com:443\", \"[2001:db8::1]:443\""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return p, "the port is a number from 1 to 65535"
	}
	p.Port = uint16(n)
	if strings.Contains(host, "*") {
		return p, "a wildcard is no host that can be connected to; name one that it stands for"
	}
	p.Host, why = ParseHost(host)
	return p, why
}

// ParseHost reads a host name or an address. why describes a mistake.
func ParseHost(typed string) (host, why string) {
	if addr, err := netip.ParseAddr(typed); err == nil {
		d, why := parseAddress(Domain{}, addr)
		return d.ASCII, why
	}
	if why := notAName(typed); why != "" {
		return "", why
	}
	return toASCII(typed)
}

// ServerName chooses the SNI for an endpoint: the host if the certificate names it, else
// the certificate's first name that is no wildcard. If there are only wildcards, why says
// so. For addresses both results are "".
func ServerName(p Probe, domains []Domain) (name, why string) {
	host := p.domain()
	if speaksOf(domains, host) {
		if host.IP.IsValid() {
			return "", ""
		}
		return p.Host, ""
	}
	wildcards := false
	for _, d := range domains {
		switch {
		case d.Wildcard:
			wildcards = true
		case !d.IP.IsValid():
			return d.ASCII, ""
		}
	}
	if wildcards {
		return "", "the certificate is for wildcards alone, and which name to ask for there is not known; write a host that it is for, as in \"www" + strings.TrimPrefix(domains[0].ASCII, "*") + ":443\""
	}
	return "", ""
}

// speaksOf reports whether a certificate for these domains is valid for the host.
func speaksOf(domains []Domain, host Domain) bool {
	_, above, _ := strings.Cut(host.ASCII, ".")
	return slices.ContainsFunc(domains, func(d Domain) bool {
		return d.ASCII == host.ASCII || d.Wildcard && !host.IP.IsValid() && d.ASCII == "*."+above
	})
}
