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

// conclude is the one exit of an attempt: the event and the record it ends in.
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
	if r := a.counted(); r != nil && !a.failsStill() && !a.goesOn() {
		e.Recovered = r.Failures
	}
	if a.Action.Reason == ledger.ReasonOverdue {
		e.Status = ledger.Held
	}
	if a.Action.Reason == ledger.ReasonLeftAlone && a.Action.IsGone() {
		e.Severity = ledger.SeverityPage
	}
	var drop string
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
		e.Detail = a.drift // what the plan meant to do is over
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
	e.ID = a.successID(e)
	return e, record, drop
}

// tellUnswept tells of TXT records that a person has to remove.
func (a *Attempt) tellUnswept(e *ledger.Event) {
	if len(a.unswept) > 0 {
		e.Detail += "; a run that ended early left TXT records that are not removed: " + text.FirstLine(failure.Message(errors.New(strings.Join(a.unswept, "; "))))
	}
}

// successID derives the id of a success from what came of it, so that a run
// which has to tell it again tells the same: a version of a secret, or where
// none was written the record that was there before.
func (a *Attempt) successID(e ledger.Event) string {
	if a.Action.Kind == ledger.KindStage {
		// By what the ledger said before: a run that died before it could tell is
		// told of by the next one in the same words.
		return ledger.EventID(e.Certificate, string(ledger.KindStage), a.toldNext(), e.NextKey, e.NewSerial)
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

// tellOrder says what the limits of the CA are counted by.
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

func (a *Attempt) successRecord(now time.Time) *ledger.Record {
	if a.Action.Kind == ledger.KindRetire {
		r := *a.Action.Record
		r.State, r.Hold, r.RenewAt, r.Probe, r.UpdatedAt = ledger.StateRetired, nil, nil, nil, r.Next(now)
		// What comes back under this name begins anew.
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
	// What a note alone says leaves the secret as it is.
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

// failsStill tells that the success says nothing of the orders that fail: what is
// live is the same, and nothing was ordered. Their waits go on.
func (a *Attempt) failsStill() bool {
	quiet := a.Action.Kind == ledger.KindStage || a.Action.Kind == ledger.KindRevoke || a.Action.Mends() || a.Action.Former != "" && a.Action.Kind == ledger.KindAdopt
	return quiet && plan.FailsToOrder(a.Action.Record) && a.Pending == nil && a.Action.Secret.Live != nil && a.Live.Serial == a.Action.Secret.Live.Serial
}

// leftToRevoke are those that still wait to be revoked after the attempt.
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

// notePause keeps in the record that the renewal is off, and who did it.
func (a *Attempt) notePause(r *ledger.Record, now time.Time) {
	// What is first issued with its renewal off is unmanaged from then on; of one
	// that was there before an event of its own tells that it is turned off.
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
		old = nil // what was replaced long ago fails, and this begins to
	}
	if old != nil && old.FailingSince != nil {
		r.FailingSince = old.FailingSince
	}
	if old != nil {
		r.Failures = old.Failures + 1
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
		r.Revocations = append(slices.Clone(r.Revocations[1:]), r.Revocations[0]) // it holds up no other
	}
	if !a.moves() {
		r.ComesFrom(a.Action.Former, now) // it goes on under the new name, with what it counts
	}
	r.Hold = a.hold(err, r, digest, notAfter)
	return r
}

// counted is the record whose failures in a row the attempt's outcome adds to, or ends.
// Those of a move are its own: what it goes on with keeps what it counts.
func (a *Attempt) counted() *ledger.Record {
	if a.moves() && (a.Action.Tried != nil || plan.FailsToOrder(a.Action.Record)) {
		return a.Action.Tried
	}
	return a.Action.Record
}

// recordToFail is the record that a failure is written into, and what stands
// for the spec in its hold.
func (a *Attempt) recordToFail(now time.Time) (*ledger.Record, string) {
	if a.Action.Kind != ledger.KindRetire {
		return ledger.NewRecord(a.Action.Spec, a.Action.Record, now), plan.SpecDigest(a.Desired, a.Action.Spec)
	}
	r := *a.Action.Record
	r.UpdatedAt = r.Next(now)
	return &r, plan.RetireDigest
}

// hold is how long an action waits after a failure.
func (a *Attempt) hold(err error, r *ledger.Record, digest string, notAfter time.Time) *ledger.Hold {
	last := r.LastFailure
	class := last.Class
	var f *failure.Error
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

// pausedFor is until when at least a name waits that has failed about as often
// in a row as the CA takes before it pauses it: one more failure would need a
// person to unpause it.
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
