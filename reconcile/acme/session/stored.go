package session

import (
	"context"

	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/problem"
	"certroll/spec"
	"certroll/spec/credential"
)

// Stored is what an examination asks of an account's document.
type Stored struct {
	ID    string // of the document
	URL   string // the account's; "" where there is no account yet
	Terms string // the URL of the terms of service agreed to when it was registered
}

// Stored reads the issuer's account from the store. It makes and changes none.
func (a *Accounts) Stored(ctx context.Context, issuer *spec.Issuer) (Stored, error) {
	doc, id, err := a.document(ctx, issuer)
	return Stored{ID: id, URL: doc[FieldURL], Terms: doc[FieldTerms]}, err
}

// document is the document of the issuer's account and its id; nil where
// there is none yet.
func (a *Accounts) document(ctx context.Context, issuer *spec.Issuer) (doc map[string]string, id string, err error) {
	var eabKeyID string
	if issuer.EAB != nil {
		if eabKeyID, err = a.opts.Credential(ctx, issuer.EAB.KeyID, credential.Token); err != nil {
			return nil, "", err
		}
	}
	id, doc, err = a.locate(ctx, issuer, eabKeyID, false)
	return doc, id, err
}

// StoredSession is a session of the account as it is stored, to ask the CA for it; nil
// where there is no account yet, or none can be read. A document that holds no key is
// an error.
func (a *Accounts) StoredSession(ctx context.Context, issuer *spec.Issuer, doing string) (*Session, error) {
	doc, id, err := a.document(ctx, issuer)
	if err != nil || doc[FieldURL] == "" {
		return nil, nil //nolint:nilerr // another examination tells of a store that cannot be read
	}
	s, err := a.newSession(issuer)
	if err != nil {
		return nil, nil //nolint:nilerr // so does one of the directory
	}
	s.accountID = id
	if s.key, err = parseKey(doc[FieldKey]); err != nil {
		return nil, problem.InStore(doing, err)
	}
	s.setAccountURL(doc[FieldURL])
	return s, nil
}

// Check opens the issuer's account and asks the CA for it (POST-as-GET on the
// account's URL, RFC 8555 section 7.1.2).
func (a *Accounts) Check(ctx context.Context, issuer *spec.Issuer) error {
	s, err := a.Session(ctx, issuer)
	if err != nil {
		return err
	}
	return s.checkAccount(ctx)
}

// Profiles are those that the directory offers (meta.profiles of
// draft-ietf-acme-profiles), by name.
func (s *Session) Profiles(ctx context.Context, doing string) (offered map[string]string, err error) {
	_, err = s.callAs(ctx, s.AccountURL(), doing, func(core *api.Core) error {
		offered = core.GetDirectory().Meta.Profiles
		return nil
	})
	return offered, err
}

// SetTerms is a command line by which a person notes the terms of service that an
// account's document says are agreed to; "" where the store knows none.
func (a *Accounts) SetTerms(id, terms string) string {
	if p, ok := a.store.(labeled); ok {
		return p.SetCommand(id, FieldTerms, terms)
	}
	return ""
}
