package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// needle is one spelling of a secret. Inside a larger base64 text, the characters before
// and after the needle also contain bits of the secret.
type needle struct {
	text          string
	before, after int  // characters around text to strike too
	base64        bool // before and after count base64 characters, and padding may follow
}

// span returns the part to strike if the needle was found at from.
func (n needle) span(text string, from int) span {
	s := span{from, from + len(n.text)}
	if !n.base64 {
		return s
	}
	for i := 0; i < n.before && s.from > 0 && isBase64(text[s.from-1]); i++ {
		s.from--
	}
	for i := 0; i < n.after && s.to < len(text) && isBase64(text[s.to]); i++ {
		s.to++
	}
	for i := 0; i < 2 && s.to < len(text) && text[s.to] == '='; i++ {
		s.to++
	}
	return s
}

func isBase64(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("+/-_", c) >= 0
}

const (
	// leastLine is the shortest line of a secret that counts as a secret of its own.
	leastLine = 16
	// leastDecoded is the shortest decoded value, in bytes, for which a base64 secret is
	// also known in its decoded form.
	leastDecoded = 12
	// leastHex and leastCore are the lengths from which a hex spelling, and the part of a
	// base64 text that only the secret determines, cannot be an ordinary word.
	leastHex  = 8
	leastCore = 5
)

// spell lists the spellings of a secret: raw; escaped for URLs, JSON, Go, HTML and PHP;
// in hex; and in base64 at each of the three offsets within a larger text, such as
// "user:password" in HTTP's Basic authentication (RFC 7617). Each line of a PEM key has
// spellings of its own.
func spell(secret string) []needle {
	var list []needle
	for _, s := range variants(secret) {
		list = append(list, escaped(s)...)
		list = append(list, encoded([]byte(s))...)
	}
	if decoded, ok := decode(secret); ok {
		list = append(list, encoded(decoded)...)
		if printable(decoded) {
			list = append(list, escaped(string(decoded))...)
		}
	}
	return list
}

// variants returns a secret as it is, trimmed, joined to one line, and its longer lines.
func variants(secret string) []string {
	list := []string{secret}
	trimmed := strings.TrimSpace(secret)
	if trimmed != secret && len(trimmed) >= Shortest {
		list = append(list, trimmed)
	}
	if !strings.Contains(trimmed, "\n") {
		return list
	}
	list = append(list, strings.Join(strings.Fields(trimmed), " "), strings.Join(strings.Fields(trimmed), ""))
	for line := range strings.Lines(trimmed) {
		if line = strings.TrimSpace(line); len(line) >= leastLine && !strings.HasPrefix(line, "-----") {
			list = append(list, line)
		}
	}
	return list
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

// escaped returns the spellings that escape each character on its own.
func escaped(s string) []needle {
	list := []needle{{text: s}}
	add := func(text string) {
		if text != s && len(text) >= Shortest {
			list = append(list, needle{text: text})
		}
	}
	for _, text := range []string{url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:]} {
		add(text)
		add(percent.ReplaceAllStringFunc(text, strings.ToLower))
	}
	add(jsonText(s, true))
	add(jsonText(s, false))
	add(strings.Trim(strconv.Quote(s), `"`))
	add(html.EscapeString(s))
	add(strings.ReplaceAll(s, "/", `\/`))
	return list
}

func jsonText(s string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if e.Encode(s) != nil {
		return s
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(b.String()), `"`), `"`)
}

// encoded returns the spellings in hex and base64.
func encoded(s []byte) []needle {
	var list []needle
	if len(s) >= leastHex {
		digits := hex.EncodeToString(s)
		list = append(list, needle{text: digits}, needle{text: strings.ToUpper(digits)})
	}
	for shift := range 3 {
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			list = append(list, within(s, shift, e)...)
		}
	}
	return list
}

// within returns the part of a base64 text that s alone determines if shift bytes precede
// it (modulo three).
func within(s []byte, shift int, e *base64.Encoding) []needle {
	all := append(make([]byte, shift), s...)
	text := e.EncodeToString(all)
	// Each character holds six bits. The first shift*8 bits do not belong to s, so skip
	// the characters that contain any of them.
	from, bits := (shift*8+5)/6, len(all)*8
	n := needle{text: text[from : bits/6], base64: true}
	if shift > 0 {
		n.before = 1
	}
	if bits%6 != 0 {
		n.after = 1
	}
	if len(n.text) < leastCore {
		return nil
	}
	list := []needle{n}
	if quoted := url.QueryEscape(n.text); quoted != n.text {
		list = append(list, needle{text: quoted}, needle{text: percent.ReplaceAllStringFunc(quoted, strings.ToLower)})
	}
	return list
}

// decode decodes a base64 secret, such as an HMAC key: a client may hold the bytes and
// quote them in another base64 alphabet.
func decode(secret string) ([]byte, bool) {
	text := strings.TrimRight(strings.TrimSpace(secret), "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(text); err == nil && len(b) >= leastDecoded {
			return b, true
		}
	}
	return nil, false
}

func printable(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) })
}
