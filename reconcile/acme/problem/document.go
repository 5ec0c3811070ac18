package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/go-acme/lego/v4/acme"

	"certroll/reconcile/ledger"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// URN is the prefix of the problem types of RFC 8555 section 6.7.
const URN = "urn:ietf:params:acme:error:"

// rejections maps the problem types that waiting does not cure to their class and
// advice.
var rejections = map[string]struct {
	class  ledger.Class
	advice string
}{
	"accountDoesNotExist":     {ledger.ClassCARejected, "the CA does not know the account any more"},
	"badCSR":                  {ledger.ClassCARejected, "the next attempt makes a fresh key and request"},
	"badPublicKey":            {ledger.ClassCARejected, "choose another key algorithm or size in the certificate's key block"},
	"badSignatureAlgorithm":   {ledger.ClassCARejected, "the CA rejects ECDSA P-256 account keys; certroll cannot use this CA"},
	"caa":                     {ledger.ClassCAA, "add a CAA record that allows this CA, or remove the one that forbids it"},
	"externalAccountRequired": {ledger.ClassConfig, "add an eab block with the key id and HMAC key from the CA to the issuer"},
	"invalidContact":          {ledger.ClassConfig, "fix the email of the issuer"},
	"invalidProfile":          {ledger.ClassConfig, "name a profile in the issuer that the CA's directory lists"},
	"rejectedIdentifier":      {ledger.ClassCARejected, "the CA does not issue for this name: remove it or choose another issuer"},
	"unsupportedContact":      {ledger.ClassConfig, "fix the email of the issuer"},
	"unsupportedIdentifier":   {ledger.ClassCARejected, "the CA does not issue for this kind of name: choose another issuer or profile"},
	"userActionRequired":      {ledger.ClassConfig, "agree to the CA's terms of service, then set terms_of_service_agreed in the issuer"},
}

// AdviceOn returns the advice on a rejection of this type; "" for a type that is no
// rejection.
func AdviceOn(kind string) string { return rejections[kind].advice }

// Type returns a problem's type without the namespace. For a compound problem (RFC 8555
// section 6.7.1) whose subproblems all have one type, it returns that type.
func Type(p *acme.ProblemDetails) string {
	kind := p.Type
	if kind == URN+"compound" && len(p.SubProblems) > 0 {
		first := p.SubProblems[0].Type
		if !slices.ContainsFunc(p.SubProblems, func(s acme.SubProblem) bool { return s.Type != first }) {
			kind = first
		}
	}
	return strings.TrimPrefix(kind, URN)
}

// Is reports whether err is, or wraps, a problem of one of these types.
func Is(err error, types ...string) bool {
	var p *acme.ProblemDetails
	if !errors.As(err, &p) {
		return false
	}
	for _, t := range types {
		if Type(p) == t {
			return true
		}
	}
	return false
}

// AnswerClass returns the class and advice for a problem that answered a request.
func AnswerClass(p *acme.ProblemDetails, retryAfter string) (class ledger.Class, advice string) {
	if c, ok := rejections[Type(p)]; ok {
		return c.class, c.advice
	}
	switch {
	case Type(p) == "rateLimited" || p.HTTPStatus == http.StatusTooManyRequests:
		return limitClass(p, retryAfter)
	case Type(p) == "serverInternal" || Type(p) == "badNonce" || p.HTTPStatus >= 500:
		return ledger.ClassCAUnavailable, "the CA has trouble of its own; try again later"
	default:
		return ledger.ClassCARejected, "the same request will be refused again: change what it asks for"
	}
}

// pauseText matches a CA's detail about an account that is paused for some names.
// Boulder's text does not contain "paused": it speaks of an account "temporarily
// prevented from requesting" and of a link that ends in /unpause.
var pauseText = regexp.MustCompile(`(?i)\bpaused\b|\bunpause\b|temporarily prevented from requesting`)

// limitClass distinguishes a pause from a rate limit. Boulder answers a paused account
// with 429 rateLimited without Retry-After; the detail links to a page where a person
// ends it.
func limitClass(p *acme.ProblemDetails, retryAfter string) (class ledger.Class, advice string) {
	if retryAfter == "" && pauseText.MatchString(p.Detail) {
		return ledger.ClassPaused, "fix what made the validations fail, then end the pause by the CA's self-service link " +
			"(its token is a secret and left out here; the CA shows it in answer to a new order)"
	}
	return ledger.ClassRateLimited, "wait for the limit to recover; asking earlier only prolongs it"
}

// ValidationClass returns the class and advice for a problem that the CA found while
// validating a name.
func ValidationClass(p *acme.ProblemDetails) (class ledger.Class, advice string) {
	switch Type(p) {
	case "caa":
		return ledger.ClassCAA, rejections["caa"].advice
	case "rateLimited":
		return ledger.ClassRateLimited, "wait for the limit to recover"
	case "serverInternal":
		return ledger.ClassCAUnavailable, "the CA could not finish its own check; try again later"
	case "dns":
		return ledger.ClassValidation, "check that the zone answers, over DNSSEC if it is signed, from all over the world"
	default:
		return ledger.ClassValidation, "check that what the CA asks for is what it finds from outside"
	}
}

// OrderClass returns the class and advice for the problem of an invalid order. Known
// rejections and CA faults keep their class; any other counts as a failed validation.
func OrderClass(p *acme.ProblemDetails) (class ledger.Class, advice string) {
	class, advice = AnswerClass(p, "")
	if _, known := rejections[Type(p)]; class == ledger.ClassCARejected && !known {
		return ValidationClass(p)
	}
	return class, advice
}

// LongestWords bounds the text of a problem document, in bytes. A document that rejects
// each of a hundred names fits.
const LongestWords = 20_000

// Words returns the problem's text on one line, without signed tokens.
func Words(p *acme.ProblemDetails) string {
	var b strings.Builder
	if p.HTTPStatus != 0 {
		fmt.Fprintf(&b, "%d ", p.HTTPStatus)
	}
	fmt.Fprintf(&b, "%s: %s", p.Type, p.Detail)
	for _, sub := range p.SubProblems {
		fmt.Fprintf(&b, " [%s: %s: %s]", sub.Identifier.Value, sub.Type, sub.Detail)
	}
	return ClipTo(LongestWords, text.Line(redact.Tokens(b.String())))
}

// Parse returns an error answer as *acme.ProblemDetails. If the body is no problem
// document (RFC 7807), only the status is set.
func Parse(status int, body []byte) error {
	p := &acme.ProblemDetails{}
	if err := json.Unmarshal(bytes.TrimSpace(body), p); err != nil {
		p = &acme.ProblemDetails{}
	}
	if p.HTTPStatus == 0 {
		p.HTTPStatus = status
	}
	return p
}
