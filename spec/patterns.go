package spec

import (
	"net/netip"
	"path"
	"strings"
)

// MatchGlob reports whether a path matches a glob: "*" and "?" match parts of one
// segment, "[a-z]" one character of it, and "**" any number of segments, including none.
func MatchGlob(glob, file string) bool {
	segments := strings.Split(file, "/")
	// reached[i] is true if the parts of the glob read so far match the first i segments.
	// This is one row of a dynamic programming table: the time is at most the product of
	// both lengths, even for hostile globs with many "**".
	reached := make([]bool, len(segments)+1)
	reached[0] = true
	for part := range strings.SplitSeq(glob, "/") {
		next := make([]bool, len(reached))
		for i, was := range reached {
			switch {
			case part == "**":
				next[i] = was || i > 0 && next[i-1]
			case was && i < len(segments):
				ok, err := path.Match(part, segments[i])
				next[i+1] = ok && err == nil
			}
		}
		reached = next
	}
	return reached[len(segments)]
}

// BadGlob describes a mistake in a glob; "" if there is none.
func BadGlob(glob string) string {
	for part := range strings.SplitSeq(glob, "/") {
		switch {
		case glob == "":
			return "the glob is empty"
		case strings.HasPrefix(glob, "/"):
			return "paths are relative to the directory of the config repo and do not begin with a slash"
		case part == "":
			return "a segment between the slashes is empty; write \"teams/shop/**\" for all that lies in teams/shop"
		case part == "." || part == "..":
			return "paths are written without . and .."
		case part != "**" && strings.Contains(part, "**"):
			return "** stands alone between slashes, for any number of directories"
		}
		if _, err := path.Match(part, ""); err != nil {
			return "a bracket is not closed, or a backslash ends it"
		}
	}
	return ""
}

// NamePattern covers a set of names, or a range of addresses.
type NamePattern struct {
	Typed string
	reach reach
	name  string // in A-labels; "" with reach deep covers every name
	addrs netip.Prefix
}

type reach int

const (
	exact  reach = iota // "shop.example.com": that name alone
	below1              // "*.shop.example.com": one label below it
	deep                // "**.shop.example.com": any number of labels below it, at least one
)

// ParseNamePattern reads a pattern. why describes a mistake; it is "" if there is none.
func ParseNamePattern(typed string) (p NamePattern, why string) {
	p.Typed = typed
	if p.addrs, why = parsePrefix(typed); p.addrs.IsValid() || why != "" {
		return p, why
	}
	name, isDeep := strings.CutPrefix(typed, "**.")
	switch {
	case typed == "**":
		p.reach = deep
		return p, ""
	case isDeep:
		p.reach = deep
	case strings.HasPrefix(typed, "*."):
		p.reach, name = below1, typed[len("*."):]
	}
	if strings.Contains(name, "*") {
		return p, "stars stand at the beginning only, as a label: \"*.example.com\" for one label below, \"**.example.com\" for any number"
	}
	if why := notAName(name); why != "" {
		return p, why
	}
	p.name, why = toASCII(name)
	return p, why
}

// parsePrefix reads an address or a range of addresses. It returns the zero prefix and ""
// if typed is neither.
func parsePrefix(typed string) (netip.Prefix, string) {
	prefix, err := netip.ParsePrefix(typed)
	if err != nil {
		addr, err := netip.ParseAddr(typed)
		if err != nil {
			return netip.Prefix{}, ""
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, "an address with a zone is good on one host only"
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	switch {
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, "write it as an IPv4 address"
	case prefix != prefix.Masked():
		return netip.Prefix{}, "the address has bits beyond the prefix; write " + prefix.Masked().String()
	}
	return prefix, ""
}

// Covers reports whether the pattern allows a certificate for d. A wildcard is allowed
// only if the pattern allows all names that the wildcard matches.
func (p NamePattern) Covers(d Domain) bool {
	if d.IP.IsValid() || p.addrs.IsValid() {
		return p.addrs.IsValid() && p.addrs.Contains(d.IP)
	}
	switch p.reach {
	case deep:
		return p.name == "" || strings.HasSuffix(d.ASCII, "."+p.name)
	case below1:
		_, above, _ := strings.Cut(d.ASCII, ".")
		return above == p.name
	default:
		return d.ASCII == p.name // never matches a wildcard: p.name contains no star
	}
}
