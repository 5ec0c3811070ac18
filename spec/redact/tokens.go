package redact

import (
	"net/url"
	"regexp"
	"strings"
)

// The shapes by which a secret is recognized without its value.
var (
	// If a CA pauses an account, the problem's detail contains a link with a signed token
	// in its query (Let's Encrypt). Everyone with the token can act for the account, so a
	// truncated one matches too.
	jwt      = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?`)
	jwtQuery = regexp.MustCompile(`(?i)[?&](?:jwt|token)=[^&\s"'<>]+`)
	// The prefixes with which services mark their tokens.
	marked = regexp.MustCompile(`\b(gh[pousr]_|github_pat_|glpat-|hv[sbr]\.|xox[abprs]-|dop_v1_|sk_live_|npm_|pypi-|SG\.)[A-Za-z0-9_-]{16,}`)
	// A private key in PEM, whole or truncated, with or without escaped line breaks.
	privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[A-Za-z0-9+/=\s]|\\[nr])*(?:-----END [A-Z ]*PRIVATE KEY-----)?`)
	// A password within a URL: the text between the user name and the host.
	login = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@:\s"'<>]*:[^/@\s"'<>]+@`)
	// The credential of an Authorization header. The words "Basic authentication" do not
	// match jumble.
	header = regexp.MustCompile(`(?i)\b(?:basic|bearer) +[A-Za-z0-9+/_.~-]{12,}=*`)
	jumble = regexp.MustCompile(`[0-9=]|[a-z].*[A-Z]`)
)

// Tokens returns text without secrets that it recognizes by shape: signed tokens, tokens
// with a known prefix, private keys in PEM, logins in URLs and credentials of HTTP's
// Authorization header.
func Tokens(text string) string {
	text = jwtQuery.ReplaceAllStringFunc(text, func(q string) string {
		name, value, _ := strings.Cut(q, "=")
		if strings.HasPrefix(value, Struck) {
			return q // keeps Tokens idempotent: texts pass here more than once
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

// strictJWT matches tokens that cannot be the name of a host.
var strictJWT = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`)

// Shape describes the kind of secret in a text by its looks; "" if there is none. It is
// stricter than Tokens, because certroll rejects a file for a match.
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

// Queries removes the query and the login from the URLs in a text. Some DNS providers
// send a key there, in encodings that a search for the key's value does not find.
func Queries(text string) string {
	return anyURL.ReplaceAllStringFunc(text, func(u string) string {
		parsed, err := url.Parse(u)
		if err != nil {
			return Links(u) // a "/" in a password makes it no URL
		}
		parsed.RawQuery, parsed.User = "", nil
		return parsed.String() + "?" + Struck
	})
}
