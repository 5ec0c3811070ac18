package reconcile

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// conclude is the one exit of an attempt: the event and the record it ends in.
func (a *attempt) conclude(err error, took time.Duration) (Event, *Record, string) {
	now := a.now().UTC()
	e := a.baseEvent(now)
	e.Duration = took.Truncate(time.Millisecond).Seconds()
	if err != nil {
		return a.concludeFailure(e, err, now)
	}
	e.Status = Success
	var drop string
	if d := a.draft; d != nil {
		e.Operation, e.Reason, e.Detail = d.Operation, d.Reason, d.Detail
		e.Actor, e.Cause, e.Revision = d.Actor, d.Cause, d.Revision
		e.OldSerial, e.DNSAccount, e.OrderURL = d.OldSerial, d.Account, d.OrderURL
		drop = a.action.Certificate
	}
	record := a.successRecord(now)
	if l := a.live; l != nil {
		e.NewSerial, e.KeyDigest, e.Issuer = l.Serial, l.KeyDigest, l.Issuer
		e.VaultPath, e.VaultVer = l.Mount+"/"+l.Path, l.Version
	}
	e.ID = a.successID(e)
	return e, record, drop
}

// successID derives the id of a success from what came of it, so that a run
// which has to tell it again tells the same: a version of a secret, or where
// none was written the record that was there before.
func (a *attempt) successID(e Event) string {
	if a.live != nil && a.action.Reason != ReasonBehind {
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
		e.Issuer, e.VaultPath = c.Issuer, targetOf(c).String()
	}
	return e
}

func (a *attempt) successRecord(now time.Time) *Record {
	if a.action.Kind == KindRetire {
		r := *a.action.Record
		r.State, r.Hold, r.RenewAt, r.UpdatedAt = StateRetired, nil, nil, now.Truncate(time.Second)
		return &r
	}
	r := newRecord(a.action.Spec, a.action.Record, now)
	r.State, r.Live, r.Failures, r.LastFailure = StateLive, a.live, 0, nil
	r.RenewAt = recordedRenewal(a.action.Spec, a.live)
	return r
}

func (a *attempt) concludeFailure(e Event, err error, now time.Time) (Event, *Record, string) {
	class := classOf(err)
	e.Status, e.Class, e.Message = Failed, class, message(err)
	var f *failure
	if errors.As(err, &f) && f.denied {
		e.Status = Denied
	}
	if d := a.draft; d != nil {
		e.OrderURL = d.OrderURL
	}
	e.DNSAccount = accountOf(err)
	failures := 1
	if a.action.Record != nil {
		failures = a.action.Record.Failures + 1
	}
	e.Failures = failures
	e.ID = eventID(a.action.Certificate, "failure", e.Time.Format(time.RFC3339Nano), e.Message)
	return e, a.failureRecord(err, class, failures, now), ""
}

func (a *attempt) failureRecord(err error, class Class, failures int, now time.Time) *Record {
	last := &Failure{At: now.Truncate(time.Second), Operation: a.action.Kind, Class: class, Message: message(err), DNSAccount: accountOf(err)}
	if a.action.Kind == KindRetire {
		r := *a.action.Record
		r.State, r.Failures, r.LastFailure, r.UpdatedAt = StateFailing, failures, last, now.Truncate(time.Second)
		r.Hold = a.hold(err, last, failures, retireDigest, time.Time{})
		return &r
	}
	r := newRecord(a.action.Spec, a.action.Record, now)
	r.State, r.Failures, r.LastFailure = StateFailing, failures, last
	var notAfter time.Time
	if l := a.action.Secret.Live; l != nil && a.action.Secret.Owner == a.action.Certificate {
		r.Live, notAfter = keepNames(l, r.Live), l.NotAfter
	}
	r.Hold = a.hold(err, last, failures, specDigest(a.desired, a.action.Spec), notAfter)
	return r
}

// hold is how long an action waits after a failure.
func (a *attempt) hold(err error, last *Failure, failures int, digest string, notAfter time.Time) *Hold {
	until := backoff(a.action.Certificate, failures, last.Class, last.At, retryAt(err), notAfter)
	return &Hold{
		Until: until.UTC().Truncate(time.Second), Class: last.Class, SpecDigest: digest,
		Reason: fmt.Sprintf("failure %d in a row (%s): %s", failures, last.Class, firstLine(last.Message)),
	}
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

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
