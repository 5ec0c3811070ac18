package acme

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// struck stands where a secret was.
const struck = "[struck out]"

// A CA that pauses an account puts a link into the problem's detail whose
// query holds a signed token: whoever has it may act for the account. Detail
// texts end up in Git, so the token must not.
var (
	jwtText  = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?`)
	jwtQuery = regexp.MustCompile(`(?i)([?&](?:jwt|token)=)[^&\s"'<>]+`)
)

// strikeTokens removes signed tokens from an upstream's text.
func strikeTokens(text string) string {
	text = jwtQuery.ReplaceAllString(text, "${1}"+struck)
	return jwtText.ReplaceAllString(text, struck)
}

// shortest is the length below which a value is no secret worth the name, and
// striking it out would only tear holes into messages.
const shortest = 4

// longest bounds a text that is no problem document: pages of HTML and whole
// JSON answers end up in errors otherwise, and errors in Git.
const longest = 2000

func clip(text string) string { return clipTo(longest, text) }

func clipTo(most int, text string) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// inertText has no control characters: it goes to logs, Git and terminals.
func inertText(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// striker strikes a set of secrets out of texts, in each of the spellings in
// which a provider's client may quote them.
type striker struct{ replacer *strings.Replacer }

func newStriker(secrets []string) *striker {
	var spellings []string
	for _, s := range secrets {
		if len(s) >= shortest {
			spellings = append(spellings, spell(s)...)
		}
	}
	// The longest first: of two secrets, one the beginning of the other, no
	// tail may be left standing.
	slices.SortFunc(spellings, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(spellings))
	for _, s := range slices.Compact(spellings) {
		pairs = append(pairs, s, struck)
	}
	return &striker{replacer: strings.NewReplacer(pairs...)}
}

func spell(secret string) []string {
	out := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	if quoted, err := json.Marshal(secret); err == nil {
		out = append(out, strings.Trim(string(quoted), `"`))
	}
	// A PEM key's lines may be quoted one by one.
	for line := range strings.Lines(secret) {
		if line = strings.TrimSpace(line); len(line) >= 16 && line != secret && !strings.HasPrefix(line, "-----") {
			out = append(out, line)
		}
	}
	return out
}

func (s *striker) strike(text string) string { return s.replacer.Replace(text) }
