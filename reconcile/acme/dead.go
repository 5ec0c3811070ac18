package acme

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"certroll/spec"
	"certroll/spec/text"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

// placed is an AccountStore that can say how one of its documents is deleted.
type placed interface {
	// DeleteCommand is a command line for a person.
	DeleteCommand(id string) string
}

// CheckAccount opens the issuer's account and asks the CA for it (POST-as-GET on
// the account's URL, RFC 8555 section 7.1.2). Where the CA does not take the
// account any more, Owner of the error is OwnerAccount.
func (c *Client) CheckAccount(ctx context.Context, issuer *spec.Issuer) error {
	s, err := c.session(ctx, issuer)
	if err == nil {
		err = s.checkAccount(ctx)
	}
	return c.struck(err)
}

// ExamineAccount asks the CA for the issuer's account as it is stored, and makes
// or changes none, and holds the issuer's profile against those that the CA offers.
// A CA that is away is no finding here.
func (c *Client) ExamineAccount(ctx context.Context, issuer *spec.Issuer) []error {
	doing := "looking for the ACME account of issuer " + issuer.Name
	doc, id, err := c.storedAccount(ctx, issuer)
	if err != nil || doc[fieldURL] == "" {
		return nil // another finding tells of a store that cannot be read
	}
	s, err := c.newSession(issuer)
	if err != nil {
		return nil
	}
	s.accountID = id
	if s.key, err = parseKey(doc[fieldKey]); err != nil {
		return []error{s.accountFinding(asError(doing, storeError(doing, err)))}
	}
	s.setAccountURL(doc[fieldURL])
	err = s.askAccount(ctx)
	switch {
	case isOfAccount(err), isProblem(err, "userActionRequired"):
		return []error{c.struck(s.accountFinding(asError(doing, err)))}
	case isProblem(err, "accountDoesNotExist"):
		e := *asError(doing, err)
		e.advice = "the next order registers the stored key again; mend CAA records with an accounturi then, as the account gets another URL"
		return []error{c.struck(&Finding{severity: SeverityWarning, about: "ACME account of issuer " + issuer.Name, why: &e})}
	}
	return s.examineProfile(ctx)
}

// examineProfile holds the issuer's profile against the directory's (meta.profiles of
// draft-ietf-acme-profiles): the CA refuses an order for one that it does not offer.
func (s *session) examineProfile(ctx context.Context) []error {
	if s.issuer.Profile == "" {
		return nil
	}
	doing := "looking for the profile " + s.issuer.Profile + " at " + s.issuer.Directory
	var offered map[string]string
	_, err := s.callAs(ctx, s.accountURL(), doing, func(core *api.Core) error {
		offered = core.GetDirectory().Meta.Profiles
		return nil
	})
	if _, ok := offered[s.issuer.Profile]; ok || err != nil {
		return nil
	}
	said := "the CA offers no profiles"
	if names := slices.Sorted(maps.Keys(offered)); len(names) > 0 {
		said = "the CA offers " + clip(text.Line(strings.Join(names, ", ")))
	}
	why := configError(doing, said, "name a profile in the issuer that the CA offers, or leave it out: the next order fails by it")
	return []error{s.client.struck(&Finding{severity: SeverityError, about: "profile of issuer " + s.issuer.Name, why: why})}
}

func (s *session) accountFinding(e *Error) error {
	return &Finding{severity: SeverityError, about: "ACME account of issuer " + s.issuer.Name, why: e}
}

// checkAccount is askAccount, after which a CA that does not know the account any
// more is told of the stored key again.
func (s *session) checkAccount(ctx context.Context) error {
	kid := s.accountURL()
	err := s.askAccount(ctx)
	if err != nil && isProblem(err, "accountDoesNotExist") {
		return s.registerAgain(ctx, kid)
	}
	return err
}

// askAccount asks for the account itself. A CA that answers with anything but a
// refusal says nothing against it.
func (s *session) askAccount(ctx context.Context) error {
	doing := "asking " + s.issuer.Directory + " for the ACME account " + s.accountURL() + " of issuer " + s.issuer.Name
	var status string
	kid := s.accountURL()
	_, err := s.callAs(ctx, kid, doing, func(core *api.Core) error {
		account, err := core.Accounts.Get(kid)
		status = account.Status
		return err
	})
	switch {
	case err == nil && (status == "" || status == acme.StatusValid):
		return nil
	case err == nil:
		return s.dead(doing, "the CA answered that the account is "+clip(text.Line(status)), nil)
	case mayBeAccount(err):
		return s.dead(doing, asError(doing, err).said, err)
	}
	return err
}

// mayBeAccount tells whether a refusal may be about the account: the type of
// problem that RFC 8555 section 6.7 has for it, or a bare 401 or 403.
func mayBeAccount(err error) bool {
	if isOfAccount(err) {
		return false // it is, and was asked for
	}
	var p *acme.ProblemDetails
	if !errors.As(err, &p) {
		return false
	}
	return problemType(p) == "unauthorized" ||
		problemType(p) == "" && (p.HTTPStatus == http.StatusUnauthorized || p.HTTPStatus == http.StatusForbidden)
}

// dead is the failure of an account that the CA does not take any more. Nothing
// replaces it by itself: CAA records may name its URL (RFC 8657), and an external
// account binding may be good for one account only. The session is forgotten, so
// that the next attempt sees what a person has done about it.
func (s *session) dead(doing, said string, cause error) error {
	s.client.forget(s)
	remove := "delete its document " + s.accountID + " in Vault"
	if p, ok := s.client.accounts.(placed); ok {
		remove = "delete its document: " + p.DeleteCommand(s.accountID)
	}
	return &Error{class: ClassRejected, owner: OwnerAccount, doing: doing, said: said, cause: cause,
		advice: "all certificates of this account fail until a person acts: to have certroll register a new account, " + remove +
			" and then run certroll retry with the name of one certificate; mend CAA records with an accounturi, and give a fresh eab where the CA wants one, before that"}
}

// forget drops a session.
func (c *Client) forget(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, o := range c.sessions {
		if o.session == s {
			delete(c.sessions, key)
		}
	}
}

// ofAccount makes a refusal to open the account the account's own failure:
// terms, contact, external account binding, or a key whose account is dead.
func (s *session) ofAccount(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.owner != "" || e.class != ClassConfig && e.class != ClassRejected {
		return err
	}
	if mayBeAccount(err) {
		return s.dead(e.doing, e.said, err)
	}
	own := *e
	own.owner = OwnerAccount
	return &own
}

func isOfAccount(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.owner == OwnerAccount
}
