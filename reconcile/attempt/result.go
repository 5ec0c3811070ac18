package attempt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

// conclude is the single exit of an attempt. It returns its event, its record, and the
// certificate whose pending secret is to be dropped.
func (a *Attempt) conclude(err error, took time.Duration) (ledger.Event, *ledger.Record, string) {
	now := a.Clock().UTC()
	e := a.baseEvent(now)
	e.Duration = took.Truncate(time.Millisecond).Seconds()
	a.tellOrder(&e)
	if err != nil {
		a.tellUnswept(&e)
		return a.concludeFailure(e, err, now)
	}
	e.Status, e.Revoked = ledger.Success, a.revoked
	// A success ends a series of failures, unless it proves nothing about them.
	if r := a.counted(); r != nil && !a.failsStill() && !a.goesOn() {
		e.Recovered = r.Failures
	}
	if a.Action.Reason == ledger.ReasonOverdue {
		e.Status = ledger.Held
	}
	// The secret is deleted and renewal is off: only a person can help.
	if a.Action.Reason == ledger.ReasonLeftAlone && a.Action.IsGone() {
		e.Severity = ledger.SeverityPage
	}
	var drop string
	// A resumed attempt has the reason and the author of the run that began it.
	if d := a.Pending; d != nil {
		e.Operation, e.Reason, e.Detail = d.Operation, d.Reason, d.Detail
		e.Actor, e.Cause, e.Revision = d.Actor, d.Cause, d.Revision
		e.OldSerial, e.DNSAccount = d.OldSerial, d.Account
		if len(d.Accounts) > 1 {
			e.DNSAccounts = d.Accounts
		}
		drop = a.Action.Certificate
	}
	if a.chainNote != "" {
		e.Detail += "; " + a.chainNote
	}
	if a.drift != "" {
		e.Detail = a.drift // replaces the plan's detail, which is outdated
		e.Severity = ledger.SeverityPage
	}
	if a.notRevoked != nil {
		e.Detail += fmt.Sprintf("; serial %s is not revoked yet; certroll retries: %s", a.unrevoked.Serial, text.FirstLine(failure.Message(a.notRevoked)))
	}
	if a.unstaged != nil {
		e.Detail += "; its next key is not staged yet; certroll retries: " + text.FirstLine(failure.Message(a.unstaged))
	}
	a.tellUnswept(&e)
	record := a.successRecord(now)
	if l := a.Live; l != nil {
		e.NewSerial, e.KeyDigest, e.NextKey, e.Issuer = l.Serial, l.KeyDigest, l.NextKeyDigest, l.Issuer
		e.VaultPath, e.VaultVer = l.Mount+"/"+l.Path, l.Version
	}
	if a.settled != "" && a.revoked == "" {
		e.Detail += "; it has expired meanwhile, so that nothing is left to revoke"
	}
	a.tellPrevious(&e)
	// Last, because the ID derives from the other fields.
	e.ID = a.successID(e)
	return e, record, drop
}

// tellUnswept adds to the event the TXT records that a person has to remove.
func (a *Attempt) tellUnswept(e *ledger.Event) {
	if len(a.unswept) > 0 {
		e.Detail += "; a run that ended early left TXT records that are not removed: " + text.FirstLine(failure.Message(errors.New(strings.Join(a.unswept, "; "))))
	}
}

// successID derives the event's ID from the outcome. A run that repeats the report of an
// outcome thus repeats the ID, and the ledger ignores the duplicate. The outcome is the
// version of the secret; if the attempt wrote none, it is the record before the attempt.
func (a *Attempt) successID(e ledger.Event) string {
	if a.Action.Kind == ledger.KindStage {
		// From the ledger's previous next key: if a run died before it wrote the event,
		// the next run's event has the same ID.
		return ledger.EventID(e.Certificate, string(ledger.KindStage), a.publishedNext(), e.NextKey, e.NewSerial)
	}
	if a.Live != nil && !a.Action.Reason.Records() && a.Action.Kind != ledger.KindRevoke && a.Action.Reason != ledger.ReasonRenamed {
		return ledger.EventID(e.Certificate, e.NewSerial, e.VaultPath, fmt.Sprint(e.VaultVer))
	}
	var before string
	if r := a.Action.Record; r != nil {
		before = r.UpdatedAt.Format(time.RFC3339)
	}
	return ledger.EventID(e.Certificate, string(e.Operation), string(e.Reason), e.Revision, e.Detail, before)
}

