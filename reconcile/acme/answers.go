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

// RemoveAnswers removes the TXT records of challenges that an earlier process began
// to answer and may not have removed. answers are lines of StepAnswers. A record is
// removed only where the name servers show it, and it is known as certroll's own
// from then on, whatever comes of the removal. left tells of the records that are
// still there, each in a sentence. The order must not be under validation.
//
// Which account wrote a record is not known, so each is asked that could have.
// Many providers remove a record only in the process that wrote it, since they
// keep its id in memory: such a record stays, and a person has to remove it.
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
		keyAuth, err := s.KeyAuthorization(ctx, token)
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
