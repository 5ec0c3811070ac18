package acme

import (
	"net/url"
	"regexp"
	"strings"
)

// providerErrors judges what a DNS provider failed with. lego's providers give
// a text and nothing else, so the text it is. The first pattern that fits
// wins; what fits none is taken for a trouble that may pass.
//
//	config        the account lacks a setting, or its provider does not exist
//	unavailable   the network, or an overloaded server: comes first, because
//	              "connection refused" is not a refusal of credentials
//	unauthorized  HTTP 401 and 403, the rcodes and TSIG errors by which a name
//	              server refuses (RFC 2136 section 2.2, RFC 8945 section 5.2),
//	              and the usual words
//	unavailable   HTTP 429 and 5xx, SERVFAIL
var providerErrors = []struct {
	class   string
	pattern *regexp.Regexp
}{
	{ClassConfig, regexp.MustCompile(`(?i)credentials information (are|is) missing|unrecognized DNS provider|(is|are) (missing|required)\b|credentials missing|missing credentials|cannot be opened here|unsupported TSIG algorithm|illegal base64`)},
	{ClassDNSUnavailable, regexp.MustCompile(`(?i)connection (refused|reset)|i/o timeout|timed? ?out|deadline exceeded|no such host|unreachable|broken pipe|\bEOF\b|TLS handshake|temporary|temporarily|the DNS child`)},
	{ClassDNSUnauthorized, regexp.MustCompile(`\bREFUSED\b|\bNOTAUTH\b|\bBAD(KEY|SIG|TIME|TRUNC|MODE|NAME|ALG)\b`)},
	{ClassDNSUnauthorized, regexp.MustCompile(`(?i)\b40[13]\b|unauthori[sz]ed|not authori[sz]ed|forbidden|permission|access ?denied|authentication|bad signature|bad time|invalid[^.:]{0,20}(key|token|credential|password|signature)|(key|token|credential|password)s?[^.:]{0,12} invalid`)},
	{ClassDNSUnavailable, regexp.MustCompile(`\b(429|5\d\d)\b|\bSERVFAIL\b|(?i)too many requests|rate limit`)},
}

func providerClass(text string) string {
	for _, p := range providerErrors {
		if p.pattern.MatchString(text) {
			return p.class
		}
	}
	return ClassDNSUnavailable
}

var providerAdvice = map[string]string{
	ClassConfig:          "mend the dns block's provider or credentials",
	ClassDNSUnauthorized: "see that the account's credentials are current and may change this zone",
	ClassDNSUnavailable:  "the provider is asked again later",
}

// providerError is a provider's failure, in its own words without secrets.
func providerError(doing, said string) *Error {
	class := providerClass(said)
	return &Error{class: class, doing: doing, said: clip(withoutQueries(said)), advice: providerAdvice[class]}
}

var anyURL = regexp.MustCompile(`https?://[^\s"'<>]+\?[^\s"'<>]+`)

// withoutQueries cuts the query off URLs: some providers send a key there,
// encoded in ways that a search for its value does not find.
func withoutQueries(text string) string {
	return anyURL.ReplaceAllStringFunc(text, func(u string) string {
		parsed, err := url.Parse(u)
		if err != nil {
			return u[:strings.IndexByte(u, '?')] + "?" + struck
		}
		parsed.RawQuery, parsed.User = "", nil
		return parsed.String() + "?" + struck
	})
}
