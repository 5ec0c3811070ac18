package notify

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// struck stands where a secret was.
const struck = "[struck out]"

// longest bounds what a receiver said: some answer with a page of HTML.
const longest = 500

// least is the length below which a part of a URL is no secret worth the name,
// and striking it out would only tear holes into messages.
const least = 5

var (
	link  = regexp.MustCompile(`\b([a-zA-Z][a-zA-Z0-9+.-]*)://([^\s"'<>]*)`)
	parts = regexp.MustCompile(`[A-Za-z0-9]+`)
)

// strike makes a text fit to be shown that may quote secrets, or URLs that hold
// some.
func strike(text string, secrets []string) string {
	text = link.ReplaceAllStringFunc(text, shortLink)
	// The longest first: of two, one the beginning of the other, no tail may be
	// left standing.
	secrets = slices.Clone(secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, s := range secrets {
		if len(s) < least {
			continue
		}
		for _, spelling := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			text = strings.ReplaceAll(text, spelling, struck)
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}

// shortLink leaves the scheme and the host of a link.
func shortLink(text string) string {
	m := link.FindStringSubmatch(text)
	rest := m[2]
	host, _, long := strings.Cut(rest, "/")
	if _, after, ok := strings.Cut(host, "@"); ok {
		host, long = after, true
	}
	if before, _, ok := strings.Cut(host, "?"); ok {
		host, long = before, true
	}
	if !long {
		return m[1] + "://" + host
	}
	return m[1] + "://" + host + "/" + struck
}

// secretsOf are the parts of a service's URL that nobody is to see: all but the
// scheme, and a host that is one. Services make another URL of it, in which a
// token may stand in pieces.
func secretsOf(raw string) []string {
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
			if len(piece) >= 8 {
				secrets = append(secrets, piece)
			}
		}
	}
	return secrets
}
