package dnsprovider

import (
	"regexp"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec/redact"
)

// providerErrors classifies a DNS provider's errors. lego's providers return only text,
// so the patterns match text. The first match wins; a text without a match counts as
// unavailable, which is retried.
//
//	config        the account lacks a setting, its provider does not exist, or the
//	              provider does not hold the zone (a fault of the certificate's block)
//	unavailable   the network, or an overloaded server: first, because "connection
//	              refused" is not a refusal of credentials
//	unauthorized  HTTP 401 and 403, the rcodes and TSIG errors of a refusing name
//	              server (RFC 2136 section 2.2, RFC 8945 section 5.2), and the usual
//	              words
//	unavailable   HTTP 429 and 5xx, SERVFAIL
var providerErrors = []struct {
	class   ledger.Class
	pattern *regexp.Regexp
}{
	{ledger.ClassConfig, regexp.MustCompile(`(?i)credentials information (are|is) missing|unrecognized DNS provider|(is|are) (missing|required)\b|credentials missing|missing credentials|cannot be opened here|unsupported TSIG algorithm|illegal base64`)},
	{classZone, regexp.MustCompile(`(?s)start of authority.*code=(REFUSED|NXDOMAIN|NOTAUTH|NOERROR)`)},
	{ledger.ClassDNSUnavailable, regexp.MustCompile(`(?i)connection (refused|reset)|i/o timeout|timed? ?out|deadline exceeded|no such host|unreachable|broken pipe|\bEOF\b|TLS handshake|temporary|temporarily|the DNS child`)},
	{ledger.ClassDNSUnauthorized, regexp.MustCompile(`\bREFUSED\b|\bNOTAUTH\b|\bBAD(KEY|SIG|TIME|TRUNC|MODE|NAME|ALG)\b`)},
	{ledger.ClassDNSUnauthorized, regexp.MustCompile(`(?i)\b40[13]\b|unauthori[sz]ed|not authori[sz]ed|forbidden|permission|access ?denied|authentication|bad signature|bad time|invalid[^.:]{0,20}(key|token|credential|password|signature)|(key|token|credential|password)s?[^.:]{0,12} invalid`)},
	{classZone, regexp.MustCompile(`(?i)\bno (matching |suitable |such )?(hosted ?|dns )?zones?\b|NoSuchHostedZone|(zone|domain)[^:]{0,80}(not found|does ?n.t exist|does not exist|could not be found)`)},
	{ledger.ClassDNSUnavailable, regexp.MustCompile(`\b(429|5\d\d)\b|\bSERVFAIL\b|(?i)too many requests|rate limit`)},
}

// classZone marks a ClassConfig error that means: the provider does not hold the zone.
// The account itself is in order.
const classZone ledger.Class = "zone"

func providerClass(text string) ledger.Class {
	for _, p := range providerErrors {
		if p.pattern.MatchString(text) {
			return p.class
		}
	}
	return ledger.ClassDNSUnavailable
}

var providerAdvice = map[ledger.Class]string{
	ledger.ClassConfig:          "fix the dns block's provider or credentials",
	ledger.ClassDNSUnauthorized: "check that the account's credentials are current and may change this zone",
	ledger.ClassDNSUnavailable:  "the provider is asked again later",
	classZone:                   "the account does not hold the zone of this name: fix the name, or have the certificate's dns name the account that holds its zone",
}

// providerError returns the error for a provider's text, without its secrets.
func providerError(doing, said string) *problem.Error {
	class := providerClass(said)
	e := &problem.Error{OfClass: class, Doing: doing, Said: problem.Clip(redact.Queries(said)), Advice: providerAdvice[class]}
	if class == classZone {
		e.OfClass, e.NotZone = ledger.ClassConfig, true
	}
	return e
}
