package acme

import (
	"context"
	"slices"
	"strings"

	"certroll/spec"

	"github.com/go-acme/lego/v4/acme"
)

// StepAnswers is the step by which Finish reports the dns-01 challenges that it is
// about to answer, before the first record is written: "DOMAIN TOKEN" on each line.
// A caller that keeps them can have RemoveAnswers clean up after a crash.
const StepAnswers = "answers"

func answersOf(tasks []task) string {
	var lines []string
	for _, t := range tasks {
		if ch, ok := dnsChallenge(t.authz); ok {
			lines = append(lines, t.domain()+" "+ch.Token)
		}
	}
	return strings.Join(lines, "\n")
}

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
	s, err := c.session(ctx, issuer)
	if err != nil {
		return nil, c.struck(err)
	}
	r := &remover{client: c, accounts: accounts, report: oneAtATime(report)}
	for _, answer := range answers {
		domain, token, ok := strings.Cut(answer, " ")
		if !ok || !tokenSafe(token) {
			continue
		}
		keyAuth, err := s.keyAuthorization(ctx, token)
		if err != nil {
			return left, c.struck(err)
		}
		ch := challenge{
			task:  task{authz: acme.Authorization{Identifier: acme.Identifier{Type: "dns", Value: domain}}},
			token: token, keyAuth: keyAuth,
		}
		if why := r.remove(ctx, ch); why != nil {
			left = append(left, c.struck(why).Error())
		}
		if ctx.Err() != nil {
			return left, interrupted(ctx, "removing TXT records of an earlier run")
		}
	}
	return left, nil
}

// remover is one run of RemoveAnswers.
type remover struct {
	client   *Client
	accounts []*spec.DNSAccount
	report   func(step, detail string)
}

// remove has the accounts try one after another. It fails with what the last one
// failed with, and where none could see the record with nothing.
func (r *remover) remove(ctx context.Context, ch challenge) error {
	var failure error
	for _, account := range r.accounts {
		removed, err := r.through(ctx, account, ch)
		if removed {
			return nil
		}
		if err != nil {
			failure = err
		}
	}
	return failure
}

// through removes the record through one account, where it is there.
func (r *remover) through(ctx context.Context, account *spec.DNSAccount, ch challenge) (removed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.client.opts.CleanupTimeout)
	defer cancel()
	name, err := recordName(ctx, account, ch.domain())
	if err != nil {
		return false, nil // nothing can be written where it leads, and so nothing was
	}
	r.client.names.wrote(name, ch.value())
	values, err := standing(ctx, account, name)
	if err != nil || !slices.Contains(values, ch.value()) {
		return false, nil // whoever cannot be asked shows no record
	}
	doing := "removing the TXT record " + name + " with the value " + ch.value() + ", which an earlier run left, through the DNS account " + account.Name
	r.report("cleanup", doing)
	provider, err := r.client.children.open(ctx, account)
	if err != nil {
		return false, asError(doing, err)
	}
	defer provider.release()
	p := &publication{
		solving: &solving{finish: &finish{client: r.client, report: r.report, doing: doing}}, account: account, provider: provider,
		name: name, challenges: []challenge{ch}, own: []string{ch.value()},
	}
	unlock, err := p.lock(ctx)
	if err != nil {
		return false, interrupted(ctx, doing)
	}
	defer unlock()
	if p.joined(ctx) {
		return false, &Error{class: ClassDNSOccupied, doing: doing, said: p.stays(ch)}
	}
	if !provider.effect.Spares() {
		// Some of these remove only what they remember to have written. All that is
		// there is ours, so that writing it again takes nothing away.
		_ = provider.present(ctx, ch, name)
	}
	if err := provider.cleanup(ctx, ch, name); err != nil {
		e := *asError(doing, err)
		e.advice = "remove it by hand"
		return false, &e
	}
	return true, nil
}
