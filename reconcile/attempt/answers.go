package attempt

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/text"
)

// A run that dies between the writing of a TXT record and its removal leaves the
// record: the next run finds the order validated, and would have no reason to look
// at DNS. Most providers pile such records up, and one that replaces sets would be
// held for ever by what looks like somebody else's.
//
//	Finish ── about to answer ── pending secret ── records ── CA ── removed
//	                                  │                └ killed
//	next run ◀── inherited answers ───┘
//	  └ those of an order that was given up: before the next order is answered
//	  └ the order's own, which the CA may be looking at: once the pair is live
//	  └ all of them, where nobody goes on with the order: before the pending
//	    secret is destroyed

// stepAnswers is the step by which the CA's side reports the challenges that it is
// about to answer, "DOMAIN TOKEN" on each line.
const stepAnswers = "answers"

// mostAnswers bounds what is kept: a few orders of a hundred names.
const mostAnswers = 500

// sweepTime bounds the removal of what earlier runs left, whatever the providers do.
const sweepTime = 10 * time.Minute

// answerRemover is a CA that can remove what an earlier run has published.
type answerRemover interface {
	// RemoveAnswers removes the TXT records of challenges, given as "DOMAIN TOKEN",
	// where they are still there, and tells of those that it could not remove.
	RemoveAnswers(ctx context.Context, issuer *spec.Issuer, accounts []*spec.DNSAccount, answers []string,
		report func(step, detail string)) (left []string, err error)
}

// finish has the CA's side bring the order to its end. What it is about to answer
// is in the pending secret before the first record is written: where it cannot be
// kept, nothing is.
func (a *Attempt) finish(ctx context.Context, csr []byte) (chain []byte, account string, passed []error, err error) {
	kept, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var notKept error
	chain, account, passed, err = a.Ca.Finish(kept, a.Action.Issuer, a.Pending.OrderURL, csr, a.accounts(), func(step, detail string) {
		if step != stepAnswers {
			a.Report(step, detail)
		} else if notKept = a.keepAnswers(ctx, detail); notKept != nil {
			stop(notKept)
		}
	})
	if err != nil && notKept != nil && ctx.Err() == nil {
		err = notKept
	}
	return chain, account, passed, err
}

// keepAnswers notes challenges in the pending secret, those that are new, and who
// may answer them.
func (a *Attempt) keepAnswers(ctx context.Context, lines string) error {
	d, before := a.Pending, slices.Clone(a.Pending.Answers)
	for line := range strings.SplitSeq(lines, "\n") {
		domain, token, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		at := slices.IndexFunc(d.Answers, func(n pending.Answer) bool { return n.Order == d.OrderURL && n.Domain == domain && n.Token == token })
		if at < 0 {
			at = len(d.Answers)
			d.Answers = append(d.Answers, pending.Answer{Order: d.OrderURL, Domain: domain, Token: token, Issuer: d.Issuer, Directory: d.Directory})
		}
		d.Answers[at].By(a.Action.Spec.DNS)
	}
	if slices.Equal(d.Answers, before) {
		return nil
	}
	d.Answers = d.Answers[max(0, len(d.Answers)-mostAnswers):]
	return a.PendingSecrets.Store(context.WithoutCancel(ctx), a.Action.Certificate, d)
}

// sweepEarlierOrders removes what earlier runs published for orders that were given
// up. What cannot be removed is looked at once more in the end.
func (a *Attempt) sweepEarlierOrders(ctx context.Context) {
	if !a.swept {
		a.swept = true
		a.sweep(ctx, a.Pending, func(n pending.Answer) bool { return n.Order != a.Pending.OrderURL })
	}
}

// sweepInherited is the step that removes what earlier runs published. It fails no
// attempt: a record that stays is untidy, and the event tells of it.
func (a *Attempt) sweepInherited(ctx context.Context) error {
	a.unswept = a.sweep(ctx, a.Pending, func(pending.Answer) bool { return true })
	return nil
}

