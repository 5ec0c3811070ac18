package session

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"

	"certroll/spec"
)

// locate returns the document of the issuer's account; nil if there is none yet, and
// then id is the id to create it under. It also finds accounts of earlier versions,
// where the contact was part of the identity, and adopts them without a new
// registration:
//
//	DocumentID ─┬─ the document itself
//	            ├─ a pointer ── FormerDocumentID, which stays in place, so that an
//	            │               earlier certroll still finds it
//	            └─ nothing ──── look for such a document; write the pointer (adopt)
//
// If a pointer's document is missing, a person has reset the account: the caller creates
// a new one in its place.
func (a *Accounts) locate(ctx context.Context, issuer *spec.Issuer, eabKeyID string, adopt bool) (id string, doc map[string]string, err error) {
	id = DocumentID(issuer.Directory, issuer.Account, eabKeyID)
	doc, err = a.load(ctx, id)
	if err != nil {
		return "", nil, err
	}
	if doc == nil {
		former, err := a.former(ctx, issuer, eabKeyID, adopt)
		if err != nil || former == "" {
			return id, nil, err
		}
		doc = map[string]string{FieldSchema: "1", FieldDirectory: issuer.Directory, fieldEAB: eabKeyID, fieldDocument: former, fieldCreated: a.stamp()}
		if adopt {
			if doc, err = a.store.Create(ctx, id, doc); err != nil {
				return "", nil, err
			}
			a.opts.Logger.Info("using the ACME account of an earlier certroll version", "issuer", issuer.Name, "document", former)
		}
	}
	// A pointer leads to a document and not to another pointer: one step, no loop.
	if target := doc[fieldDocument]; target != "" {
		doc, err = a.load(ctx, target)
		return target, doc, err
	}
	return id, doc, nil
}

// load returns a document, nil if there is none.
func (a *Accounts) load(ctx context.Context, id string) (map[string]string, error) {
	doc, err := a.store.Load(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return doc, err
}

// former returns the id of the account document of an earlier version; "" if there is
// none. It prefers the document of the present contact. Without that one it takes any
// document of the same CA and external account, since the contact may have changed with
// the upgrade; a second registration would be worse. An issuer with an account setting
// wants a separate account and takes only the first kind.
func (a *Accounts) former(ctx context.Context, issuer *spec.Issuer, eabKeyID string, adopt bool) (string, error) {
	there, err := a.formerDocuments(ctx, issuer, eabKeyID)
	if err != nil && adopt {
		return "", err
	}
	exact := FormerDocumentID(issuer.Directory, issuer.Email, eabKeyID)
	if there == nil { // the store cannot list, or permits no listing
		doc, err := a.load(ctx, exact)
		if doc == nil {
			return "", err
		}
		return exact, nil
	}
	if slices.ContainsFunc(there, func(f former) bool { return f.id == exact }) {
		return exact, nil
	}
	if len(there) == 0 || issuer.Account != "" {
		return "", nil
	}
	if len(there) > 1 {
		a.opts.Logger.Warn("several ACME accounts at one CA; using the oldest: set account in the issuers that use the others", "issuer", issuer.Name, "directory", issuer.Directory, "documents", len(there), "taken", there[0].id)
	}
	return there[0].id, nil
}

// former is a document without a pointer.
type former struct{ id, created string }

// formerDocuments returns the documents of the issuer's CA and external account that no
// pointer refers to, oldest first; nil if the store cannot list.
func (a *Accounts) formerDocuments(ctx context.Context, issuer *spec.Issuer, eabKeyID string) ([]former, error) {
	store, ok := a.store.(lister)
	if !ok {
		return nil, nil
	}
	ids, err := store.List(ctx)
	if err != nil {
		return nil, err
	}
	found, taken := []former{}, map[string]bool{}
	for _, id := range ids {
		doc, err := a.load(ctx, id)
		if err != nil {
			return nil, err
		}
		switch {
		case doc[fieldDocument] != "":
			taken[doc[fieldDocument]] = true
		case doc[FieldDirectory] == issuer.Directory && doc[fieldEAB] == eabKeyID && doc[FieldKey] != "" && doc[fieldAccount] == "":
			found = append(found, former{id, doc[fieldCreated]})
		}
	}
	found = slices.DeleteFunc(found, func(f former) bool { return taken[f.id] })
	slices.SortFunc(found, func(x, y former) int { return cmp.Or(cmp.Compare(x.created, y.created), cmp.Compare(x.id, y.id)) })
	return found, nil
}
