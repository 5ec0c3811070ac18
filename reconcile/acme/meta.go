package acme

import (
	"context"
	"encoding/json"

	"certroll/spec"
)

// meta is what a directory says of its CA: RFC 8555 section 7.1.1, and the profiles
// of draft-aaron-acme-profiles section 3.
type meta struct {
	Terms      string         `json:"termsOfService"`
	Identities []string       `json:"caaIdentities"`
	EAB        bool           `json:"externalAccountRequired"`
	Profiles   map[string]any `json:"profiles"` // name to description; nil: the CA has none
}

// meta reads the directory, of which all questions share one copy, or says why that
// cannot be done.
func (c *cas) meta(ctx context.Context, issuer *spec.Issuer, doing string) (meta, error) {
	u, err := c.upstream(issuer)
	if err != nil {
		return meta{}, err
	}
	body, _, err := u.get(ctx, doing, u.directory, maxAnswer)
	if err != nil {
		return meta{}, err
	}
	var directory struct {
		Meta meta `json:"meta"`
	}
	if err := json.Unmarshal(body, &directory); err != nil {
		return meta{}, &Error{class: ClassCAUnavailable, doing: doing, said: "the directory cannot be read: " + err.Error(), cause: err,
			advice: "see that the issuer's directory is the URL of an ACME directory"}
	}
	return directory.Meta, nil
}