// baseEvent returns the fields that the events of success and failure share.
func (a *Attempt) baseEvent(now time.Time) ledger.Event {
	e := ledger.Event{
		Schema: ledger.EventSchema, Time: now.Truncate(time.Millisecond), Operation: a.Action.Kind, Certificate: a.Action.Certificate,
		Reason: a.Action.Reason, Detail: a.Action.Detail, Revision: a.Revision.Commit,
	}
	e.Actor, e.Cause = a.actor(a.Action.Reason)
	if l := a.Action.Secret.Live; l != nil && a.Action.Secret.Owner == a.Action.Certificate {
		e.OldSerial = l.Serial
	}
	if c := a.Action.Spec; c != nil {
		e.Issuer, e.VaultPath = a.Action.Issuer.Name, plan.TargetOf(c).String()
	}
	return e
}

// tellOrder adds the facts from which certroll counts the CA's rate limits.
func (a *Attempt) tellOrder(e *ledger.Event) {
	d := a.Pending
	if d == nil {
		return
	}
	e.Names, e.Issuer, e.Directory, e.Exempt = d.Names, d.Issuer, d.Directory, d.Exempt
	e.OrderURL, e.PassedOver = text.FirstOf(d.OrderURL, a.orderURL), a.passedOver
	if len(a.passedOver) > 0 {
		e.Credentials = a.credentials
	}
	e.Unfit = a.refusedCert
	if a.orders > 1 {
		e.Orders = a.orders
	}
}

// successRecord returns the record after a success.
func (a *Attempt) successRecord(now time.Time) *ledger.Record {
	if a.Action.Kind == ledger.KindRetire {
		r := *a.Action.Record
		r.State, r.Hold, r.RenewAt, r.Probe, r.UpdatedAt = ledger.StateRetired, nil, nil, nil, r.Next(now)
		// A certificate that comes back under this name starts without failures.
		r.Failures, r.LastFailure, r.FailingSince, r.Severity, r.Undone, r.Gone = 0, nil, nil, "", nil, nil
		if r.Live != nil {
			r.Live = r.Live.WithoutNext()
		}
		return &r
	}
	r := ledger.NewRecord(a.Action.Spec, a.Action.Record, now)
	r.Live = a.Live
	if r.LeftBehind = a.left; !a.tidied {
		r.LeftBehind = a.movedFrom(now)
	}
	// Only a noted absence leaves the secret missing; any other success ends it.
	r.Gone = nil
	if a.Action.Reason.Records() {
		r.Gone = a.Action.Gone(now)
	}
	r.ChallengeNames = a.ChallengeNames()
	if old := a.Action.Record; a.failsStill() {
		r.State, r.Severity, r.Hold = old.State, old.Severity, old.Hold
	} else {
		r.State, r.Failures, r.LastFailure, r.FailingSince = ledger.StateLive, 0, nil, nil
	}
	if a.said != nil {
		r.RenewalInfo = a.said
	}
	r.RenewalInfo = r.RenewalInfo.Of(a.Live)
	r.RenewAt = plan.RecordedRenewal(a.Action.Spec, a.Live, r.RenewalInfo, now)
	r.ReplaceRevoked(a.Action.Record, a.Live)
	if old := a.Action.Record; a.Action.Reason == ledger.ReasonLeftAlone {
		r.ForeignVersion = &a.Action.Secret.Version
	} else if old != nil && old.Live != nil && a.Live != nil && old.Live.Version == a.Live.Version && old.Live.Serial == a.Live.Serial {
		r.ForeignVersion = old.ForeignVersion
	}
	r.Revocations = a.leftToRevoke(r.Revocations)
	if a.Live != nil {
		r.AddRotation(a.Live.Rotate)
	}
	a.notePause(r, now)
	a.noteFormer(r, now)
	a.noteUndone(r, now)
	return r
}

