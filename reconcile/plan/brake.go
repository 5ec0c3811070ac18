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

// The brake holds what would change a large share of what is live at once: a
// revision that retires, moves or reissues it, or a look at Vault that finds it
// gone. One bad input (an empty repo, a renamed extension, a for_each that became
// empty, an empty Vault) looks just like that, and so may what a person wants:
// a person says which it is. Nothing of it is deleted, revoked or ordered before;
// other certificates go on, and so do renewals.
//
// It counts over a day, so that no number of passes or commits goes round it.

const (
	// massShare is the part of what is live that may change without a person: less
	// than one in so many.
	massShare = 5
	// leastMass is how many certificates count as many at least.
	leastMass = 5
	// leastAll is of how many live ones all are many.
	leastAll = 2
	// massSpan is the time that is counted over.
	massSpan = times.Day
	// consentLasts is how long a person's consent lasts for what is not done yet:
	// limits of a CA may spread a reissue of many over days. It is as long as a plan
	// may wait that is kept in a file.
	consentLasts = 7 * times.Day
)

// consentOf is how long consent to something lasts.
func consentOf(what ledger.Kind) time.Duration {
	if what == ledger.MassMove {
		return ledger.MoveConsentLasts
	}
	return consentLasts
}

// trips tells whether n are too many of those that are live.
func trips(n, live int) bool {
	return n >= max(leastMass, (live+massShare-1)/massShare) || live >= leastAll && n >= live
}

// massOf says what an action would do to what is live by a cause in the config
// repo or in what was observed, and identifies the cause; "" for any other. What
// the CA asks for, a person's rotation, and what is due are none.
func massOf(a *Action) (what ledger.Kind, cause string) {
	kind, r := a.Kind, a.Record
	if kind == ledger.KindHold {
		kind = a.Wants
	}
	switch {
	case !r.HasSecret() || a.HeldBy == ledger.UnreadableSubject:
		return "", ""
	case kind == ledger.KindRetire:
		if a.Heir {
			return "", "" // another certificate goes on with its secret
		}
		return ledger.KindRetire, r.Live.Serial + " " + string(r.OnRemove)
	case a.Spec == nil:
		return "", ""
	case kind == ledger.KindReissue && len(a.Changes) > 0:
		var b strings.Builder
		for _, c := range a.Changes {
			fmt.Fprintf(&b, "%s %s\x00", c.Field, c.New)
		}
		return ledger.KindReissue, r.Live.Serial + " " + b.String()
	case kind == ledger.KindIssue && a.At == ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}:
		return ledger.KindIssue, r.Live.Serial
	case a.Target != nil:
		return ledger.MassMove, a.At.String() + " " + TargetOf(a.Spec).String()
	}
	return "", ""
}

// brake holds the actions of a plan that would change too much at once. again
// decides on a certificate with another place for its secret.
func brake(actions []Action, obs *Observed, history []ledger.Event, now time.Time, again func(*spec.Certificate) Action) {
	consent := consents(obs.HeldSets, now)
	set := &ledger.HeldSet{Since: now.UTC().Truncate(time.Second)}
	var held []int
	var begun []string // what is under way is not held, and counts as done
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
	for _, c := range set.Certificates {
		delete(done, c.Certificate)
	}
	set.Live, set.Done = liveCount(actions, obs, done), len(done)
	if !trips(len(held)+len(done), set.Live) {
		return
	}
	slices.SortFunc(set.Certificates, func(a, b ledger.HeldCertificate) int { return strings.Compare(a.Certificate, b.Certificate) })
	set.ID = set.Digest()
	for _, i := range held {
		holdSet(set, &actions[i], now, again)
	}
}

// holdSet holds one of the set. One that would only move goes on where it is: its
// renewals are written to the old place.
func holdSet(set *ledger.HeldSet, a *Action, now time.Time, again func(*spec.Certificate) Action) {
	if a.Reason == ledger.ReasonUndone {
		a.Mass = set // it is held already, for a reason that says more
		return
	}
	why := fmt.Sprintf("held with %d of %s until a person accepts it (certroll accept --missing %s)", len(set.Certificates), text.Counted(set.Live, "live certificate"), set.ID)
	if what, _ := massOf(a); what == ledger.MassMove {
		stays, goes, seen := *a.Spec, TargetOf(a.Spec), a.Target
		stays.Vault.Mount, stays.Vault.Path = a.At.Mount, a.At.Path
		*a = again(&stays)
		a.Mass, a.Goes, a.Target = set, goes, seen
		if a.Kind != ledger.KindNone {
			a.Warnings = append(a.Warnings, fmt.Sprintf("it stays at %s and does not move to %s: %s", a.At, goes, why))
			return
		}
		until := a.NotBefore // of its renewal, which goes on
		a.hold(ledger.ReasonMass, until, fmt.Sprintf("it would move to %s; %s", goes, why))
		a.HeldBy = SubjectOfSet(set)
		return
	}
	detail := a.Detail
	if a.Kind == ledger.KindHold {
		a.Kind = a.Wants
	}
	a.hold(ledger.ReasonMass, now.Add(throttle.LeastWait), detail+"; "+why)
	a.HeldBy, a.Mass = SubjectOfSet(set), set
}

// massDone are the certificates that were changed so within the last day, without
// a person's consent.
func massDone(obs *Observed, history []ledger.Event, consent consentTo, now time.Time) map[string]bool {
	done, from := map[string]bool{}, now.Add(-massSpan)
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
		// An heir goes on with its secret: it was renamed, and not retired.
		if r := obs.Records[name]; r != nil && r.State == ledger.StateRetired && r.Live != nil && places[ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}] {
			delete(done, name)
		}
	}
	return done
}

// liveCount is how many are live, with those that were a day ago.
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

// MassHold is what the brake holds in a plan; nil where it holds nothing.
func MassHold(actions []Action) *ledger.HeldSet {
	for i := range actions {
		if actions[i].Mass != nil {
			return actions[i].Mass
		}
	}
	return nil
}

// SubjectOfSet is what holds all of the set.
func SubjectOfSet(set *ledger.HeldSet) ledger.Subject { return ledger.Subject("mass " + set.ID) }

func causeDigest(what ledger.Kind, cause string) string {
	sum := sha256.Sum256([]byte(string(what) + "\x00" + cause))
	return hex.EncodeToString(sum[:8])
}

// consentTo is what a person has accepted and is not over, by certificate.
type consentTo map[string][]consent

type consent struct {
	at    time.Time
	cause string // the digest
}

func consents(sets []ledger.HeldSet, now time.Time) consentTo {
	c := consentTo{}
	for _, s := range sets {
		for _, h := range s.Certificates {
			if s.AcceptedAt == nil || now.Sub(*s.AcceptedAt).Abs() > consentOf(h.What) {
				continue
			}
			c[h.Certificate] = append(c[h.Certificate], consent{*s.AcceptedAt, h.Cause})
		}
	}
	return c
}

// covers tells whether just this was accepted. It is used up by being done: what
// is live is another one then.
func (c consentTo) covers(name string, what ledger.Kind, cause string) bool {
	digest := causeDigest(what, cause)
	return slices.ContainsFunc(c[name], func(one consent) bool { return one.cause == digest })
}

// before tells whether something of the certificate was accepted before a moment.
func (c consentTo) before(name string, at time.Time) bool {
	return slices.ContainsFunc(c[name], func(one consent) bool { return !at.Before(one.at) })
}

// MassEvents tell of what the brake holds, once a day: a person is to be woken.
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
