package examine

import (
	"context"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// ExamineAccount checks the issuer's stored account at the CA, without creating or
// changing one. An unreachable CA is no finding here, and ExamineDirectory compares the
// issuer with what the CA offers.
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
		e.Advice = "the next order registers the stored key again; fix CAA records with an accounturi then, as the account gets another URL"
		return []error{problem.Strike(x.secrets, &problem.Finding{Level: ledger.SeverityWarning, At: "ACME account of issuer " + issuer.Name, Why: &e})}
	}
	return nil
}

func accountFinding(issuer *spec.Issuer, e *problem.Error) error {
	return &problem.Finding{Level: ledger.SeverityError, At: "ACME account of issuer " + issuer.Name, Why: e}
}
