package session

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/problem"
	"certroll/spec/text"
)

// checkAccount is askAccount, after which a CA that does not know the account any
// more is told of the stored key again.
func (s *Session) checkAccount(ctx context.Context) error {
	kid := s.AccountURL()
	err := s.Ask(ctx)
	if err != nil && problem.Is(err, "accountDoesNotExist") {
		return s.registerAgain(ctx, kid)
	}
	return err
}

// Ask asks for the account itself. A CA that answers with anything but a
// refusal says nothing against it.
func (s *Session) Ask(ctx context.Context) error {
	doing := "asking " + s.issuer.Directory + " for the ACME account " + s.AccountURL() + " of issuer " + s.issuer.Name
	var status string
	kid := s.AccountURL()
	_, err := s.callAs(ctx, kid, doing, func(core *api.Core) error {
		account, err := core.Accounts.Get(kid)
		status = account.Status
		return err
	})
	switch {
	case err == nil && (status == "" || status == acme.StatusValid):
		return nil
	case err == nil:
		return s.dead(doing, "the CA answered that the account is "+problem.Clip(text.Line(status)), nil)
	case mayBeAccount(err):
		return s.dead(doing, problem.AsError(doing, err).Said, err)
	}
	return err
}

// mayBeAccount tells whether a refusal may be about the account: the type of
// problem that RFC 8555 section 6.7 has for it, or a bare 401 or 403.
func mayBeAccount(err error) bool {
	if problem.IsOfAccount(err) {
		return false // it is, and was asked for
	}
	var p *acme.ProblemDetails
	if !errors.As(err, &p) {
		return false
	}
	return problem.Type(p) == "unauthorized" ||
		problem.Type(p) == "" && (p.HTTPStatus == http.StatusUnauthorized || p.HTTPStatus == http.StatusForbidden)
}

// dead is the failure of an account that the CA does not take any more. Nothing
// replaces it by itself: CAA records may name its URL (RFC 8657), and an external
// account binding may be good for one account only. The session is forgotten, so
// that the next attempt sees what a person has done about it.
func (s *Session) dead(doing, said string, cause error) error {
	s.accounts.forget(s)
	remove := "delete its document " + s.accountID + " in Vault"
	if p, ok := s.accounts.store.(placed); ok {
		remove = "delete its document: " + p.DeleteCommand(s.accountID)
	}
	return &problem.Error{OfClass: problem.ClassRejected, OwnedBy: problem.OwnerAccount, Doing: doing, Said: said, Cause: cause,
		Advice: "all certificates of this account fail until a person acts: to have certroll register a new account, " + remove +
			" and then run certroll retry with the name of one certificate; mend CAA records with an accounturi, and give a fresh eab where the CA wants one, before that"}
}

// ofAccount makes a refusal to open the account the account's own failure:
// terms, contact, external account binding, or a key whose account is dead.
func (s *Session) ofAccount(err error) error {
	var e *problem.Error
	if !errors.As(err, &e) || e.OwnedBy != "" || e.OfClass != problem.ClassConfig && e.OfClass != problem.ClassRejected {
		return err
	}
	if mayBeAccount(err) {
		return s.dead(e.Doing, e.Said, err)
	}
	own := *e
	own.OwnedBy = problem.OwnerAccount
	return &own
}
