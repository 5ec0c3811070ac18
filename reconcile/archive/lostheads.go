package archive

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// LedgerSubject is what a person's consent to a ledger that was rewritten is about.
const LedgerSubject = "ledger"

// LostHead is a head of the ledger from which the branch no longer went on, as the
// ledger itself tells.
type LostHead struct {
	Commit string // "" where the event does not name it
	At     time.Time
	Detail string
}

var lostCommit = regexp.MustCompile(`descends from commit ([0-9a-f]{40})`)

// lostBy is the head that an event tells was lost. Events of earlier versions name it in
// their message alone.
func lostBy(e *ledger.Event) string {
	if e.OldRevision != "" {
		return e.OldRevision
	}
	if m := lostCommit.FindStringSubmatch(e.Message); m != nil {
		return m[1]
	}
	return ""
}

// LostHeads are those that nobody has accepted since, by the events in their order.
func LostHeads(events []ledger.Event) []LostHead {
	var lost []LostHead
	for i := range events {
		e := &events[i]
		switch {
		case e.Reason == ledger.ReasonRewound:
			lost = append(lost, LostHead{lostBy(e), e.Time, e.Detail})
		case IsLedgerAccepted(e):
			lost = WithoutHead(lost, e.OldRevision)
		}
	}
	return lost
}

// WithoutHead leaves one of them out.
func WithoutHead(lost []LostHead, commit string) (left []LostHead) {
	for _, l := range lost {
		if l.Commit != commit {
			left = append(left, l)
		}
	}
	return left
}

// IsLedgerAccepted tells that a person accepted the loss of a head.
func IsLedgerAccepted(e *ledger.Event) bool {
	return e.Operation == ledger.KindNote && e.Reason == ledger.ReasonAccepted && e.Status == ledger.Success && e.Subject == LedgerSubject
}

// AcceptedHeads are the lost heads that a person has accepted the loss of.
func AcceptedHeads(events []ledger.Event) map[string]bool {
	heads := map[string]bool{}
	for i := range events {
		if IsLedgerAccepted(&events[i]) {
			heads[events[i].OldRevision] = true
		}
	}
	return heads
}

// Breach is how a check of the audit log shows it. pushBack is the command that brings
// the head back, with COMMIT in the head's place.
func (l LostHead) Breach(pushBack string) Breach {
	b := Breach{
		Problem:  "the log says that the ledger was rewritten, moved back or deleted, found " + l.At.UTC().Format(time.RFC3339),
		Expected: "a ledger that goes on from where it was; look for that head in an older clone (git fsck --lost-found)", Seen: text.FirstOf(l.Detail, "a ledger that does not"),
	}
	if l.Commit != "" {
		b.Expected = fmt.Sprintf("a ledger that goes on from commit %s; from a clone that still has that commit, %s brings it back. If the loss is to stay: certroll audit accept %s",
			l.Commit, strings.ReplaceAll(pushBack, "COMMIT", l.Commit), l.Commit)
	}
	return b
}

// ErrNotLost says that there is no such head to accept the loss of.
var ErrNotLost = errors.New("the ledger records no lost head with this hash that waits to be accepted")

// LastRewound is when the ledger was last found rewritten, by its events; zero
// where it was not, or a person has accepted it since.
func LastRewound(events []ledger.Event) time.Time {
	var last time.Time
	for _, l := range LostHeads(events) {
		if l.At.After(last) {
			last = l.At
		}
	}
	return last
}
