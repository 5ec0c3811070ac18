package session

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// checkAccount fetches the account from the CA. If the CA does not know it, checkAccount
// registers the stored key again.
func (s *Session) checkAccount(ctx context.Context) error {
	kid := s.AccountURL()
	err := s.Ask(ctx)
	if err != nil && problem.Is(err, "accountDoesNotExist") {
		return s.registerAgain(ctx, kid)
	}
	return err
}

// Ask fetches the account from the CA. Only a refusal that concerns the account, or a
// status other than valid, counts against it.
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

// mayBeAccount reports whether a refusal may concern the account: the problem type
// unauthorized (RFC 8555 section 6.7), or a 401 or 403 without a type.
func mayBeAccount(err error) bool {
	if problem.IsOfAccount(err) {
		return false // already checked
	}
	var p *acme.ProblemDetails
	if !errors.As(err, &p) {
		return false
	}
	return problem.Type(p) == "unauthorized" ||
		problem.Type(p) == "" && (p.HTTPStatus == http.StatusUnauthorized || p.HTTPStatus == http.StatusForbidden)
}

// dead returns the error for an account that the CA rejects. certroll does not replace
// the account by itself: CAA records may name its URL (RFC 8657), and an external
// account binding may work only once. dead drops the session, so that the next attempt
// reads the store again after a person has acted.
func (s *Session) dead(doing, said string, cause error) error {
	s.accounts.forget(s)
	remove := "delete its document " + s.accountID + " in Vault"
	if p, ok := s.accounts.store.(placed); ok {
		remove = "delete its document: " + p.DeleteCommand(s.accountID)
	}
	return &problem.Error{OfClass: ledger.ClassCARejected, OwnedBy: ledger.OwnerAccount, Doing: doing, Said: said, Cause: cause,
		Advice: "all certificates of this account fail until a person acts: to have certroll register a new account, " + remove +
			" and then run certroll retry with the name of one certificate; fix CAA records with an accounturi, and give a fresh eab where the CA wants one, before that"}
}

// ofAccount attributes a refusal to open the account to the account itself: terms,
// contact, external account binding, or a key whose account is dead.
func (s *Session) ofAccount(err error) error {
	var e *problem.Error
	if !errors.As(err, &e) || e.OwnedBy != "" || e.OfClass != ledger.ClassConfig && e.OfClass != ledger.ClassCARejected {
		return err
	}
	if mayBeAccount(err) {
		return s.dead(e.Doing, e.Said, err)
	}
	own := *e
	own.OwnedBy = ledger.OwnerAccount
	return &own
}
