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

// LedgerSubject is the subject of a person's consent to a rewritten ledger.
const LedgerSubject = "ledger"

// LostHead is a former head of the ledger that the branch no longer descends from,
// according to an event in the ledger.
type LostHead struct {
	Commit string // "" if the event does not name it
	At     time.Time
	Detail string
}

var lostCommit = regexp.MustCompile(`descends from commit ([0-9a-f]{40})`)

// lostBy returns the lost head that an event names. Events of earlier versions name it only
// in their message.
func lostBy(e *ledger.Event) string {
	if e.OldRevision != "" {
		return e.OldRevision
	}
	if m := lostCommit.FindStringSubmatch(e.Message); m != nil {
		return m[1]
	}
	return ""
}

// LostHeads returns the lost heads that no person has accepted, in the order of the events.
func LostHeads(events []ledger.Event) []LostHead {
	var lost []LostHead
	for i := range events {
		e := &events[i]
		switch {
		case e.Reason == ledger.ReasonRewound:
			lost = append(lost, LostHead{lostBy(e), e.Time, e.Detail})
		// A consent covers one head, and only losses before it: the same head can be lost
		// again.
		case IsLedgerAccepted(e):
			lost = WithoutHead(lost, e.OldRevision)
		}
	}
	return lost
}

// WithoutHead returns lost without the head commit.
func WithoutHead(lost []LostHead, commit string) (left []LostHead) {
	for _, l := range lost {
		if l.Commit != commit {
			left = append(left, l)
		}
	}
	return left
}

// IsLedgerAccepted reports whether the event is a person's consent to a lost head.
func IsLedgerAccepted(e *ledger.Event) bool {
	return e.Operation == ledger.KindNote && e.Reason == ledger.ReasonAccepted && e.Status == ledger.Success && e.Subject == LedgerSubject
}

// AcceptedHeads returns the lost heads that a person has accepted.
func AcceptedHeads(events []ledger.Event) map[string]bool {
	heads := map[string]bool{}
	for i := range events {
		if IsLedgerAccepted(&events[i]) {
			heads[events[i].OldRevision] = true
		}
	}
	return heads
}

// Breach returns the finding about the lost head. pushBack is the command that restores a
// head, with COMMIT as the placeholder for the hash.
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

// ErrNotLost is the error of accepting a head that is not lost, or already accepted.
var ErrNotLost = errors.New("the ledger records no lost head with this hash that waits to be accepted")

// LastRewound returns when certroll last found a rewind of the ledger; zero if there was
// none that still waits to be accepted.
func LastRewound(events []ledger.Event) time.Time {
	var last time.Time
	for _, l := range LostHeads(events) {
		if l.At.After(last) {
			last = l.At
		}
	}
	return last
}
