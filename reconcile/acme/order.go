package acme

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"certroll/spec"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

// Order makes an order for these names (RFC 8555 section 7.4), with the
// issuer's profile, and returns its URL. replaces is the ARI identifier of the
// certificate that the new one takes the place of (RFC 9773 section 5), or
// empty. Where the CA refuses because of it, the order is made without: an
// exemption from limits is not worth an expired certificate.
func (c *Client) Order(ctx context.Context, issuer *spec.Issuer, names []string, replaces string) (string, error) {
	s, err := c.session(ctx, issuer)
	if err != nil {
		return "", err
	}
	doing := "ordering a certificate for " + list(names) + " at " + issuer.Directory
	order, err := s.newOrder(ctx, doing, names, api.OrderOptions{Profile: issuer.Profile, ReplacesCertID: replaces})
	if err != nil && replaces != "" && blamesReplaces(err) {
		c.log.Info("the CA refuses to replace the earlier certificate: ordering without", "issuer", issuer.Name, "names", list(names), "error", err)
		order, err = s.newOrder(ctx, doing, names, api.OrderOptions{Profile: issuer.Profile})
	}
	if err != nil {
		return "", err
	}
	if order.Location == "" {
		return "", &Error{class: ClassCAUnavailable, doing: doing, said: "the CA made an order and did not say its URL"}
	}
	return order.Location, nil
}

func (s *session) newOrder(ctx context.Context, doing string, names []string, options api.OrderOptions) (order acme.ExtendedOrder, err error) {
	_, err = s.call(ctx, doing, func(core *api.Core) error {
		var err error
		order, err = core.Orders.NewWithOptions(names, &options)
		return err
	})
	return order, err
}

// blamesReplaces reports whether an order may have been refused because of
// its replaces field. CAs answer 409 (replaced already, also by an order that
// is only pending), 403 (another account's), 404 (unknown), 401 (ZeroSSL) or
// malformed (no name in common).
func blamesReplaces(err error) bool {
	var p *acme.ProblemDetails
	if !errors.As(err, &p) {
		return false
	}
	switch p.HTTPStatus {
	case http.StatusConflict, http.StatusForbidden, http.StatusNotFound, http.StatusUnauthorized:
		return true
	}
	return problemType(p) == "malformed" || problemType(p) == "alreadyReplaced"
}

// Revoke revokes a certificate (RFC 8555 section 7.6), signed by the issuer's
// account. leaf is its DER form, reason a code of RFC 5280 section 5.3.1. One
// that is revoked already is a success.
func (c *Client) Revoke(ctx context.Context, issuer *spec.Issuer, leaf []byte, reason uint) error {
	s, err := c.session(ctx, issuer)
	if err != nil {
		return err
	}
	_, err = s.call(ctx, "revoking a certificate at "+issuer.Directory, func(core *api.Core) error {
		return core.Certificates.Revoke(acme.RevokeCertMessage{Certificate: base64url(leaf), Reason: &reason})
	})
	if isProblem(err, "alreadyRevoked") {
		return nil
	}
	return err
}

// list names up to three names, and how many there are besides.
func list(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + plural(len(names)-most, "more name")
}
