package acme

import (
	"context"
	"maps"
	"slices"
	"strings"

	"certroll/spec"
	"certroll/spec/text"
)

// ExamineAccount asks the CA for the issuer's account as it is stored, and makes
// or changes none, and holds the issuer's profile against those that the CA offers.
// A CA that is away is no finding here.
func (x *Examiner) ExamineAccount(ctx context.Context, issuer *spec.Issuer) []error {
	doing := "looking for the ACME account of issuer " + issuer.Name
	s, err := x.accounts.storedSession(ctx, issuer, doing)
	if err != nil {
		return []error{accountFinding(issuer, asError(doing, err))}
	}
	if s == nil {
		return nil
	}
	err = s.askAccount(ctx)
	switch {
	case isOfAccount(err), isProblem(err, "userActionRequired"):
		return []error{struck(x.secrets, accountFinding(issuer, asError(doing, err)))}
	case isProblem(err, "accountDoesNotExist"):
		e := *asError(doing, err)
		e.advice = "the next order registers the stored key again; mend CAA records with an accounturi then, as the account gets another URL"
		return []error{struck(x.secrets, &Finding{severity: SeverityWarning, about: "ACME account of issuer " + issuer.Name, why: &e})}
	}
	return x.profile(ctx, issuer, s)
}

// profile holds the issuer's profile against the directory's: the CA refuses an order
// for one that it does not offer.
func (x *Examiner) profile(ctx context.Context, issuer *spec.Issuer, s *session) []error {
	if issuer.Profile == "" {
		return nil
	}
	doing := "looking for the profile " + issuer.Profile + " at " + issuer.Directory
	offered, err := s.profiles(ctx, doing)
	if _, ok := offered[issuer.Profile]; ok || err != nil {
		return nil
	}
	said := "the CA offers no profiles"
	if names := slices.Sorted(maps.Keys(offered)); len(names) > 0 {
		said = "the CA offers " + clip(text.Line(strings.Join(names, ", ")))
	}
	why := configError(doing, said, "name a profile in the issuer that the CA offers, or leave it out: the next order fails by it")
	return []error{struck(x.secrets, &Finding{severity: SeverityError, about: "profile of issuer " + issuer.Name, why: why})}
}

func accountFinding(issuer *spec.Issuer, e *Error) error {
	return &Finding{severity: SeverityError, about: "ACME account of issuer " + issuer.Name, why: e}
}
