package solver

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

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// isAskedFor checks that an authorization is for one of the order's names. The
// identifier decides which DNS record certroll writes, so neither the CA nor an impostor
// may choose it.
func (j *Job) isAskedFor(id acme.Identifier) error {
	request, err := x509.ParseCertificateRequest(j.CSR)
	if err != nil {
		return &problem.Error{OfClass: ledger.ClassInternal, Doing: j.Doing, Said: "the certificate request cannot be read: " + err.Error(), Cause: err, Gone: true}
	}
	switch id.Type {
	case "dns":
		for _, name := range request.DNSNames {
			if strings.EqualFold(dnsquery.TrimWildcard(name), id.Value) {
				return nil
			}
		}
	case "ip":
		asked := net.ParseIP(id.Value)
		if asked != nil && slices.ContainsFunc(request.IPAddresses, asked.Equal) {
			return nil
		}
	}
	return &problem.Error{OfClass: ledger.ClassCARejected, Doing: j.Doing, Gone: true,
		Said:   fmt.Sprintf("the CA asks to prove control of %q (%s), which the order has no name for", problem.ClipTo(300, text.Line(id.Value)), problem.ClipTo(20, text.Line(id.Type))),
		Advice: "nothing was written to DNS; check that the issuer's directory is the CA that you mean"}
}

// AuthorizationFailure returns the problem of an authorization that can no longer become
// valid; nil for a pending or valid one.
func AuthorizationFailure(issuer *spec.Issuer, authz acme.Authorization) *problem.Error {
	if authz.Status == acme.StatusPending || authz.Status == acme.StatusValid {
		return nil
	}
	doing := "validating " + displayName(authz) + " at " + issuer.Directory
	for _, ch := range authz.Challenges {
		if ch.Error == nil {
			continue
		}
		class, advice := problem.ValidationClass(ch.Error)
		return &problem.Error{OfClass: class, Doing: doing, Advice: advice, Gone: true, Cause: ch.Error, Identifiers: []string{displayName(authz)},
			Said: "the CA's " + ch.Type + " check failed with " + problem.Words(ch.Error)}
	}
	if authz.Status == acme.StatusInvalid {
		return &problem.Error{OfClass: ledger.ClassValidation, Doing: doing, Gone: true, Identifiers: []string{displayName(authz)}, Said: "the authorization is invalid, and the CA gave no reason", Advice: "a new order is needed"}
	}
	return &problem.Error{OfClass: ledger.ClassCARejected, Doing: doing, Gone: true, Said: "the authorization is " + authz.Status, Advice: "a new order is needed"}
}

// displayName returns the identifier as the certificate spells it.
func displayName(authz acme.Authorization) string {
	if authz.Wildcard {
		return "*." + authz.Identifier.Value
	}
	return authz.Identifier.Value
}

// IsLost reports whether an order that could not be fetched is lost for good: CAs delete
// orders soon after their expiry, and hide orders of other accounts. A 403 counts only
// with the CA's problem document, since a firewall's page says nothing about the order.
func IsLost(err error, seen ca.Answer) bool {
	return seen.Status == http.StatusNotFound || seen.Status == http.StatusGone || problem.Is(err, "malformed", "unauthorized")
}

// Authorization fetches an authorization of the order.
func (j *Job) Authorization(ctx context.Context, url string) (authz acme.Authorization, seen ca.Answer, err error) {
	seen, err = j.Session.Call(ctx, "reading the authorization "+url, func(core *api.Core) error {
		var err error
		authz, err = core.Authorizations.Get(url)
		return err
	})
	if err == nil {
		err = j.isAskedFor(authz.Identifier)
	}
	return authz, seen, err
}
