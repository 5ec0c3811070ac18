package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-acme/lego/v4/acme"

	"certroll/reconcile/reach"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// explain turns what a request failed with into an Error. seen is the last
// answer of that very request, which knows what lego forgets: the network's
// error behind a failed nonce, and Retry-After.
func explain(ctx context.Context, doing string, err error, seen answer, now time.Time) *Error {
	if ctx.Err() != nil {
		return interrupted(ctx, doing)
	}
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	var p *acme.ProblemDetails
	if errors.As(err, &p) && p.Type+p.Detail != "" {
		class, advice := answerClass(p, seen.retryAfter)
		return &Error{class: class, doing: doing, said: "the CA answered " + words(p), advice: advice,
			retry: retryAt(seen.retryAfter, p.Detail, now), cause: err}
	}
	if seen.err != nil {
		return unreachable(doing, seen.err)
	}
	if seen.status >= http.StatusBadRequest {
		return unexplained(doing, err, seen, now)
	}
	return &Error{class: ClassCAUnavailable, doing: doing, said: clip(text.Line(redact.Tokens(err.Error()))), cause: err,
		advice: "the CA's answer is not what RFC 8555 lets one expect"}
}

// unexplained is an error answer that is no problem document: a proxy's page,
// a load balancer's.
func unexplained(doing string, err error, seen answer, now time.Time) *Error {
	class, advice := ClassCAUnavailable, "try again later"
	switch {
	case seen.status == http.StatusTooManyRequests:
		class = ClassRateLimited
	case seen.status == http.StatusRequestTimeout, seen.status == http.StatusMisdirectedRequest, seen.status == http.StatusTooEarly:
		// A proxy's, of this one connection.
	case seen.status < http.StatusInternalServerError:
		class, advice = ClassRejected, "see that the issuer's directory is the URL of an ACME directory and no proxy stands in between"
	}
	return &Error{class: class, doing: doing, advice: advice, retry: retryAt(seen.retryAfter, "", now), cause: err,
		said: fmt.Sprintf("%s answered %d %s without saying why", seen.url, seen.status, http.StatusText(seen.status))}
}

func unreachable(doing string, err error) *Error {
	e := &Error{class: ClassCAUnavailable, doing: doing, said: err.Error(), cause: err, advice: "check that this machine can reach the CA; certroll retries later"}
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var denied *reach.DeniedError
	switch {
	case errors.As(err, &denied):
		e.class, e.said = ClassConfig, denied.Error()
		e.advice = "move the issuer's block to certroll.hcl, or allow the address there, as in trust { endpoints = [\"10.0.0.0/8:443\"] }"
	case errors.As(err, &authority):
		e.class, e.advice = ClassConfig, "set ca_bundle in the issuer to the certificate that the CA's own server is signed with"
	case errors.As(err, &host):
		e.class, e.advice = ClassConfig, "see that the issuer's directory names the CA's server as its certificate does"
	}
	return e
}
