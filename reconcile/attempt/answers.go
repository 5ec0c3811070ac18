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

// A run that dies after it wrote a TXT record and before it removed the record leaves the
// record behind. The next run finds the authorization valid (RFC 8555 section 7.1.4) and
// has no other reason to touch DNS. At most providers such records pile up. A provider
// that replaces whole record sets would refuse to touch the leftover for ever, because it
// looks like somebody else's record.
//
//	Finish ── before answering ── pending secret ── records ── CA ── removed
//	                                   │               └ killed
//	next run ◀── inherited answers ────┘
//	  └ answers of an abandoned order: removed before the next order is answered
//	  └ answers of the current order, which the CA may still read: removed once
//	    the pair is live
//	  └ all answers, if no attempt resumes the order: removed before the pending
//	    secret is destroyed

// stepAnswers is the progress step by which the CA adapter reports the challenges that it
// is about to answer, one "DOMAIN TOKEN" per line.
const stepAnswers = "answers"

// mostAnswers bounds the stored answers: enough for a few orders of a hundred names.
const mostAnswers = 500

// sweepTime bounds the removal of leftover TXT records, however slow the providers are.
const sweepTime = 10 * time.Minute

// answerRemover is implemented by a CA adapter that can remove an earlier run's records.
type answerRemover interface {
	// RemoveAnswers removes the TXT records of the given challenges ("DOMAIN TOKEN") that
	// still exist. left describes each record that it could not remove.
	RemoveAnswers(ctx context.Context, issuer *spec.Issuer, accounts []*spec.DNSAccount, answers []string,
		report func(step, detail string)) (left []string, err error)
}

// finish lets the CA adapter complete the order. The challenges to be answered go into
// the pending secret before the first TXT record is written. If storing them fails,
// finish stops the order, so that no record is written that a later run cannot find.
func (a *Attempt) finish(ctx context.Context, csr []byte) (chain []byte, account string, passed []error, err error) {
	// The adapter publishes records only while this context lasts: it ends if the answers
	// cannot be stored.
	solving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var notStored error
	chain, account, passed, err = a.Ca.Finish(solving, a.Action.Issuer, a.Pending.OrderURL, csr, a.accounts(), func(step, detail string) {
		if step != stepAnswers {
			a.Report(step, detail)
		} else if notStored = a.keepAnswers(ctx, detail); notStored != nil {
			stop(notStored)
		}
	})
	// The adapter reports the canceled context; the cause is the failed write.
	if err != nil && notStored != nil && ctx.Err() == nil {
		err = notStored
	}
	return chain, account, passed, err
}

// keepAnswers adds the new challenges to the pending secret, with the DNS accounts that
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
	// Beyond the limit the oldest answers go.
	d.Answers = d.Answers[max(0, len(d.Answers)-mostAnswers):]
	return a.PendingSecrets.Store(context.WithoutCancel(ctx), a.Action.Certificate, d)
}

// sweepEarlierOrders removes the TXT records of abandoned orders, once per attempt.
// sweepInherited tries again with the records that stayed.
func (a *Attempt) sweepEarlierOrders(ctx context.Context) {
	if !a.swept {
		a.swept = true
		a.sweep(ctx, a.Pending, func(n pending.Answer) bool { return n.Order != a.Pending.OrderURL })
	}
}

// sweepInherited is the step that removes the TXT records of earlier runs. It never fails
// the attempt: a leftover record does no harm, and the event names it.
func (a *Attempt) sweepInherited(ctx context.Context) error {
	a.unswept = a.sweep(ctx, a.Pending, func(pending.Answer) bool { return true })
	return nil
}

// discard destroys a pending secret that no attempt will resume. It first removes the TXT
// records that the secret lists. A pending secret that cannot be decoded is destroyed
// too.
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
		return err // the next run continues
	}
	return a.PendingSecrets.Drop(ctx, a.Action.Certificate)
}

// sweep removes the TXT records of the answers in d that which selects. It returns a
// description of each record that may still exist.
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

// broom is a set of answers with the same issuer and DNS accounts.
type broom struct {
	pending.Answer          // the first of them
	answers        []string // "DOMAIN TOKEN"
	domains        []string
}

// brooms groups the selected answers by issuer and DNS accounts, in their order.
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

// sweepWith removes the records of one group. It needs the issuer that made them: the TXT
// value depends on the key of the ACME account (RFC 8555 section 8.4).
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

// mayStand names the DNS names that a person has to clean up.
func (b broom) mayStand() string {
	names := text.SortedSet(b.domains)
	for i, domain := range names {
		names[i] = "_acme-challenge." + domain
	}
	return ": remove by hand what is left at " + strings.Join(names, ", ")
}

// sweepers returns the DNS accounts that may have written a leftover record: the
// certificate's accounts and those listed with the answer. gone names the listed accounts
// that the config repo no longer has or that are held.
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
