package session

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/credential"
	"certroll/spec/text"
)

// openAccount prepares an issuer's account: the key is in the store, the account is
// registered at the CA, and its URL is in the store.
//
// The key reaches the store before the CA, and only if the store has none. Replicas that
// start together therefore all use the first key written. Registering a key twice
// returns the same account (RFC 8555 section 7.3.1). A crash in between leaves a key
// without URL, which the next call registers.
func (a *Accounts) openAccount(ctx context.Context, issuer *spec.Issuer) (*Session, error) {
	doing := "opening the ACME account of issuer " + issuer.Name
	s, err := a.newSession(issuer)
	if err != nil {
		return nil, err
	}
	// First, since the document's id depends on it.
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

// createDocument stores a document with a new key, or returns the one that another
// replica stored first.
func (a *Accounts) createDocument(ctx context.Context, id, doing string, issuer *spec.Issuer, eabKeyID string) (map[string]string, error) {
	key, err := newKey()
	if err != nil {
		return nil, &problem.Error{OfClass: ledger.ClassInternal, Doing: doing, Said: err.Error(), Cause: err}
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

func (a *Accounts) stamp() string { return text.Stamp(a.opts.Now()) }

// ensureRegistered registers the account at the CA, or updates its contact, and stores
// the account's URL.
func (s *Session) ensureRegistered(ctx context.Context, doing string, doc map[string]string, eabKeyID string) error {
	if doc[FieldURL] == "" {
		url, err := s.register(ctx, doing, eabKeyID)
		if err != nil {
			return err
		}
		return s.remember(ctx, doing, doc, url)
	}
	s.setAccountURL(doc[FieldURL])
	// The stored contact is the one last sent, so a change of email costs one request.
	if doc[FieldContact] == s.issuer.Email {
		return nil
	}
	if err := s.updateContact(ctx); err != nil {
		return err
	}
	return s.remember(ctx, doing, doc, s.AccountURL())
}

// remember stores the account's URL. It succeeds if another replica has just stored the
// same.
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

// register creates the account at the CA, or finds the existing one of this key.
func (s *Session) register(ctx context.Context, doing, eabKeyID string) (string, error) {
	var hmac string
	if s.issuer.EAB != nil {
		// Some bindings work only once (ZeroSSL's), so first look for an existing
		// account.
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

// mayBeLate reports whether the refusal may be due to another replica that registered
// the same key a moment earlier. Not every CA answers the second of two simultaneous
// requests with the account. A rate limit or a Retry-After has another cause.
func mayBeLate(err error) bool {
	var e *problem.Error
	var p *acme.ProblemDetails
	return errors.As(err, &p) && errors.As(err, &e) && e.OfClass != ledger.ClassRateLimited && e.Retry.IsZero()
}

// newAccount registers the account (RFC 8555 section 7.3), with an external account
// binding if eabKeyID is set, and records the agreed terms of service.
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
		err = &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the CA created an account but did not send its URL"}
	}
	return url, err
}

// mayRegister checks the CA's conditions in advance, so that the error can name the
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

// findAccount returns the URL of the key's account without creating one
// (onlyReturnExisting, RFC 8555 section 7.3.1).
func (s *Session) findAccount(ctx context.Context, doing string) (string, error) {
	var url string
	_, err := s.callAs(ctx, "", doing+" at "+s.ca.Directory, func(core *api.Core) error {
		account, err := core.Accounts.New(acme.Account{OnlyReturnExisting: true})
		url = account.Location
		return err
	})
	return url, err
}

// updateContact sends the CA the issuer's email (RFC 8555 section 7.3.2).
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

// registerAgain registers the stored key at a CA that has lost the account. stale is the
// lost account's URL. Of concurrent calls only one registers; the others find a new URL.
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
