package redact

import (
	"net"
	"net/url"
	"regexp"
	"strings"
)

var (
	link  = regexp.MustCompile(`\b([a-zA-Z][a-zA-Z0-9+.-]*)://([^\s"'<>]*)`)
	parts = regexp.MustCompile(`[A-Za-z0-9]+`)
)

// leastPart is the shortest run of letters and digits within a URL that counts as a
// secret of its own.
const leastPart = 8

// Links reduces the URLs in a text to scheme and host: the URL of a chat service is its
// credential.
func Links(text string) string { return link.ReplaceAllStringFunc(text, shortLink) }

// shortLink removes the login, path and query of a URL. It cuts the text by hand, because
// a truncated or malformed URL does not parse.
func shortLink(text string) string {
	m := link.FindStringSubmatch(text)
	rest := m[2]
	host, tail := rest, ""
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
		host, tail = rest[:i], rest[i:]
	}
	// A password with a "/" in it looks like a host and a path with an "@": what is which
	// cannot be told.
	if strings.Contains(tail, "@") {
		return m[1] + "://" + Struck
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host, tail = host[i+1:], "/"
	}
	if tail == "" {
		return m[1] + "://" + host
	}
	return m[1] + "://" + host + "/" + Struck
}

// Parts returns the secrets within a service's URL: all parts but the scheme, and the
// host only if it is no real host. A notification service builds another URL from it, in
// which a token may appear in pieces.
func Parts(raw string) []string {
	secrets := []string{raw}
	u, err := url.Parse(raw)
	if err != nil {
		return append(secrets, parts.FindAllString(raw, -1)...)
	}
	whole := []string{u.Path, u.RawPath, u.RawQuery, u.Fragment, u.Opaque}
	if u.User != nil {
		password, _ := u.User.Password()
		whole = append(whole, u.User.String(), u.User.Username(), password)
	}
	if host := u.Hostname(); !strings.Contains(host, ".") && host != "localhost" && net.ParseIP(host) == nil {
		whole = append(whole, host)
	}
	for _, values := range u.Query() {
		whole = append(whole, values...)
	}
	for _, w := range whole {
		secrets = append(secrets, w)
		secrets = append(secrets, strings.FieldsFunc(w, func(r rune) bool { return strings.ContainsRune("/:@?&=", r) })...)
		for _, piece := range parts.FindAllString(w, -1) {
			if len(piece) >= leastPart {
				secrets = append(secrets, piece)
			}
		}
	}
	return secrets
}

// IsScheme reports whether a word is a valid URL scheme.
func IsScheme(word string) bool { return link.FindString(word+"://") != "" }
