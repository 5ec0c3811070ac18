package ca

import (
	"context"
	"encoding/json"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Meta is the meta object of a directory: RFC 8555 section 7.1.1, and the profiles of
// draft-aaron-acme-profiles section 3.
type Meta struct {
	Terms      string         `json:"termsOfService"`
	Identities []string       `json:"caaIdentities"`
	EAB        bool           `json:"externalAccountRequired"`
	Profiles   map[string]any `json:"profiles"` // name to description; nil if the CA has none
}

// Meta returns the meta object from the cached directory.
func (c *Set) Meta(ctx context.Context, issuer *spec.Issuer, doing string) (Meta, error) {
	u, err := c.Of(issuer)
	if err != nil {
		return Meta{}, err
	}
	body, _, err := u.get(ctx, doing, u.Directory, MaxAnswer)
	if err != nil {
		return Meta{}, err
	}
	var directory struct {
		Meta Meta `json:"meta"`
	}
	if err := json.Unmarshal(body, &directory); err != nil {
		return Meta{}, &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the directory cannot be read: " + err.Error(), Cause: err,
			Advice: "check that the issuer's directory is the URL of an ACME directory"}
	}
	return directory.Meta, nil
}
