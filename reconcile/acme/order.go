package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/session"
	"certroll/spec"
	"certroll/spec/text"
)

// Order makes an order for these names (RFC 8555 section 7.4), with the
// issuer's profile, and returns its URL. replaces is the ARI identifier of the
// certificate that the new one takes the place of (RFC 9773 section 5), or
// empty. Where the CA refuses or fails because of it, the order is made
// without, once: an exemption from limits is not worth an expired certificate.
//
// replaced reports whether the order carries replaces by the CA's own word,
// which RFC 9773 section 5 obliges it to give. It is false for an order made
// without, at a CA without renewal information, and at one that accepts the
// field and says nothing of it: nothing is then exempt for certain.
func (c *Client) Order(ctx context.Context, issuer *spec.Issuer, names []string, replaces string) (url string, replaced bool, err error) {
	defer func() { err = c.struck(err) }()
	s, err := c.accounts.Session(ctx, issuer)
	if err != nil {
		return "", false, err
	}
	doing := "ordering a certificate for " + list(names) + " at " + issuer.Directory
	order, seen, err := newOrder(ctx, s, doing, names, api.OrderOptions{Profile: issuer.Profile, ReplacesCertID: replaces})
	if err != nil && seen.SentField("replaces") && blamesReplaces(err, seen.Status) {
		c.log.Info("the CA rejected the reference to the replaced certificate; ordering without it", "issuer", issuer.Name, "names", list(names), "error", err)
		order, _, err = newOrder(ctx, s, doing, names, api.OrderOptions{Profile: issuer.Profile})
	}
	if err != nil {
		return "", false, err
	}
	if order.Location == "" {
		return "", false, &problem.Error{OfClass: problem.ClassCAUnavailable, Doing: doing, Said: "the CA created an order but did not send its URL"}
	}
	if err := checkOrderURL(ctx, s, issuer, doing, order.Location); err != nil {
		return "", false, err
	}
	return order.Location, replaces != "" && order.Replaces == replaces, nil
}

// checkOrderURL refuses an order's URL that no request can be sent to, before it is
// kept: later attempts would go on with that order, and all fail. Whatever is at the
// directory's own host answers, as it has just done; another host is asked once.
func checkOrderURL(ctx context.Context, s *session.Session, issuer *spec.Issuer, doing, orderURL string) error {
	refuse := func(why string) error {
		return &problem.Error{OfClass: problem.ClassCAUnavailable, Doing: doing,
			Said:   "the CA gave the order a URL that " + why + ": " + problem.ClipTo(300, text.Line(orderURL)),
			Advice: "the order is not used; the next attempt makes another one. Report it to the CA, or see what proxy stands before it"}
	}
	if why := unfitURL(orderURL); why != "" {
		return refuse(why)
	}
	if u, _ := url.Parse(orderURL); u == nil || strings.EqualFold(u.Host, directoryHost(issuer.Directory)) {
		return nil
	}
	seen, err := s.Call(ctx, doing, func(core *api.Core) error {
		_, err := core.Orders.Get(orderURL)
		return err
	})
	switch {
	case err == nil || seen.Status != 0:
		return nil
	case ctx.Err() != nil:
		return err
	}
	return refuse("cannot be reached (" + err.Error() + ")")
}

// unfitURL says why ACME cannot be spoken to a URL; empty where it can.
func unfitURL(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return "is no URL of a server"
	case u.Scheme != "https":
		return "is not HTTPS (RFC 8555 section 6.1)"
	default:
		return ""
	}
}

func directoryHost(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return ""
	}
	return u.Host
}

func newOrder(ctx context.Context, s *session.Session, doing string, names []string, options api.OrderOptions) (order acme.ExtendedOrder, seen ca.Answer, err error) {
	seen, err = s.Call(ctx, doing, func(core *api.Core) error {
		var err error
		order, err = core.Orders.NewWithOptions(names, &options)
		return err
	})
	return order, seen, err
}

// blamesReplaces reports whether an order that had a replaces field may have
// been refused because of it. No CA says so in a way that all share:
//
//	Boulder  409 alreadyReplaced or conflict (also by an order that is only
//	         pending), 404 malformed (unknown, another CA's), 403 unauthorized
//	         (another account's), 400 malformed (no name in common)
//	ZeroSSL  401 unauthorized
//
// A 401, 403 or 404 may be about the account as well, which was asked for by
// then (Session.Call). What cannot be about it is a limit, a fault of the CA's
// that does not speak of it, and any problem whose type names another cause.
//
// Pebble answers 500 serverInternal where a serial begins with a zero byte,
// which it then does not find, and it would for ever.
func blamesReplaces(err error, status int) bool {
	if problem.HasClass(err, problem.ClassRateLimited) || problem.HasClass(err, problem.ClassPaused) || problem.IsOfAccount(err) {
		return false
	}
	var p *acme.ProblemDetails
	if !errors.As(err, &p) {
		p = &acme.ProblemDetails{HTTPStatus: status} // a firewall's page
	}
	kind, detail := problem.Type(p), strings.ToLower(p.Detail)
	speaks := strings.Contains(detail, "replace")
	if problem.IsPassing(err) {
		return kind == "serverInternal" && (speaks || strings.Contains(detail, "certificate"))
	}
	if problem.AdviceOn(kind) != "" {
		return false
	}
	switch p.HTTPStatus {
	case http.StatusConflict, http.StatusForbidden, http.StatusNotFound, http.StatusUnauthorized:
		return true
	}
	return kind == "malformed" || kind == "alreadyReplaced" || speaks
}

// Revoke revokes a certificate (RFC 8555 section 7.6), signed by the issuer's
// account. leaf is its DER form, reason a code of RFC 5280 section 5.3.1. One
// that is revoked already is a success.
func (c *Client) Revoke(ctx context.Context, issuer *spec.Issuer, leaf []byte, reason uint) error {
	s, err := c.accounts.Session(ctx, issuer)
	if err != nil {
		return c.struck(err)
	}
	_, err = s.Call(ctx, "revoking a certificate at "+issuer.Directory, func(core *api.Core) error {
		return core.Certificates.Revoke(acme.RevokeCertMessage{Certificate: base64.RawURLEncoding.EncodeToString(leaf), Reason: &reason})
	})
	if problem.Is(err, "alreadyRevoked") {
		return nil
	}
	return c.struck(err)
}

// list names up to three names, and how many there are besides.
func list(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + text.Counted(len(names)-most, "more name")
}
