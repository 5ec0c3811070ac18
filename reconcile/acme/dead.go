package acme

import (
	"context"
	"errors"
	"net/http"

	"certroll/spec/text"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

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
	s.accounts.forget(s)
	remove := "delete its document " + s.accountID + " in Vault"
	if p, ok := s.accounts.store.(placed); ok {
		remove = "delete its document: " + p.DeleteCommand(s.accountID)
	}
	return &Error{class: ClassRejected, owner: OwnerAccount, doing: doing, said: said, cause: cause,
		advice: "all certificates of this account fail until a person acts: to have certroll register a new account, " + remove +
			" and then run certroll retry with the name of one certificate; mend CAA records with an accounturi, and give a fresh eab where the CA wants one, before that"}
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
