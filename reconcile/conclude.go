package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// conclude is the one exit of an attempt: the event and the record it ends in.
func (a *attempt) conclude(err error, took time.Duration) (Event, *Record, string) {
	now := a.now().UTC()
	e := a.baseEvent(now)
	e.Duration = took.Truncate(time.Millisecond).Seconds()
	a.tellOrder(&e)
	if err != nil {
		a.tellUnswept(&e)
		return a.concludeFailure(e, err, now)
	}
	e.Status, e.Revoked = Success, a.revoked
	if r := a.counted(); r != nil && !a.failsStill() && !a.goesOn() {
		e.Recovered = r.Failures
	}
	if a.action.Reason == ReasonOverdue {
		e.Status = Held
	}
	if a.action.Reason == ReasonLeftAlone && a.action.isGone() {
		e.Severity = SeverityPage
	}
	var drop string
	if d := a.draft; d != nil {
		e.Operation, e.Reason, e.Detail = d.Operation, d.Reason, d.Detail
		e.Actor, e.Cause, e.Revision = d.Actor, d.Cause, d.Revision
		e.OldSerial, e.DNSAccount = d.OldSerial, d.Account
		if len(d.Accounts) > 1 {
			e.DNSAccounts = d.Accounts
		}
		drop = a.action.Certificate
	}
	if a.chainNote != "" {
		e.Detail += "; " + a.chainNote
	}
	if a.drift != "" {
		e.Detail = a.drift // what the plan meant to do is over
		e.Severity = SeverityPage
	}
	if a.notRevoked != nil {
		e.Detail += fmt.Sprintf("; serial %s is not revoked yet; certroll retries: %s", a.unrevoked.Serial, firstLine(message(a.notRevoked)))
	}
	if a.unstaged != nil {
		e.Detail += "; its next key is not staged yet; certroll retries: " + firstLine(message(a.unstaged))
	}
	a.tellUnswept(&e)
	record := a.successRecord(now)
	if l := a.live; l != nil {
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
func (a *attempt) tellUnswept(e *Event) {
	if len(a.unswept) > 0 {
		e.Detail += "; a run that ended early left TXT records that are not removed: " + firstLine(message(errors.New(strings.Join(a.unswept, "; "))))
	}
}

// successID derives the id of a success from what came of it, so that a run
// which has to tell it again tells the same: a version of a secret, or where
// none was written the record that was there before.
func (a *attempt) successID(e Event) string {
	if a.action.Kind == KindStage {
		// By what the ledger said before: a run that died before it could tell is
		// told of by the next one in the same words.
		return eventID(e.Certificate, string(KindStage), a.toldNext(), e.NextKey, e.NewSerial)
	}
	if a.live != nil && !a.action.Reason.records() && a.action.Kind != KindRevoke && a.action.Reason != ReasonRenamed {
		return eventID(e.Certificate, e.NewSerial, e.VaultPath, fmt.Sprint(e.VaultVer))
	}
	var before string
	if r := a.action.Record; r != nil {
		before = r.UpdatedAt.Format(time.RFC3339)
	}
	return eventID(e.Certificate, string(e.Operation), string(e.Reason), e.Revision, e.Detail, before)
}

func (a *attempt) baseEvent(now time.Time) Event {
	e := Event{
		Schema: EventSchema, Time: now.Truncate(time.Millisecond), Operation: a.action.Kind, Certificate: a.action.Certificate,
		Reason: a.action.Reason, Detail: a.action.Detail, Revision: a.revision.Commit,
	}
	e.Actor, e.Cause = a.actor(a.action.Reason)
	if l := a.action.Secret.Live; l != nil && a.action.Secret.Owner == a.action.Certificate {
		e.OldSerial = l.Serial
	}
	if c := a.action.Spec; c != nil {
		e.Issuer, e.VaultPath = a.action.Issuer.Name, targetOf(c).String()
	}
	return e
}

// tellOrder says what the limits of the CA are counted by.
func (a *attempt) tellOrder(e *Event) {
	d := a.draft
	if d == nil {
		return
	}
	e.Names, e.Issuer, e.Directory, e.Exempt = d.Names, d.Issuer, d.Directory, d.Exempt
	e.OrderURL, e.PassedOver = firstOf(d.OrderURL, a.orderURL), a.passedOver
	if len(a.passedOver) > 0 {
		e.Credentials = a.credentials
	}
	e.Unfit = a.refusedCert
	if a.orders > 1 {
		e.Orders = a.orders
	}
}

func (a *attempt) successRecord(now time.Time) *Record {
	if a.action.Kind == KindRetire {
		r := *a.action.Record
		r.State, r.Hold, r.RenewAt, r.Probe, r.UpdatedAt = StateRetired, nil, nil, nil, r.next(now)
		// What comes back under this name begins anew.
		r.Failures, r.LastFailure, r.FailingSince, r.Severity, r.Undone, r.Gone = 0, nil, nil, "", nil, nil
		if r.Live != nil {
			r.Live = r.Live.withoutNext()
		}
		return &r
	}
	r := newRecord(a.action.Spec, a.action.Record, now)
	r.Live = a.live
	if r.LeftBehind = a.left; !a.tidied {
		r.LeftBehind = a.movedFrom(now)
	}
	// What a note alone says leaves the secret as it is.
	r.Gone = nil
	if a.action.Reason.records() {
		r.Gone = a.action.gone(now)
	}
	r.ChallengeNames = a.challengeNames()
	if old := a.action.Record; a.failsStill() {
		r.State, r.Severity, r.Hold = old.State, old.Severity, old.Hold
	} else {
		r.State, r.Failures, r.LastFailure, r.FailingSince = StateLive, 0, nil, nil
	}
	if a.said != nil {
		r.RenewalInfo = a.said
	}
	r.RenewalInfo = r.RenewalInfo.of(a.live)
	r.RenewAt = recordedRenewal(a.action.Spec, a.live, r.RenewalInfo, now)
	r.replaceRevoked(a.action.Record, a.live)
	if old := a.action.Record; a.action.Reason == ReasonLeftAlone {
		r.ForeignVersion = &a.action.Secret.Version
	} else if old != nil && old.Live != nil && a.live != nil && old.Live.Version == a.live.Version && old.Live.Serial == a.live.Serial {
		r.ForeignVersion = old.ForeignVersion
	}
	r.Revocations = a.leftToRevoke(r.Revocations)
	if a.live != nil {
		r.addRotation(a.live.Rotate)
	}
	a.notePause(r, now)
	a.noteFormer(r, now)
	a.noteUndone(r, now)
	return r
}

// failsStill tells that the success says nothing of the orders that fail: what is
// live is the same, and nothing was ordered. Their waits go on.
func (a *attempt) failsStill() bool {
	quiet := a.action.Kind == KindStage || a.action.Kind == KindRevoke || a.action.mends() || a.action.former != "" && a.action.Kind == KindAdopt
	return quiet && failsToOrder(a.action.Record) && a.draft == nil && a.action.Secret.Live != nil && a.live.Serial == a.action.Secret.Live.Serial
}

// leftToRevoke are those that still wait to be revoked after the attempt.
func (a *attempt) leftToRevoke(waiting []Revocation) []Revocation {
	var left []Revocation
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
func (a *attempt) notePause(r *Record, now time.Time) {
	// What is first issued with its renewal off is unmanaged from then on; of one
	// that was there before an event of its own tells that it is turned off.
	begins := a.action.Record == nil || a.action.Record.Live == nil
	switch reason := a.action.Reason; {
	case reason == ReasonPauseBegan, begins && a.live != nil && !renewsAt(a.action.Spec, now):
		by, _ := a.actor(ReasonPauseBegan)
		r.Unmanaged = &Unmanaged{
			Since: now.Truncate(time.Second), Until: optional(a.action.Spec.Renewal.Until), Reason: a.action.Spec.Renewal.Reason,
			By: by, Revision: a.revision.Commit,
		}
	case reason == ReasonOverdue:
		u := *r.Unmanaged
		u.Overdue = true
		r.Unmanaged = &u
	case reason == ReasonPauseEnded:
		r.Unmanaged = nil
	}
}

func (a *attempt) concludeFailure(e Event, err error, now time.Time) (Event, *Record, string) {
	class := classOf(err)
	e.Status, e.Class, e.Owner, e.Message = Failed, class, ownerOf(err), message(err)
	e.Unscheduled = a.action.Unscheduled
	var f *failure
	if errors.As(err, &f) && f.denied {
		e.Status = Denied
	}
	e.DNSAccount, e.FailedNames, e.Credentials = accountOf(err), failedNames(err), a.credentials
	e.ID = eventID(a.action.Certificate, "failure", e.Time.Format(time.RFC3339Nano), e.Message)
	record := a.failureRecord(err, class, now)
	e.Failures, e.Severity, e.HoldUntil = record.Failures, record.Severity, &record.Hold.Until
	return e, record, ""
}

func (a *attempt) failureRecord(err error, class Class, now time.Time) *Record {
	r, digest := a.recordToFail(now)
	old := a.counted()
	last := &Failure{At: now.Truncate(time.Second), Operation: a.action.Kind, Class: class, Message: message(err), DNSAccount: accountOf(err)}
	if a.action.Issuer != nil {
		last.Issuer = a.action.Issuer.Name
	}
	r.State, r.LastFailure = StateFailing, last
	if g := a.action.gone(now); g != nil {
		r.Gone = g
	}
	r.Failures, r.FailingSince = 1, &last.At
	if old != nil && a.action.Kind.Orders() && failsToRevoke(old) {
		old = nil // what was replaced long ago fails, and this begins to
	}
	if old != nil && old.FailingSince != nil {
		r.FailingSince = old.FailingSince
	}
	if old != nil {
		r.Failures = old.Failures + 1
		if was := old.LastFailure; was != nil && was.Class == class && sameMessage(was.Message, last.Message) {
			last.Message = was.Message
		}
	}
	if r.Failures >= pageAfter {
		r.Severity = SeverityPage
	}
	var notAfter time.Time
	if l := a.action.Secret.Live; l != nil && a.action.Secret.Owner == a.action.Certificate && a.action.Kind != KindRetire {
		r.Live, notAfter = keepNames(l, r.Live), l.renewalEnd()
		r.RenewAt = recordedRenewal(a.action.Spec, l, r.RenewalInfo, now)
	}
	if n := len(r.Revocations); n > 1 && a.action.Kind == KindRevoke {
		r.Revocations = append(slices.Clone(r.Revocations[1:]), r.Revocations[0]) // it holds up no other
	}
	if !a.moves() {
		r.comesFrom(a.action.former, now) // it goes on under the new name, with what it counts
	}
	r.Hold = a.hold(err, r, digest, notAfter)
	return r
}

// counted is the record whose failures in a row the attempt's outcome adds to, or ends.
// Those of a move are its own: what it goes on with keeps what it counts.
func (a *attempt) counted() *Record {
	if a.moves() && (a.action.tried != nil || failsToOrder(a.action.Record)) {
		return a.action.tried
	}
	return a.action.Record
}

// recordToFail is the record that a failure is written into, and what stands
// for the spec in its hold.
func (a *attempt) recordToFail(now time.Time) (*Record, string) {
	if a.action.Kind != KindRetire {
		return newRecord(a.action.Spec, a.action.Record, now), specDigest(a.desired, a.action.Spec)
	}
	r := *a.action.Record
	r.UpdatedAt = r.next(now)
	return &r, retireDigest
}

// hold is how long an action waits after a failure.
func (a *attempt) hold(err error, r *Record, digest string, notAfter time.Time) *Hold {
	last := r.LastFailure
	class := last.Class
	var f *failure
	if errors.As(err, &f) && f.passes {
		class = ClassInternal
	}
	until := backoff(a.action.Certificate, r.Failures, class, last.At, retryAt(err), notAfter)
	if paused := a.pausedFor(err, last.At); paused.After(until) {
		until = paused
	}
	return &Hold{
		Stands: f != nil && f.stands,
		Until:  until.UTC().Truncate(time.Second), Class: last.Class, SpecDigest: digest, Issuer: last.Issuer, Credentials: a.credentials, Owner: ownerOf(err),
		Reason: fmt.Sprintf("failure %d in a row (%s): %s", r.Failures, last.Class, firstLine(last.Message)),
	}
}

// pausedFor is until when at least a name waits that has failed about as often
// in a row as the CA takes before it pauses it: one more failure would need a
// person to unpause it.
func (a *attempt) pausedFor(err error, now time.Time) time.Time {
	i := a.action.Issuer
	if i == nil || i.Limits == nil || i.Limits.ConsecutiveFailures == 0 || len(failedNames(err)) == 0 {
		return time.Time{}
	}
	if r := a.action.Record; r == nil || r.Failures+1 < i.Limits.ConsecutiveFailures*9/10 {
		return time.Time{}
	}
	return now.Add(personWait)
}

// keepNames fills in the names that only the record knows.
func keepNames(l, recorded *Live) *Live {
	if recorded == nil || recorded.Serial != l.Serial {
		return l
	}
	c := *l
	c.Names = recorded.Names
	return &c
}
