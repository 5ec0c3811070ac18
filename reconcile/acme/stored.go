package acme

import (
	"context"

	"github.com/go-acme/lego/v4/acme/api"

	"certroll/spec"
	"certroll/spec/credential"
)

// storedAccount is what an examination asks of an account's document.
type storedAccount struct {
	id    string // of the document
	url   string // the account's; "" where there is no account yet
	terms string // the URL of the terms of service agreed to when it was registered
}

// stored reads the issuer's account from the store. It makes and changes none.
func (a *accounts) stored(ctx context.Context, issuer *spec.Issuer) (storedAccount, error) {
	doc, id, err := a.document(ctx, issuer)
	return storedAccount{id: id, url: doc[fieldURL], terms: doc[fieldTerms]}, err
}

// document is the document of the issuer's account and its id; nil where
// there is none yet.
func (a *accounts) document(ctx context.Context, issuer *spec.Issuer) (doc map[string]string, id string, err error) {
	var eabKeyID string
	if issuer.EAB != nil {
		if eabKeyID, err = a.opts.Credential(ctx, issuer.EAB.KeyID, credential.Token); err != nil {
			return nil, "", err
		}
	}
	id, doc, err = a.locate(ctx, issuer, eabKeyID, false)
	return doc, id, err
}

// storedSession is a session of the account as it is stored, to ask the CA for it; nil
// where there is no account yet, or none can be read. A document that holds no key is
// an error.
func (a *accounts) storedSession(ctx context.Context, issuer *spec.Issuer, doing string) (*session, error) {
	doc, id, err := a.document(ctx, issuer)
	if err != nil || doc[fieldURL] == "" {
		return nil, nil //nolint:nilerr // another examination tells of a store that cannot be read
	}
	s, err := a.newSession(issuer)
	if err != nil {
		return nil, nil //nolint:nilerr // so does one of the directory
	}
	s.accountID = id
	if s.key, err = parseKey(doc[fieldKey]); err != nil {
		return nil, storeError(doing, err)
	}
	s.setAccountURL(doc[fieldURL])
	return s, nil
}

// check opens the issuer's account and asks the CA for it (POST-as-GET on the
// account's URL, RFC 8555 section 7.1.2).
func (a *accounts) check(ctx context.Context, issuer *spec.Issuer) error {
	s, err := a.session(ctx, issuer)
	if err != nil {
		return err
	}
	return s.checkAccount(ctx)
}

// profiles are those that the directory offers (meta.profiles of
// draft-ietf-acme-profiles), by name.
func (s *session) profiles(ctx context.Context, doing string) (offered map[string]string, err error) {
	_, err = s.callAs(ctx, s.accountURL(), doing, func(core *api.Core) error {
		offered = core.GetDirectory().Meta.Profiles
		return nil
	})
	return offered, err
}

// lister is an AccountStore that can name its documents.
type lister interface {
	List(ctx context.Context) (ids []string, err error)
}

// placed is an AccountStore that can say how one of its documents is deleted.
type placed interface {
	// DeleteCommand is a command line for a person.
	DeleteCommand(id string) string
}

// labeled is an AccountStore that can say how one field of a document is set.
type labeled interface {
	// SetCommand is a command line for a person, with the value quoted for a shell;
	// "" where that cannot be done.
	SetCommand(id, field, value string) string
}

// setTerms is a command line by which a person notes the terms of service that an
// account's document says are agreed to; "" where the store knows none.
func (a *accounts) setTerms(id, terms string) string {
	if p, ok := a.store.(labeled); ok {
		return p.SetCommand(id, fieldTerms, terms)
	}
	return ""
}