// failsStill reports whether the success proves nothing about the failing orders: the
// live certificate is unchanged, and nothing was ordered. The back-off then continues.
func (a *Attempt) failsStill() bool {
	quiet := a.Action.Kind == ledger.KindStage || a.Action.Kind == ledger.KindRevoke || a.Action.Mends() || a.Action.Former != "" && a.Action.Kind == ledger.KindAdopt
	return quiet && plan.FailsToOrder(a.Action.Record) && a.Pending == nil && a.Action.Secret.Live != nil && a.Live.Serial == a.Action.Secret.Live.Serial
}

// leftToRevoke returns the revocations that remain after the attempt.
func (a *Attempt) leftToRevoke(waiting []ledger.Revocation) []ledger.Revocation {
	var left []ledger.Revocation
	for _, w := range waiting {
		if w.Serial != a.settled {
			left = append(left, w)
		}
	}
	if a.unrevoked != nil {
		left = append(left, *a.unrevoked)
	}
	return left
}

// notePause stores in the record that renewal is off, and the author of that change.
func (a *Attempt) notePause(r *ledger.Record, now time.Time) {
	// A certificate that is first issued with its renewal off is unmanaged from the
	// start. For an existing one, the plan has a separate note action.
	begins := a.Action.Record == nil || a.Action.Record.Live == nil
	switch reason := a.Action.Reason; {
	case reason == ledger.ReasonPauseBegan, begins && a.Live != nil && !plan.RenewsAt(a.Action.Spec, now):
		by, _ := a.actor(ledger.ReasonPauseBegan)
		r.Unmanaged = &ledger.Unmanaged{
			Since: now.Truncate(time.Second), Until: times.Optional(a.Action.Spec.Renewal.Until), Reason: a.Action.Spec.Renewal.Reason,
			By: by, Revision: a.Revision.Commit,
		}
	case reason == ledger.ReasonOverdue:
		u := *r.Unmanaged
		u.Overdue = true
		r.Unmanaged = &u
	case reason == ledger.ReasonPauseEnded:
		r.Unmanaged = nil
	}
}

// concludeFailure returns the event and record of a failure. It drops no pending secret:
// the next attempt resumes it.
func (a *Attempt) concludeFailure(e ledger.Event, err error, now time.Time) (ledger.Event, *ledger.Record, string) {
	class := failure.ClassOf(err)
	e.Status, e.Class, e.Owner, e.Message = ledger.Failed, class, failure.OwnerOf(err), failure.Message(err)
	e.Unscheduled = a.Action.Unscheduled
	var f *failure.Error
	if errors.As(err, &f) && f.Denied {
		e.Status = ledger.Denied
	}
	e.DNSAccount, e.FailedNames, e.Credentials = failure.AccountOf(err), failure.FailedNames(err), a.credentials
	e.ID = ledger.EventID(a.Action.Certificate, "failure", e.Time.Format(time.RFC3339Nano), e.Message)
	record := a.failureRecord(err, class, now)
	e.Failures, e.Severity, e.HoldUntil = record.Failures, record.Severity, &record.Hold.Until
	return e, record, ""
}

