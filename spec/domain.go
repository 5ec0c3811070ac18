package spec

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"certroll/spec/text"
)

// lookup maps a name as people type it to A-labels (RFC 5891). UTS 46 maps upper case and
// full-width forms.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.StrictDomainName(true), idna.Transitional(false))

// ParseDomain reads one subject alternative name: a host name, a wildcard or an IP
// address. why describes a mistake and how to fix it; it is "" if there is none.
func ParseDomain(typed string) (d Domain, why string) {
	d.Typed = typed
	if addr, err := netip.ParseAddr(typed); err == nil {
		return parseAddress(d, addr)
	}
	if why := notAName(typed); why != "" {
		return d, why
	}
	name := typed
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		d.Wildcard, name = true, rest
	}
	if strings.Contains(name, "*") {
		return d, "a wildcard stands for exactly one label, the first: \"*.example.com\""
	}
	ascii, why := toASCII(name)
	if why != "" {
		return d, why
	}
	if suffix, icann := publicsuffix.PublicSuffix(ascii); icann && suffix == ascii {
		return d, fmt.Sprintf("%s is a public suffix, below which anybody may register; no CA issues for it", name)
	}
	if d.ASCII = ascii; d.Wildcard {
		d.ASCII = "*." + ascii
	}
	if len(d.ASCII) > maxName {
		return d, fmt.Sprintf("the name has %d characters; RFC 1035 allows %d", len(d.ASCII), maxName)
	}
	return d, ""
}

func parseAddress(d Domain, addr netip.Addr) (Domain, string) {
	if addr.Zone() != "" {
		return d, "an address with a zone is good on one host only"
	}
	d.IP = addr.Unmap()
	d.ASCII = d.IP.String()
	return d, ""
}

// notAName recognizes common mistakes: texts that people write in place of a name.
func notAName(s string) string {
	switch {
	case s == "":
		return "the name is empty"
	case !utf8.ValidString(s):
		return "this is no UTF-8 text"
	case strings.Contains(s, "://"):
		return "this is a URL; write the host name alone"
	case strings.ContainsAny(s, " \t\r\n"):
		return "a name holds no blanks"
	case strings.Contains(s, "@"):
		return "this is an e-mail address; write the host name alone"
	case strings.HasPrefix(s, "["):
		return "write an IPv6 address without brackets"
	case strings.Contains(s, "/"):
		return "write the host name or address alone, without a path or prefix length"
	case strings.Contains(s, ":"):
		return "write the host name or address alone, without a port"
	case strings.HasSuffix(s, "."):
		return "leave the trailing dot out"
	case strings.HasPrefix(s, "."), strings.Contains(s, ".."):
		return "a label between the dots is empty"
	}
	return ""
}

// The bounds of RFC 1035 section 2.3.4, in characters of the text form.
const (
	maxName  = 253
	maxLabel = 63
)

// MaxDomainText is the longest name, in bytes, that certroll converts to A-labels. The
// conversion takes time quadratic in the length.
const MaxDomainText = 2_048

// toASCII converts a host name to A-labels and checks the rules of RFC 1035 that CAs
// enforce.
func toASCII(name string) (ascii, why string) {
	if strings.Contains(name, "_") {
		return "", "the underscore is not allowed in host names (RFC 1035), and CAs refuse it"
	}
	if len(name) > MaxDomainText {
		return "", fmt.Sprintf("the name has %d bytes; RFC 1035 allows %d characters", len(name), maxName)
	}
	ascii, err := lookup.ToASCII(name)
	for label := range strings.SplitSeq(ascii, ".") {
		switch {
		case len(label) > maxLabel:
			return "", fmt.Sprintf("the label %q has %d characters; RFC 1035 allows %d", text.Short(label), len(label), maxLabel)
		case strings.HasPrefix(label, "-"), strings.HasSuffix(label, "-"):
			return "", fmt.Sprintf("the label %q begins or ends with a hyphen", text.Short(label))
		case label == "":
			return "", "a label between the dots is empty"
		}
	}
	switch {
	case err != nil:
		return "", fmt.Sprintf("this cannot be written as A-labels (%s)", strings.TrimPrefix(err.Error(), "idna: "))
	case len(ascii) > maxName:
		return "", fmt.Sprintf("the name has %d characters; RFC 1035 allows %d", len(ascii), maxName)
	case allDigits(ascii[strings.LastIndex(ascii, ".")+1:]):
		return "", "the last label is a number: an address is written with all of its parts"
	}
	return ascii, ""
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// Domain is one subject alternative name.
type Domain struct {
	Typed    string // as the owner typed it, possibly a U-label
	ASCII    string // as sent to the CA: lower-case A-labels without trailing dot, "*." kept; or the address
	Wildcard bool
	IP       netip.Addr // valid only for an IP address (RFC 8738)
}
