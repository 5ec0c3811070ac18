package examine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/session"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// ExamineAccount checks the issuer's stored account at the CA, without creating or
// changing one, and compares the issuer's profile with those that the CA offers. An
// unreachable CA is no finding here.
func (x *Examiner) ExamineAccount(ctx context.Context, issuer *spec.Issuer) []error {
	doing := "looking for the ACME account of issuer " + issuer.Name
	s, err := x.accounts.StoredSession(ctx, issuer, doing)
	if err != nil {
		return []error{accountFinding(issuer, problem.AsError(doing, err))}
	}
	if s == nil {
		return nil
	}
	err = s.Ask(ctx)
	switch {
	case problem.IsOfAccount(err), problem.Is(err, "userActionRequired"):
		return []error{problem.Strike(x.secrets, accountFinding(issuer, problem.AsError(doing, err)))}
	case problem.Is(err, "accountDoesNotExist"):
		e := *problem.AsError(doing, err)
		e.Advice = "the next order registers the stored key again; mend CAA records with an accounturi then, as the account gets another URL"
		return []error{problem.Strike(x.secrets, &problem.Finding{Level: ledger.SeverityWarning, At: "ACME account of issuer " + issuer.Name, Why: &e})}
	}
	return x.profile(ctx, issuer, s)
}

// profile compares the issuer's profile with the directory's: the CA rejects an order
// for a profile that it does not offer.
func (x *Examiner) profile(ctx context.Context, issuer *spec.Issuer, s *session.Session) []error {
	if issuer.Profile == "" {
		return nil
	}
	doing := "looking for the profile " + issuer.Profile + " at " + issuer.Directory
	offered, err := s.Profiles(ctx, doing)
	if _, ok := offered[issuer.Profile]; ok || err != nil {
		return nil
	}
	said := "the CA offers no profiles"
	if names := slices.Sorted(maps.Keys(offered)); len(names) > 0 {
		said = "the CA offers " + problem.Clip(text.Line(strings.Join(names, ", ")))
	}
	why := problem.Config(doing, said, "name a profile in the issuer that the CA offers, or leave it out: the next order fails by it")
	return []error{problem.Strike(x.secrets, &problem.Finding{Level: ledger.SeverityError, At: "profile of issuer " + issuer.Name, Why: why})}
}

func accountFinding(issuer *spec.Issuer, e *problem.Error) error {
	return &problem.Finding{Level: ledger.SeverityError, At: "ACME account of issuer " + issuer.Name, Why: e}
}
