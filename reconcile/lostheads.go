package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"
)

// ledgerSubject is what a person's consent to a ledger that was rewritten is about.
const ledgerSubject = "ledger"

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
func lostBy(e *Event) string {
	if e.OldRevision != "" {
		return e.OldRevision
	}
	if m := lostCommit.FindStringSubmatch(e.Message); m != nil {
		return m[1]
	}
	return ""
}

// LostHeads are those that nobody has accepted since, by the events in their order.
func LostHeads(events []Event) []LostHead {
	var lost []LostHead
	for i := range events {
		e := &events[i]
		switch {
		case e.Reason == ReasonRewound:
			lost = append(lost, LostHead{lostBy(e), e.Time, e.Detail})
		case isLedgerAccepted(e):
			lost = withoutHead(lost, e.OldRevision)
		}
	}
	return lost
}

func withoutHead(lost []LostHead, commit string) (left []LostHead) {
	for _, l := range lost {
		if l.Commit != commit {
			left = append(left, l)
		}
	}
	return left
}

func isLedgerAccepted(e *Event) bool {
	return e.Operation == KindNote && e.Reason == ReasonAccepted && e.Status == Success && e.Subject == ledgerSubject
}

// AcceptedHeads are the lost heads that a person has accepted the loss of.
func AcceptedHeads(events []Event) map[string]bool {
	heads := map[string]bool{}
	for i := range events {
		if isLedgerAccepted(&events[i]) {
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
		Expected: "a ledger that goes on from where it was; look for that head in an older clone (git fsck --lost-found)", Seen: firstOf(l.Detail, "a ledger that does not"),
	}
	if l.Commit != "" {
		b.Expected = fmt.Sprintf("a ledger that goes on from commit %s; from a clone that still has that commit, %s brings it back. If the loss is to stay: certroll audit accept %s",
			l.Commit, strings.ReplaceAll(pushBack, "COMMIT", l.Commit), l.Commit)
	}
	return b
}

// AcceptLost writes a person's consent to the loss of a head into the ledger. It goes
// straight there, as Accept does. seen tells that this machine remembers the head; else
// the ledger has to tell of its loss.
func (r *Recorder) AcceptLost(ctx context.Context, commit string, seen bool, actor string) error {
	now := r.now().UTC()
	e := Event{
		Schema: EventSchema, ID: eventID("accepted", ledgerSubject, commit), Time: now.Truncate(time.Millisecond),
		Operation: KindNote, Status: Success, Reason: ReasonAccepted, Subject: ledgerSubject, Actor: firstOf(actor, "unknown"), Cause: "command", OldRevision: commit,
		Detail: "a person accepted that the ledger no longer goes on from commit " + commit,
	}
	told := []entry{{Event: e}}
	_, err := r.scribe.ledger.Commit(ctx, commitMessage(told), func(tree fs.FS) (map[string][]byte, error) {
		events, err := Query{}.Events(tree)
		if err != nil {
			return nil, err
		}
		lost := LostHeads(events)
		if len(withoutHead(lost, commit)) == len(lost) && !seen {
			return nil, errNotLost
		}
		if n := len(events); n > 0 {
			told[0].Event.Time = later(e.Time, events[n-1].Time.Add(time.Millisecond))
		}
		return r.scribe.edit(tree, told)
	})
	if errors.Is(err, errNotLost) {
		return fmt.Errorf("accepting the loss of %s: %w; certroll audit verify names those that are", commit, errNotLost)
	}
	if err != nil {
		return fmt.Errorf("writing the ledger: %w; nothing was recorded, repeat the command", err)
	}
	return nil
}

var errNotLost = errors.New("the ledger records no lost head with this hash that waits to be accepted")