// failureRecord returns the record after a failure, with the count of failures and the
// hold.
func (a *Attempt) failureRecord(err error, class ledger.Class, now time.Time) *ledger.Record {
	r, digest := a.recordToFail(now)
	old := a.counted()
	last := &ledger.Failure{At: now.Truncate(time.Second), Operation: a.Action.Kind, Class: class, Message: failure.Message(err), DNSAccount: failure.AccountOf(err)}
	if a.Action.Issuer != nil {
		last.Issuer = a.Action.Issuer.Name
	}
	r.State, r.LastFailure = ledger.StateFailing, last
	if g := a.Action.Gone(now); g != nil {
		r.Gone = g
	}
	r.Failures, r.FailingSince = 1, &last.At
	if old != nil && a.Action.Kind.Orders() && plan.FailsToRevoke(old) {
		old = nil // only the revocation of a replaced certificate failed so far; orders start to fail now
	}
	if old != nil && old.FailingSince != nil {
		r.FailingSince = old.FailingSince
	}
	if old != nil {
		r.Failures = old.Failures + 1
		// A message that differs only in variable parts, such as a request ID, keeps its
		// first wording.
		if was := old.LastFailure; was != nil && was.Class == class && ledger.SameMessage(was.Message, last.Message) {
			last.Message = was.Message
		}
	}
	if r.Failures >= ledger.PageAfter {
		r.Severity = ledger.SeverityPage
	}
	var notAfter time.Time
	if l := a.Action.Secret.Live; l != nil && a.Action.Secret.Owner == a.Action.Certificate && a.Action.Kind != ledger.KindRetire {
		r.Live, notAfter = ledger.KeepNames(l, r.Live), l.RenewalEnd()
		r.RenewAt = plan.RecordedRenewal(a.Action.Spec, l, r.RenewalInfo, now)
	}
	if n := len(r.Revocations); n > 1 && a.Action.Kind == ledger.KindRevoke {
		r.Revocations = append(slices.Clone(r.Revocations[1:]), r.Revocations[0]) // the next one gets its turn
	}
	if !a.moves() {
		r.ComesFrom(a.Action.Former, now) // the old record's counts continue under the new name
	}
	r.Hold = a.hold(err, r, digest, notAfter)
	return r
}

// counted returns the record whose consecutive failures this attempt continues or ends. A
// move has its own count, so that the failures of the renamed certificate stay unchanged.
func (a *Attempt) counted() *ledger.Record {
	if a.moves() && (a.Action.Tried != nil || plan.FailsToOrder(a.Action.Record)) {
		return a.Action.Tried
	}
	return a.Action.Record
}

// recordToFail returns the record to write a failure into, and the digest of the spec for
// its hold.
func (a *Attempt) recordToFail(now time.Time) (*ledger.Record, string) {
	if a.Action.Kind != ledger.KindRetire {
		return ledger.NewRecord(a.Action.Spec, a.Action.Record, now), plan.SpecDigest(a.Desired, a.Action.Spec)
	}
	r := *a.Action.Record
	r.UpdatedAt = r.Next(now)
	return &r, plan.RetireDigest
}

// hold returns the hold after a failure: back-off, the CA's Retry-After or a pause.
func (a *Attempt) hold(err error, r *ledger.Record, digest string, notAfter time.Time) *ledger.Hold {
	last := r.LastFailure
	class := last.Class
	var f *failure.Error
	// A failure that passes by itself gets the usual steps, not the wait for a person.
	if errors.As(err, &f) && f.Passes {
		class = ledger.ClassInternal
	}
	until := throttle.Backoff(a.Action.Certificate, r.Failures, class, last.At, failure.RetryAt(err), notAfter)
	if paused := a.pausedFor(err, last.At); paused.After(until) {
		until = paused
	}
	return &ledger.Hold{
		Stands: f != nil && f.Stands,
		Until:  until.UTC().Truncate(time.Second), Class: last.Class, SpecDigest: digest, Issuer: last.Issuer, Credentials: a.credentials, Owner: failure.OwnerOf(err),
		Reason: fmt.Sprintf("failure %d in a row (%s): %s", r.Failures, last.Class, text.FirstLine(last.Message)),
	}
}

// pausedFor returns the end of the wait if a name has failed almost as often in a row as
// the CA allows before it pauses the name (Let's Encrypt: 1,152 failures). certroll stops
// at nine tenths, because only a person can unpause a name.
func (a *Attempt) pausedFor(err error, now time.Time) time.Time {
	i := a.Action.Issuer
	if i == nil || i.Limits == nil || i.Limits.ConsecutiveFailures == 0 || len(failure.FailedNames(err)) == 0 {
		return time.Time{}
	}
	if r := a.Action.Record; r == nil || r.Failures+1 < i.Limits.ConsecutiveFailures*9/10 {
		return time.Time{}
	}
	return now.Add(throttle.PersonWait)
}
