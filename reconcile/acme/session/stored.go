package session

import (
	"context"

	"certroll/reconcile/acme/problem"
	"certroll/spec"
	"certroll/spec/credential"
)

// Stored is the part of an account's document that examinations need.
type Stored struct {
	ID    string // id of the document
	URL   string // URL of the account; "" if there is none yet
	Terms string // URL of the terms of service agreed to at registration
}

// Stored reads the issuer's account from the store. It creates and changes nothing.
func (a *Accounts) Stored(ctx context.Context, issuer *spec.Issuer) (Stored, error) {
	doc, id, err := a.document(ctx, issuer)
	return Stored{ID: id, URL: doc[FieldURL], Terms: doc[FieldTerms]}, err
}

// document returns the document of the issuer's account and its id; a nil document if
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

// StoredSession returns a session of the stored account, for checking it at the CA. It
// returns nil if there is no account yet or the store cannot be read. A document without
// a usable key is an error.
func (a *Accounts) StoredSession(ctx context.Context, issuer *spec.Issuer, doing string) (*Session, error) {
	doc, id, err := a.document(ctx, issuer)
	if err != nil || doc[FieldURL] == "" {
		return nil, nil //nolint:nilerr // another examination reports an unreadable store
	}
	s, err := a.newSession(issuer)
	if err != nil {
		return nil, nil //nolint:nilerr // and an invalid directory
	}
	s.accountID = id
	if s.key, err = parseKey(doc[FieldKey]); err != nil {
		return nil, problem.InStore(doing, err)
	}
	s.setAccountURL(doc[FieldURL])
	return s, nil
}

// Check opens the issuer's account and fetches it from the CA (POST-as-GET on the
// account's URL, RFC 8555 section 7.1.2).
func (a *Accounts) Check(ctx context.Context, issuer *spec.Issuer) error {
	s, err := a.Session(ctx, issuer)
	if err != nil {
		return err
	}
	return s.checkAccount(ctx)
}

// SetTerms returns a command line that records the agreed terms of service in an
// account's document; "" if the store has no such command.
func (a *Accounts) SetTerms(id, terms string) string {
	if p, ok := a.store.(labeled); ok {
		return p.SetCommand(id, FieldTerms, terms)
	}
	return ""
}
