package session

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"time"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/problem"
	"certroll/spec"
	"certroll/spec/credential"
)

// openAccount gets an issuer's account ready for use: key stored, registered
// at the CA, its URL stored.
//
// The key is written before the CA hears of it, and only where there is none:
// two replicas that start together end up with the one key that was written
// first, and registering a key twice gives the same account (RFC 8555 section
// 7.3.1). A crash in between leaves a key without URL, which is just that.
func (a *Accounts) openAccount(ctx context.Context, issuer *spec.Issuer) (*Session, error) {
	doing := "opening the ACME account of issuer " + issuer.Name
	s, err := a.newSession(issuer)
	if err != nil {
		return nil, err
	}
	var eabKeyID string
	if issuer.EAB != nil {
		if eabKeyID, err = a.opts.Credential(ctx, issuer.EAB.KeyID, credential.Token); err != nil {
			return nil, problem.Unresolved(ctx, doing, "the eab key id", err)
		}
	}
	var doc map[string]string
	if s.accountID, doc, err = a.locate(ctx, issuer, eabKeyID, true); err != nil {
		if ctx.Err() != nil {
			return nil, problem.Interrupted(ctx, doing)
		}
		return nil, problem.InStore(doing+": looking for the account's document", err)
	}
	if doc == nil {
		doc, err = a.createDocument(ctx, s.accountID, doing, issuer, eabKeyID)
	}
	if err != nil {
		return nil, err
	}
	if s.key, err = parseKey(doc[FieldKey]); err != nil {
		return nil, problem.InStore(doing+": reading the document "+s.accountID, err)
	}
	if err := s.ensureRegistered(ctx, doing, doc, eabKeyID); err != nil {
		return nil, s.ofAccount(err)
	}
	return s, nil
}

// createDocument makes the document with a fresh key, or returns the one that
// another replica has made.
func (a *Accounts) createDocument(ctx context.Context, id, doing string, issuer *spec.Issuer, eabKeyID string) (map[string]string, error) {
	key, err := newKey()
	if err != nil {
		return nil, &problem.Error{OfClass: problem.ClassInternal, Doing: doing, Said: err.Error(), Cause: err}
	}
	doc := map[string]string{
		FieldSchema: "1", FieldDirectory: issuer.Directory, FieldContact: issuer.Email, fieldEAB: eabKeyID,
		FieldKey: key, FieldURL: "", fieldCreated: a.stamp(),
	}
	if issuer.Account != "" {
		doc[fieldAccount] = issuer.Account
	}
	stored, err := a.store.Create(ctx, id, doc)
	if err != nil {
		return nil, problem.InStore(doing+": creating the document "+id, err)
	}
	return stored, nil
}

func (a *Accounts) stamp() string { return a.opts.Now().UTC().Format(time.RFC3339) }

// ensureRegistered sees to the account at the CA and to its URL in the store.
func (s *Session) ensureRegistered(ctx context.Context, doing string, doc map[string]string, eabKeyID string) error {
	if doc[FieldURL] == "" {
		url, err := s.register(ctx, doing, eabKeyID)
		if err != nil {
			return err
		}
		return s.remember(ctx, doing, doc, url)
	}
	s.setAccountURL(doc[FieldURL])
	if doc[FieldContact] == s.issuer.Email {
		return nil
	}
	if err := s.updateContact(ctx); err != nil {
		return err
	}
	return s.remember(ctx, doing, doc, s.AccountURL())
}

// remember stores the account's URL. A replica that has stored the same in
// the meantime is no failure.
func (s *Session) remember(ctx context.Context, doing string, doc map[string]string, url string) error {
	doc = maps.Clone(doc)
	doc[FieldURL], doc[FieldContact], doc[fieldRegistered] = url, s.issuer.Email, s.accounts.stamp()
	if s.terms != "" {
		doc[FieldTerms] = s.terms
	}
	err := s.accounts.store.Update(ctx, s.accountID, doc)
	if err == nil {
		s.setAccountURL(url)
		return nil
	}
	if ctx.Err() != nil {
		return problem.Interrupted(ctx, doing)
	}
	now, loadErr := s.accounts.store.Load(ctx, s.accountID)
	if loadErr != nil || now[FieldURL] != url || now[FieldKey] != doc[FieldKey] {
		return problem.InStore(doing+": storing the account's URL in the document "+s.accountID, err)
	}
	s.setAccountURL(url)
	return nil
}