// discard destroys the pending secret, which nobody goes on with, and removes before
// that what the runs that wrote it left in DNS. One that cannot be read is destroyed
// all the same.
func (a *Attempt) discard(ctx context.Context) error {
	d := a.Pending
	if d == nil {
		var err error
		if d, err = a.PendingSecrets.Load(ctx, a.Action.Certificate); err != nil && !errors.As(err, new(*pending.DraftError)) {
			return err
		}
	}
	a.unswept = append(a.unswept, a.sweep(ctx, d, func(pending.Answer) bool { return true })...)
	if err := ctx.Err(); err != nil {
		return err // the next run goes on
	}
	return a.PendingSecrets.Drop(ctx, a.Action.Certificate)
}

// sweep removes what earlier runs published for some of the answers of a draft, and
// tells of what may still be there.
func (a *Attempt) sweep(ctx context.Context, d *pending.Secret, which func(pending.Answer) bool) (left []string) {
	remover, ok := a.Ca.(answerRemover)
	if !ok || d == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	for _, b := range brooms(d.Inherited, which) {
		left = append(left, a.sweepWith(ctx, remover, b)...)
	}
	for _, why := range left {
		a.Report("cleanup", why)
	}
	return left
}

// broom is answers that have issuer and DNS accounts in common.
type broom struct {
	pending.Answer          // the first of them
	answers        []string // "DOMAIN TOKEN"
	domains        []string
}

func brooms(answers []pending.Answer, which func(pending.Answer) bool) []broom {
	var list []broom
	for _, n := range answers {
		if !which(n) {
			continue
		}
		at := slices.IndexFunc(list, func(b broom) bool {
			return b.Issuer == n.Issuer && b.Directory == n.Directory && b.DNS == n.DNS
		})
		if at < 0 {
			at = len(list)
			list = append(list, broom{Answer: n})
		}
		list[at].answers = append(list[at].answers, n.Domain+" "+n.Token)
		list[at].domains = append(list[at].domains, n.Domain)
	}
	return list
}

func (a *Attempt) sweepWith(ctx context.Context, remover answerRemover, b broom) (left []string) {
	issuer := plan.IssuerAt(a.Desired, a.Action.Spec, b.Issuer, b.Directory)
	if issuer == nil {
		return []string{"issuer." + b.Issuer + ", whose account they were made with, is gone from the config repo" + b.mayStand()}
	}
	accounts, gone := a.sweepers(b)
	if len(gone) > 0 {
		left = append(left, "dns."+strings.Join(gone, ", dns.")+", which may have written them, is gone from the config repo"+b.mayStand())
	}
	switch {
	case len(accounts) == 0 && len(gone) == 0:
		return append(left, "the DNS account that may have written them is not known"+b.mayStand())
	case len(accounts) == 0:
		return left
	}
	stay, err := remover.RemoveAnswers(ctx, issuer, accounts, b.answers, a.Report)
	left = append(left, stay...)
	if err != nil {
		left = append(left, failure.Message(err)+b.mayStand())
	}
	return left
}

// mayStand names what a person has to look at.
func (b broom) mayStand() string {
	names := text.SortedSet(b.domains)
	for i, domain := range names {
		names[i] = "_acme-challenge." + domain
	}
	return ": remove by hand what is left at " + strings.Join(names, ", ")
}

// sweepers are the DNS accounts that may have written what a run left: those of the
// certificate, and those that it had then. gone are the ones that there are no more.
func (a *Attempt) sweepers(b broom) (accounts []*spec.DNSAccount, gone []string) {
	if a.Action.Spec != nil {
		accounts = a.accounts()
	}
	names := b.Accounts()
	if l := a.recordLive(); len(names) == 0 && a.Action.Spec == nil && l != nil && l.DNSAccount != "" {
		names = append(names, l.DNSAccount)
	}
	for _, name := range names {
		switch account := a.Bounded(a.Desired.DNS[name]); {
		case account == nil || len(account.Held) > 0:
			gone = append(gone, name)
		case !slices.ContainsFunc(accounts, func(has *spec.DNSAccount) bool { return has.Name == name }):
			accounts = append(accounts, account)
		}
	}
	return accounts, gone
}
