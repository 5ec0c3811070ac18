package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// The brake holds a large share of the live certificates if one change affects all of them:
// a revision that retires, moves or reissues them, or a read of Vault that finds them gone.
// One wrong input looks like that (an empty repo, a renamed extension, a for_each that
// became empty, an empty Vault), and so does a change that a person wants. Only a person
// can decide which it is. Until then certroll deletes, revokes and orders nothing of the
// set. Other certificates and renewals go on.
//
// The brake counts over a day, so that a change split over several passes or commits trips
// it too.

const (
	// massShare limits the share of live certificates that may change without a person:
	// less than one in massShare.
	massShare = 5
	// leastMass is the smallest number that trips the brake, unless it is all of them: a
	// fifth of a small installation would be one or two certificates.
	leastMass = 5
	// leastAll is the smallest number of live certificates for which a change of all of
	// them trips the brake: below it, one changed certificate would be all of them.
	leastAll = 2
	// massSpan is the period over which the brake counts.
	massSpan = times.Day
	// consentLasts is how long a person's consent covers actions that certroll has not run
	// yet: the CA's rate limits may spread a large reissue over days. A plan file stays
	// valid for as long.
	consentLasts = 7 * times.Day
)

// consentOf returns how long consent to a kind of change lasts.
func consentOf(what ledger.Kind) time.Duration {
	if what == ledger.MassMove {
		return ledger.MoveConsentLasts
	}
	return consentLasts
}

// trips reports whether n changes of live certificates trip the brake. The share is rounded
// up.
func trips(n, live int) bool {
	return n >= max(leastMass, (live+massShare-1)/massShare) || live >= leastAll && n >= live
}

// massOf returns the kind of change that an action makes to a live certificate, and the
// cause, if the cause lies in the config repo or in the observed state. Otherwise it
// returns "". Renewals that are due, renewals by the CA's request and a person's rotation
// have no such cause.
func massOf(a *Action) (what ledger.Kind, cause string) {
	kind, r := a.Kind, a.Record
	if kind == ledger.KindHold {
		kind = a.Wants
	}
	switch {
	// Without a record of a live secret there is nothing to lose. A failed read of Vault
	// has a hold of its own.
	case !r.HasSecret() || a.HeldBy == ledger.UnreadableSubject:
		return "", ""
	case kind == ledger.KindRetire:
		if a.Heir {
			return "", "" // another certificate continues the secret
		}
		return ledger.KindRetire, r.Live.Serial + " " + string(r.OnRemove)
	case a.Spec == nil:
		return "", ""
	// The cause contains the new values: another change of the same certificate needs
	// another consent.
	case kind == ledger.KindReissue && len(a.Changes) > 0:
		var b strings.Builder
		for _, c := range a.Changes {
			fmt.Fprintf(&b, "%s %s\x00", c.Field, c.New)
		}
		return ledger.KindReissue, r.Live.Serial + " " + b.String()
	// Vault lost a secret that certroll had written. Issuing many of them again would spend
	// the CA's limits.
	case kind == ledger.KindIssue && a.At == ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}:
		return ledger.KindIssue, r.Live.Serial
	case a.moves:
		return ledger.MassMove, a.At.String() + " " + TargetOf(a.Spec).String()
	}
	return "", ""
}

// brake holds the actions of a plan that together change too much. again plans a
// certificate with another location of its secret.
func brake(actions []Action, obs *Observed, history []ledger.Event, now time.Time, again func(*spec.Certificate) Action) {
	consent := consents(obs.HeldSets, now)
	set := &ledger.HeldSet{Since: now.UTC().Truncate(time.Second)}
	var held []int
	// Attempts under way started before the set was complete. They count toward the share,
	// or else a change would slip through one pass at a time.
	var begun []string // the brake cannot hold an attempt under way; it counts as done
	for i := range actions {
		what, cause := massOf(&actions[i])
		if what == "" || consent.covers(actions[i].Certificate, what, cause) {
			continue
		}
		if actions[i].AtWork != nil {
			begun = append(begun, actions[i].Certificate)
			continue
		}
		held = append(held, i)
		set.Certificates = append(set.Certificates, ledger.HeldCertificate{Certificate: actions[i].Certificate, What: what, Cause: causeDigest(what, cause)})
	}
	if len(held) == 0 {
		return
	}
	done := massDone(obs, history, consent, now)
	for _, name := range begun {
		done[name] = true
	}
	// A certificate in the set counts once, even if it changed earlier that day.
	for _, c := range set.Certificates {
		delete(done, c.Certificate)
	}
	set.Live, set.Done = liveCount(actions, obs, done), len(done)
	if !trips(len(held)+len(done), set.Live) {
		return
	}
	// The id derives from the sorted set, so every pass and every replica computes the same
	// id and a person's consent by id stays valid.
	slices.SortFunc(set.Certificates, func(a, b ledger.HeldCertificate) int { return strings.Compare(a.Certificate, b.Certificate) })
	set.ID = set.Digest()
	for _, i := range held {
		holdSet(set, &actions[i], now, again)
	}
}