// register makes the account at the CA, or finds the one that this key has.
func (s *Session) register(ctx context.Context, doing, eabKeyID string) (string, error) {
	var hmac string
	if s.issuer.EAB != nil {
		// A binding may be good for one use only (ZeroSSL's is): ask for an
		// account of this key before.
		url, err := s.findAccount(ctx, doing)
		if err == nil || !problem.Is(err, "accountDoesNotExist") {
			return url, err
		}
		if hmac, err = s.accounts.opts.Credential(ctx, s.issuer.EAB.HMAC, credential.Base64); err != nil {
			return "", problem.Unresolved(ctx, doing, "the eab hmac", err)
		}
	}
	url, err := s.newAccount(ctx, doing, eabKeyID, hmac)
	if err == nil || !mayBeLate(err) {
		return url, err
	}
	if found, findErr := s.findAccount(ctx, doing); findErr == nil {
		return found, nil
	}
	return "", err
}

// mayBeLate reports whether another replica may have caused this refusal to
// make an account by being first with the same key: not every CA answers the
// second of two at the same moment with the account. A CA that wants to be
// left alone for a while is.
func mayBeLate(err error) bool {
	var e *problem.Error
	var p *acme.ProblemDetails
	return errors.As(err, &p) && errors.As(err, &e) && e.OfClass != problem.ClassRateLimited && e.Retry.IsZero()
}

func (s *Session) newAccount(ctx context.Context, doing, eabKeyID, hmac string) (string, error) {
	var url string
	_, err := s.callAs(ctx, "", doing+" at "+s.ca.Directory, func(core *api.Core) error {
		if err := s.mayRegister(core, doing); err != nil {
			return err
		}
		request := acme.Account{TermsOfServiceAgreed: s.issuer.AgreeTOS, Contact: s.contact()}
		var account acme.ExtendedAccount
		var err error
		if eabKeyID != "" {
			account, err = core.Accounts.NewEAB(request, eabKeyID, hmac)
		} else {
			account, err = core.Accounts.New(request)
		}
		url = account.Location
		if terms := core.GetDirectory().Meta.TermsOfService; err == nil && len(terms) <= longestTerms {
			s.terms = terms
		}
		return err
	})
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) {
		return "", problem.Config(doing, "the eab hmac is not base64url ("+corrupt.Error()+")", "give the HMAC key as the CA shows it")
	}
	if err == nil && url == "" {
		err = &problem.Error{OfClass: problem.ClassCAUnavailable, Doing: doing, Said: "the CA created an account but did not send its URL"}
	}
	return url, err
}

// mayRegister finds what the CA would refuse, so that the error can name the
// setting.
func (s *Session) mayRegister(core *api.Core, doing string) error {
	meta := core.GetDirectory().Meta
	if meta.TermsOfService != "" && !s.issuer.AgreeTOS {
		return problem.Config(doing, "the CA asks to agree to its terms of service at "+meta.TermsOfService,
			"read them, then set terms_of_service_agreed = true in the issuer")
	}
	if meta.ExternalAccountRequired && s.issuer.EAB == nil {
		return problem.Config(doing, "the CA makes accounts with an external account binding only", problem.AdviceOn("externalAccountRequired"))
	}
	return nil
}

// findAccount asks for the account of our key without making one.
func (s *Session) findAccount(ctx context.Context, doing string) (string, error) {
	var url string
	_, err := s.callAs(ctx, "", doing+" at "+s.ca.Directory, func(core *api.Core) error {
		account, err := core.Accounts.New(acme.Account{OnlyReturnExisting: true})
		url = account.Location
		return err
	})
	return url, err
}

// updateContact tells the CA another email (RFC 8555 section 7.3.2).
func (s *Session) updateContact(ctx context.Context) error {
	_, err := s.Call(ctx, "updating the contact of the account of issuer "+s.issuer.Name, func(core *api.Core) error {
		_, err := core.Accounts.Update(s.AccountURL(), acme.Account{Contact: s.contact()})
		return err
	})
	return err
}

func (s *Session) contact() []string {
	if s.issuer.Email == "" {
		return nil
	}
	return []string{"mailto:" + s.issuer.Email}
}

// registerAgain registers the stored key at a CA that has forgotten the
// account with the URL stale. Of many calls that find out at the same time,
// one does it.
func (s *Session) registerAgain(ctx context.Context, stale string) error {
	doing := "registering the account of issuer " + s.issuer.Name + " again"
	select {
	case s.registering <- struct{}{}:
		defer func() { <-s.registering }()
	case <-ctx.Done():
		return problem.Interrupted(ctx, doing)
	}
	if s.AccountURL() != stale {
		return nil
	}
	s.accounts.opts.Logger.Info("the CA no longer knows the ACME account; registering its key again", "issuer", s.issuer.Name)
	doc, err := s.accounts.store.Load(ctx, s.accountID)
	if err != nil {
		return problem.InStore(doing, err)
	}
	url, err := s.register(ctx, doing, doc[fieldEAB])
	if err != nil {
		return err
	}
	return s.remember(ctx, doing, doc, url)
}
