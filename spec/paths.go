package spec

import (
	"regexp"
	"strings"
	"unicode"
)

// Below tells whether a path is a prefix or lies in it, by whole segments.
func Below(p, prefix string) bool {
	prefix = strings.Trim(prefix, "/")
	return prefix != "" && (p == prefix || strings.HasPrefix(p, prefix+"/"))
}

// Under tells whether a path lies under a prefix: one that ends with a slash
// allows what lies below, one that does not the secret of that name too.
func Under(p, prefix string) bool {
	return Below(p, prefix) && (!strings.HasSuffix(prefix, "/") || p != strings.Trim(prefix, "/"))
}

// BadSecretPath says what is wrong with a path in Vault; "" where nothing is.
func BadSecretPath(p string) string {
	switch {
	case p == "":
		return "the path is empty"
	case len(p) > 512:
		return "the path is longer than 512 bytes"
	case strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/"):
		return "the path begins or ends with a slash"
	}
	for _, segment := range strings.Split(p, "/") {
		switch segment {
		case "":
			return "the path has an empty segment (//)"
		case ".", "..":
			return "the path has the segment " + segment + ", which would lead elsewhere"
		}
		if segment != strings.TrimSpace(segment) {
			return "a segment of the path begins or ends with a space"
		}
	}
	for _, r := range p {
		if !unicode.IsPrint(r) || strings.ContainsRune(`%?#*+\`, r) {
			return "the path holds a character that Vault's paths and policies take for something else"
		}
	}
	return ""
}

// certificateName is safe as a file name and as a segment of a Vault path.
var certificateName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// IsCertificateName tells whether a certificate can be called so.
func IsCertificateName(name string) bool { return certificateName.MatchString(name) }

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// IsVariableName tells whether an environment variable can be called so.
func IsVariableName(name string) bool { return variableName.MatchString(name) }
