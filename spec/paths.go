package spec

import (
	"regexp"
	"strings"
	"unicode"
)

// Below reports whether p equals prefix or lies below it, by whole segments.
func Below(p, prefix string) bool {
	prefix = strings.Trim(prefix, "/")
	return prefix != "" && (p == prefix || strings.HasPrefix(p, prefix+"/"))
}

// Under reports whether a prefix allows the path p. A prefix with a trailing slash allows
// only paths below it; one without also allows the path itself.
func Under(p, prefix string) bool {
	return Below(p, prefix) && (!strings.HasSuffix(prefix, "/") || p != strings.Trim(prefix, "/"))
}

// BadSecretPath describes a mistake in a Vault path; "" if there is none.
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

// certificateName matches names that are safe as a file name and as a segment of a Vault
// path.
var certificateName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// IsCertificateName reports whether name is valid for a certificate.
func IsCertificateName(name string) bool { return certificateName.MatchString(name) }

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// IsVariableName reports whether name is valid for an environment variable.
func IsVariableName(name string) bool { return variableName.MatchString(name) }