// holdSet holds one action of the set. A certificate that would only move keeps its current
// location, and certroll writes its renewals there.
func holdSet(set *ledger.HeldSet, a *Action, now time.Time, again func(*spec.Certificate) Action) {
	if a.Reason == ledger.ReasonUndone {
		a.Mass = set // already held, for a more specific reason
		return
	}
	why := fmt.Sprintf("held with %d of %s until a person accepts it (certroll accept --missing %s)", len(set.Certificates), text.Counted(set.Live, "live certificate"), set.ID)
	// A move changes nothing in itself: the next renewal writes to the new path. Plan the
	// certificate again as if vault.path had not changed, so that its renewals go on.
	if what, _ := massOf(a); what == ledger.MassMove {
		stays, goes := *a.Spec, TargetOf(a.Spec)
		stays.Vault.Mount, stays.Vault.Path = a.At.Mount, a.At.Path
		*a = again(&stays)
		a.Mass = set
		if a.Kind != ledger.KindNone {
			a.Warnings = append(a.Warnings, fmt.Sprintf("it stays at %s and does not move to %s: %s", a.At, goes, why))
			return
		}
		until := a.NotBefore // when its renewal, which goes on, is due
		a.hold(ledger.ReasonMass, until, fmt.Sprintf("it would move to %s; %s", goes, why))
		a.HeldBy = SubjectOfSet(set)
		return
	}
	// An action that already waits, for example for its back-off, keeps its detail and
	// waits for the person instead.
	detail := a.Detail
	if a.Kind == ledger.KindHold {
		a.Kind = a.Wants
	}
	a.hold(ledger.ReasonMass, now.Add(throttle.LeastWait), detail+"; "+why)
	a.HeldBy, a.Mass = SubjectOfSet(set), set
}

// massDone returns the certificates that changed in such a way within massSpan without a
// person's consent.
func massDone(obs *Observed, history []ledger.Event, consent consentTo, now time.Time) map[string]bool {
	done, from := map[string]bool{}, now.Add(-massSpan)
	// The history shows retirements and reissues. Undone in the records shows the secrets
	// that disappeared and that certroll replaced.
	for _, e := range history {
		retired := e.Operation == ledger.KindRetire && e.Reason == ledger.ReasonRemoved && e.OldSerial != ""
		reissued := e.Operation == ledger.KindReissue && e.Reason == ledger.ReasonChanged
		if e.Status == ledger.Success && e.Time.After(from) && (retired || reissued) && !consent.before(e.Certificate, e.Time) {
			done[e.Certificate] = true
		}
	}
	places := map[ledger.Location]bool{}
	for _, r := range obs.Records {
		if r.HasSecret() {
			places[ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}] = true
		}
		for _, u := range r.Undone {
			if u.At.After(from) && (u.Reason == ledger.ReasonMissing || u.Reason == ledger.ReasonDeleted) && !consent.before(r.Certificate, u.At) {
				done[r.Certificate] = true
			}
		}
	}
	for name := range done {
		// The heir of a renamed certificate continues the secret, so the certificate was
		// not retired.
		if r := obs.Records[name]; r != nil && r.State == ledger.StateRetired && r.Live != nil && places[ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}] {
			delete(done, name)
		}
	}
	return done
}

// liveCount counts the live certificates, including those that were live a day ago: the
// share must not grow because the first part of a change has already happened.
func liveCount(actions []Action, obs *Observed, done map[string]bool) int {
	live := map[string]bool{}
	for name, r := range obs.Records {
		if r.HasSecret() || done[name] {
			live[name] = true
		}
	}
	for i := range actions {
		if a := &actions[i]; a.Spec != nil && a.Secret.Live != nil && a.Secret.Owner == a.Certificate {
			live[a.Certificate] = true
		}
	}
	return len(live)
}

// MassHold returns the set that the brake holds in a plan; nil if it holds nothing.
func MassHold(actions []Action) *ledger.HeldSet {
	for i := range actions {
		if actions[i].Mass != nil {
			return actions[i].Mass
		}
	}
	return nil
}

// SubjectOfSet returns the subject that holds every action of the set.
func SubjectOfSet(set *ledger.HeldSet) ledger.Subject { return ledger.Subject("mass " + set.ID) }

func causeDigest(what ledger.Kind, cause string) string {
	sum := sha256.Sum256([]byte(string(what) + "\x00" + cause))
	return hex.EncodeToString(sum[:8])
}

// consentTo holds a person's unexpired consents, by certificate.
type consentTo map[string][]consent

type consent struct {
	at    time.Time
	cause string // digest of the accepted cause
}

func consents(sets []ledger.HeldSet, now time.Time) consentTo {
	c := consentTo{}
	for _, s := range sets {
		for _, h := range s.Certificates {
			// A consent far in the future comes from a clock that was ahead, and counts as
			// expired too.
			if s.AcceptedAt == nil || now.Sub(*s.AcceptedAt).Abs() > consentOf(h.What) {
				continue
			}
			c[h.Certificate] = append(c[h.Certificate], consent{*s.AcceptedAt, h.Cause})
		}
	}
	return c
}

// covers reports whether a person accepted exactly this change. A consent covers one change
// only: the digest includes the live serial, which the change replaces.
func (c consentTo) covers(name string, what ledger.Kind, cause string) bool {
	digest := causeDigest(what, cause)
	return slices.ContainsFunc(c[name], func(one consent) bool { return one.cause == digest })
}

// before reports whether a person accepted any change of the certificate before a time.
func (c consentTo) before(name string, at time.Time) bool {
	return slices.ContainsFunc(c[name], func(one consent) bool { return !at.Before(one.at) })
}

// MassEvents returns the event that pages a person about the brake's hold, once a day.
func MassEvents(actions []Action, rev ledger.Revision, now time.Time) []ledger.Event {
	set := MassHold(actions)
	if set == nil {
		return nil
	}
	e := ledger.HeldEvent(now, SubjectOfSet(set), ledger.ReasonMass, set.Text(), ledger.ClassConfig, "")
	e.Severity, e.Revision, e.Actor = ledger.SeverityPage, rev.Commit, cmp.Or(rev.Author, "schedule")
	e.Concerns(set.Names())
	return []ledger.Event{e}
}
