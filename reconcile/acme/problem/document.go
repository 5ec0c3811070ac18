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

	"certroll/spec/redact"
	"certroll/spec/text"
)

// URN begins the types of RFC 8555 section 6.7.
const URN = "urn:ietf:params:acme:error:"

// rejections are the problem types that are an answer to a request and not a
// matter of waiting, with the class and what to do.
var rejections = map[string]struct{ class, advice string }{
	"accountDoesNotExist":     {ClassRejected, "the CA does not know the account any more"},
	"badCSR":                  {ClassRejected, "the next attempt makes a fresh key and request"},
	"badPublicKey":            {ClassRejected, "choose another key algorithm or size in the certificate's key block"},
	"badSignatureAlgorithm":   {ClassRejected, "the CA rejects ECDSA P-256 account keys; certroll cannot use this CA"},
	"caa":                     {ClassCAA, "add a CAA record that allows this CA, or remove the one that forbids it"},
	"externalAccountRequired": {ClassConfig, "add an eab block with the key id and HMAC key from the CA to the issuer"},
	"invalidContact":          {ClassConfig, "mend the email of the issuer"},
	"invalidProfile":          {ClassConfig, "name a profile in the issuer that the CA's directory lists"},
	"rejectedIdentifier":      {ClassRejected, "the CA does not issue for this name: remove it or choose another issuer"},
	"unsupportedContact":      {ClassConfig, "mend the email of the issuer"},
	"unsupportedIdentifier":   {ClassRejected, "the CA does not issue for this kind of name: choose another issuer or profile"},
	"userActionRequired":      {ClassConfig, "agree to the CA's terms of service, then set terms_of_service_agreed in the issuer"},
}

// AdviceOn says what to do about a rejection, by its type; "" for the types that are
// none.
func AdviceOn(kind string) string { return rejections[kind].advice }

// Type is the last part of a problem's type, without the namespace; of a
// compound problem (RFC 8555 section 6.7.1) whose subproblems are all of one type,
// that type.
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

// AnswerClass judges a problem that came as the answer to a request.
func AnswerClass(p *acme.ProblemDetails, retryAfter string) (class, advice string) {
	if c, ok := rejections[Type(p)]; ok {
		return c.class, c.advice
	}
	switch {
	case Type(p) == "rateLimited" || p.HTTPStatus == http.StatusTooManyRequests:
		return limitClass(p, retryAfter)
	case Type(p) == "serverInternal" || Type(p) == "badNonce" || p.HTTPStatus >= 500:
		return ClassCAUnavailable, "the CA has trouble of its own; try again later"
	default:
		return ClassRejected, "the same request will be refused again: change what it asks for"
	}
}

// pauseText is how a CA says that it has paused an account for some names.
// Boulder's words hold no "paused": they speak of an account "temporarily
// prevented from requesting" and of a link that ends in /unpause.
var pauseText = regexp.MustCompile(`(?i)\bpaused\b|\bunpause\b|temporarily prevented from requesting`)

// limitClass tells a pause from a limit. A paused account gets 429 without
// Retry-After, and a link to a page where a person ends the pause.
func limitClass(p *acme.ProblemDetails, retryAfter string) (class, advice string) {
	if retryAfter == "" && pauseText.MatchString(p.Detail) {
		return ClassPaused, "mend what made the validations fail, then end the pause by the CA's self-service link " +
			"(its token is a secret and left out here; the CA shows it in answer to a new order)"
	}
	return ClassRateLimited, "wait for the limit to recover; asking earlier only prolongs it"
}

// ValidationClass judges a problem the CA found while validating a name.
func ValidationClass(p *acme.ProblemDetails) (class, advice string) {
	switch Type(p) {
	case "caa":
		return ClassCAA, rejections["caa"].advice
	case "rateLimited":
		return ClassRateLimited, "wait for the limit to recover"
	case "serverInternal":
		return ClassCAUnavailable, "the CA could not finish its own check; try again later"
	case "dns":
		return ClassValidation, "see that the zone answers, over DNSSEC if it is signed, from all over the world"
	default:
		return ClassValidation, "see that what the CA asks for is what it finds from outside"
	}
}

// OrderClass judges the problem of an order that became invalid: by what is an
// answer to a request whenever it comes, else as a validation's.
func OrderClass(p *acme.ProblemDetails) (class, advice string) {
	class, advice = AnswerClass(p, "")
	if _, known := rejections[Type(p)]; class == ClassRejected && !known {
		return ValidationClass(p)
	}
	return class, advice
}

// LongestWords bounds what is passed on of a problem document: one that
// refuses each of a hundred names is shorter.
const LongestWords = 20_000

// Words are the problem word for word, without signed tokens, on one line.
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

// Parse is the error that an answer tells of: its problem document (RFC
// 7807) where it is one, and else nothing but its status.
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
