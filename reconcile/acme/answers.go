package acme

import (
	"context"
	"slices"
	"strings"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/publish"
	"certroll/spec"
)

// RemoveAnswers removes the TXT records that an earlier process may have left behind.
// answers are lines of StepAnswers ("domain token"). RemoveAnswers removes a record only
// if the name servers show it, and from then on treats it as certroll's own, even if the
// removal fails. left has one sentence for each record that remains. Call it only while
// the CA is not validating the order: validation needs the records.
//
// The caller does not know which DNS account wrote a record, so RemoveAnswers tries each
// dns-01 account in turn. Many lego providers keep a record's id in memory and can only
// remove it in the process that wrote it. Such a record stays until a person removes it.
func (c *Client) RemoveAnswers(ctx context.Context, issuer *spec.Issuer, accounts []*spec.DNSAccount, answers []string,
	report func(step, detail string)) (left []string, err error) {
	accounts = slices.DeleteFunc(slices.Clone(accounts), func(a *spec.DNSAccount) bool { return a.Challenge != spec.DNS01 })
	if len(accounts) == 0 {
		return nil, nil
	}
	s, err := c.accounts.Session(ctx, issuer)
	if err != nil {
		return nil, c.struck(err)
	}
	report = publish.OneAtATime(report)
	for _, answer := range answers {
		domain, token, ok := strings.Cut(answer, " ")
		if !ok || !ca.TokenSafe(token) {
			continue
		}
		keyAuth, err := s.KeyAuthorization(token)
		if err != nil {
			return left, c.struck(err)
		}
		if why := c.publisher.RemoveLeft(ctx, accounts, dnsprovider.Proof{Domain: domain, Token: token, KeyAuth: keyAuth}, report); why != nil {
			left = append(left, c.struck(why).Error())
		}
		if ctx.Err() != nil {
			return left, problem.Interrupted(ctx, "removing TXT records of an earlier run")
		}
	}
	return left, nil
}
