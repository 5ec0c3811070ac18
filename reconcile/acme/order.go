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
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// Order creates an order for these names (RFC 8555 section 7.4) with the issuer's
// profile and returns its URL. replaces is the ARI identifier of the certificate that
// the order renews (RFC 9773 section 5), or empty. If the CA rejects the order because
// of replaces, Order sends it once more without: an exemption from rate limits is not
// worth an expired certificate.
//
// replaced reports whether the CA's order object repeats replaces, as RFC 9773 section 5
// requires. It is false if the second request was needed, if the CA has no renewal
// information, and if the CA ignores the field. The order may then count against limits.
func (c *Client) Order(ctx context.Context, issuer *spec.Issuer, names []string, replaces string) (url string, replaced bool, err error) {
	defer func() { err = c.struck(err) }()
	s, err := c.accounts.Session(ctx, issuer)
	if err != nil {
		return "", false, err
	}
	doing := "ordering a certificate for " + list(names) + " at " + issuer.Directory
	order, seen, err := newOrder(ctx, s, doing, names, api.OrderOptions{Profile: issuer.Profile, ReplacesCertID: replaces})
	// Once only: a second failure is not about replaces. If lego left the field out, the
	// failure is not about it either.
	if err != nil && seen.SentField("replaces") && blamesReplaces(err, seen.Status) {
		c.log.Info("the CA rejected the reference to the replaced certificate; ordering without it", "issuer", issuer.Name, "names", list(names), "error", err)
		order, _, err = newOrder(ctx, s, doing, names, api.OrderOptions{Profile: issuer.Profile})
	}
	if err != nil {
		return "", false, err
	}
	if order.Location == "" {
		return "", false, &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the CA created an order but did not send its URL"}
	}
	if err := checkOrderURL(ctx, s, issuer, doing, order.Location); err != nil {
		return "", false, err
	}
	return order.Location, replaces != "" && order.Replaces == replaces, nil
}

// checkOrderURL rejects an unusable order URL before the caller stores it: every later
// attempt would continue that order and fail. A URL at the directory's own host is known
// to answer; checkOrderURL fetches any other URL once.
func checkOrderURL(ctx context.Context, s *session.Session, issuer *spec.Issuer, doing, orderURL string) error {
	refuse := func(why string) error {
		return &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing,
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

// unfitURL returns why a URL is unusable for ACME; empty if it is usable.
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

// blamesReplaces reports whether the CA may have rejected an order because of its
// replaces field. CAs differ in how they answer:
//
//	Boulder  409 alreadyReplaced or conflict (also by an order that is only
//	         pending), 404 malformed (unknown, another CA's), 403 unauthorized
//	         (another account's), 400 malformed (no name in common)
//	ZeroSSL  401 unauthorized
//
// A 401, 403 or 404 may also concern the account; Session.Call has checked the account
// by then. Never blamed on replaces: a rate limit, a CA fault whose text does not
// mention it, and a problem type with a known other cause.
//
// Pebble answers 500 serverInternal if a serial begins with a zero byte: it does not
// find that certificate, however often it is asked.
func blamesReplaces(err error, status int) bool {
	if problem.HasClass(err, ledger.ClassRateLimited) || problem.HasClass(err, ledger.ClassPaused) || problem.IsOfAccount(err) {
		return false
	}
	var p *acme.ProblemDetails
	if !errors.As(err, &p) {
		p = &acme.ProblemDetails{HTTPStatus: status} // an answer without a problem document, such as a firewall's page
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

// Revoke revokes a certificate (RFC 8555 section 7.6), signed with the issuer's account
// key. leaf is the certificate in DER; reason is a code of RFC 5280 section 5.3.1.
// Revoking a revoked certificate succeeds.
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

// list returns up to three names and the number of the others.
func list(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + text.Counted(len(names)-most, "more name")
}
