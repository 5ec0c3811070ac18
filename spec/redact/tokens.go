package redact

import (
	"net/url"
	"regexp"
	"strings"
)

// The shapes by which a secret is known without its value.
var (
	// A CA that pauses an account puts a link into the problem's detail whose
	// query holds a signed token: whoever has it may act for the account. One
	// that was cut short is still one.
	jwt      = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?`)
	jwtQuery = regexp.MustCompile(`(?i)[?&](?:jwt|token)=[^&\s"'<>]+`)
	// The prefixes by which services mark their tokens.
	marked = regexp.MustCompile(`\b(gh[pousr]_|github_pat_|glpat-|hv[sbr]\.|xox[abprs]-|dop_v1_|sk_live_|npm_|pypi-|SG\.)[A-Za-z0-9_-]{16,}`)
	// A private key in PEM, whole or cut short, its lines escaped or not.
	privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[A-Za-z0-9+/=\s]|\\[nr])*(?:-----END [A-Z ]*PRIVATE KEY-----)?`)
	// A password within a URL: the text between the name and the host.
	login = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@:\s"'<>]*:[^/@\s"'<>]+@`)
	// The credential of an Authorization header; "Basic authentication" is none.
	header = regexp.MustCompile(`(?i)\b(?:basic|bearer) +[A-Za-z0-9+/_.~-]{12,}=*`)
	jumble = regexp.MustCompile(`[0-9=]|[a-z].*[A-Z]`)
)

// Tokens returns text without what is a secret by its shape: signed tokens,
// tokens with a known prefix, private keys in PEM, the logins in URLs and the
// credentials of HTTP's Authorization header.
func Tokens(text string) string {
	text = jwtQuery.ReplaceAllStringFunc(text, func(q string) string {
		name, value, _ := strings.Cut(q, "=")
		if strings.HasPrefix(value, Struck) {
			return q // texts pass here more than once
		}
		return name + "=" + Struck
	})
	text = jwt.ReplaceAllString(text, Struck)
	text = marked.ReplaceAllString(text, Struck)
	text = privateKey.ReplaceAllString(text, Struck)
	text = login.ReplaceAllString(text, "${1}"+Struck+"@")
	return header.ReplaceAllStringFunc(text, func(h string) string {
		scheme, credential, _ := strings.Cut(h, " ")
		if !jumble.MatchString(credential) {
			return h
		}
		return scheme + " " + Struck
	})
}

// strictJWT is a token that nobody takes for the name of a host.
var strictJWT = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`)

// Shape says what secret a text holds by its looks; "" where it holds none. It
// is stricter than Tokens: it refuses what somebody wrote.
func Shape(text string) string {
	switch {
	case strictJWT.MatchString(text):
		return "a signed token"
	case marked.MatchString(text):
		return "a token"
	}
	return ""
}

var anyURL = regexp.MustCompile(`https?://[^\s"'<>]+\?[^\s"'<>]+`)

// Queries cuts the query and the login off the URLs in a text: some DNS
// providers send a key there, encoded in ways that a search for its value does
// not find.
func Queries(text string) string {
	return anyURL.ReplaceAllStringFunc(text, func(u string) string {
		parsed, err := url.Parse(u)
		if err != nil {
			return u[:strings.IndexByte(u, '?')] + "?" + Struck
		}
		parsed.RawQuery, parsed.User = "", nil
		return parsed.String() + "?" + Struck
	})
}
