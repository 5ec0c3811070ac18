package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-acme/lego/v4/acme"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reach"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// Explain turns the error of a request into an Error. seen is the answer to that very
// request. It has the facts that lego drops: Retry-After, and the network error behind a
// failed nonce.
func Explain(ctx context.Context, doing string, err error, seen Answer, now time.Time) *problem.Error {
	if ctx.Err() != nil {
		return problem.Interrupted(ctx, doing)
	}
	var ours *problem.Error
	if errors.As(err, &ours) {
		return ours
	}
	var p *acme.ProblemDetails
	// An answer such as {} also decodes to a problem, without type and detail.
	if errors.As(err, &p) && p.Type+p.Detail != "" {
		class, advice := problem.AnswerClass(p, seen.RetryAfter)
		return &problem.Error{OfClass: class, Doing: doing, Said: "the CA answered " + problem.Words(p), Advice: advice,
			Retry: problem.RetryAt(seen.RetryAfter, p.Detail, now), Cause: err}
	}
	if seen.err != nil {
		return unreachable(doing, seen.err)
	}
	if seen.Status >= http.StatusBadRequest {
		return unexplained(doing, err, seen, now)
	}
	return &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: problem.Clip(text.Line(redact.Tokens(err.Error()))), Cause: err,
		Advice: "the CA's answer is not what RFC 8555 lets one expect"}
}

// unexplained returns the error for an answer without a problem document, such as the
// page of a proxy or load balancer.
func unexplained(doing string, err error, seen Answer, now time.Time) *problem.Error {
	class, advice := ledger.ClassCAUnavailable, "try again later"
	switch {
	case seen.Status == http.StatusTooManyRequests:
		class = ledger.ClassRateLimited
	case seen.Status == http.StatusRequestTimeout, seen.Status == http.StatusMisdirectedRequest, seen.Status == http.StatusTooEarly:
		// From a proxy, about this connection only: a retry may succeed.
	case seen.Status < http.StatusInternalServerError:
		class, advice = ledger.ClassCARejected, "check that the issuer's directory is the URL of an ACME directory and no proxy stands in between"
	}
	return &problem.Error{OfClass: class, Doing: doing, Advice: advice, Retry: problem.RetryAt(seen.RetryAfter, "", now), Cause: err,
		Said: fmt.Sprintf("%s answered %d %s without saying why", seen.url, seen.Status, http.StatusText(seen.Status))}
}

// unreachable returns the error for a request without an answer. Its class is
// ca_unavailable except for causes in the configuration.
func unreachable(doing string, err error) *problem.Error {
	e := &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: err.Error(), Cause: err, Advice: "check that this machine can reach the CA; certroll retries later"}
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var denied *reach.DeniedError
	switch {
	case errors.As(err, &denied):
		// Waiting does not help against a denied address, a bad signer or a wrong name:
		// a person must change the configuration.
		e.OfClass, e.Said = ledger.ClassConfig, denied.Error()
		e.Advice = "move the issuer's block to certroll.hcl, or allow the address there, as in trust { endpoints = [\"10.0.0.0/8:443\"] }"
	case errors.As(err, &authority):
		e.OfClass, e.Advice = ledger.ClassConfig, "set ca_bundle in the issuer to the certificate that the CA's own server is signed with"
	case errors.As(err, &host):
		e.OfClass, e.Advice = ledger.ClassConfig, "check that the issuer's directory names the CA's server as its certificate does"
	}
	return e
}
