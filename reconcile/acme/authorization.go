package acme

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/spec"
	"certroll/spec/text"
)

// isAskedFor checks that an authorization is for one of the order's names. The
// identifier decides which DNS record is written: a CA, or whoever answers in its
// place, must not choose it.
func (j *job) isAskedFor(id acme.Identifier) error {
	request, err := x509.ParseCertificateRequest(j.csr)
	if err != nil {
		return &Error{class: ClassInternal, doing: j.doing, said: "the certificate request cannot be read: " + err.Error(), cause: err, gone: true}
	}
	switch id.Type {
	case "dns":
		for _, name := range request.DNSNames {
			if strings.EqualFold(trimWildcard(name), id.Value) {
				return nil
			}
		}
	case "ip":
		asked := net.ParseIP(id.Value)
		if asked != nil && slices.ContainsFunc(request.IPAddresses, asked.Equal) {
			return nil
		}
	}
	return &Error{class: ClassRejected, doing: j.doing, gone: true,
		said:   fmt.Sprintf("the CA asks to prove control of %q (%s), which the order has no name for", clipTo(300, text.Line(id.Value)), clipTo(20, text.Line(id.Type))),
		advice: "nothing was written to DNS; see that the issuer's directory is the CA that you mean"}
}

// authorizationFailure is the problem of an authorization that cannot become
// valid any more; nil while it can, or is.
func authorizationFailure(issuer *spec.Issuer, authz acme.Authorization) *Error {
	if authz.Status == acme.StatusPending || authz.Status == acme.StatusValid {
		return nil
	}
	doing := "validating " + displayName(authz) + " at " + issuer.Directory
	for _, ch := range authz.Challenges {
		if ch.Error == nil {
			continue
		}
		class, advice := validationClass(ch.Error)
		return &Error{class: class, doing: doing, advice: advice, gone: true, cause: ch.Error, names: []string{displayName(authz)},
			said: "the CA's " + ch.Type + " check failed with " + words(ch.Error)}
	}
	if authz.Status == acme.StatusInvalid {
		return &Error{class: ClassValidation, doing: doing, gone: true, names: []string{displayName(authz)}, said: "the authorization is invalid, and the CA gave no reason", advice: "a new order is needed"}
	}
	return &Error{class: ClassRejected, doing: doing, gone: true, said: "the authorization is " + authz.Status, advice: "a new order is needed"}
}

// displayName is the identifier as the certificate will have it.
func displayName(authz acme.Authorization) string {
	if authz.Wildcard {
		return "*." + authz.Identifier.Value
	}
	return authz.Identifier.Value
}

// isLost reports whether an order that could not be had never will be: CAs
// forget orders soon after they expire, and show nobody an order of another
// account. A 403 counts only where the CA itself says why: a firewall's page
// is no verdict on the order.
func isLost(err error, seen answer) bool {
	return seen.status == http.StatusNotFound || seen.status == http.StatusGone || isProblem(err, "malformed", "unauthorized")
}

func (j *job) authorization(ctx context.Context, url string) (authz acme.Authorization, seen answer, err error) {
	seen, err = j.session.call(ctx, "reading the authorization "+url, func(core *api.Core) error {
		var err error
		authz, err = core.Authorizations.Get(url)
		return err
	})
	if err == nil {
		err = j.isAskedFor(authz.Identifier)
	}
	return authz, seen, err
}
