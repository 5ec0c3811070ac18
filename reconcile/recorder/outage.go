package recorder

import (
	"time"

	"certroll/reconcile/ledger"
)

// LastOutage returns the last event about a side's outage.
func LastOutage(history []ledger.Event, with Side) (last ledger.Event) {
	for _, e := range history {
		if e.Operation == ledger.KindPass && e.Subject == with.ID() {
			last = e
		}
	}
	return last
}

// SideDisk is the state directory, which holds the journal.
const SideDisk Side = "the state directory"

// Words returns the texts for an outage that lasts, and for one that is over.
func (s Side) Words() (lasts, over string) {
	if s == SideDisk {
		return "the state directory cannot be written", "the state directory can be written again; it could not"
	}
	return "nothing can be done with " + string(s), string(s) + " can be reached again; it could not"
}

// Side is a system that a pass depends on. The config repo and the ledger may be on
// different hosts, so that each has its own outage.
type Side string

// The sides other than SideDisk.
const (
	SideRepo   Side = "the config repo"
	SideLedger Side = "the ledger"
	SideLooked Side = "Vault" // or the ledger, if this process has never fetched it
)

// ID returns the side's name in events.
func (s Side) ID() string {
	switch s {
	case SideRepo:
		return "config_repo"
	case SideLedger:
		return "ledger"
	case SideDisk:
		return "state_dir"
	default:
		return "vault"
	}
}

// Outage is a series of passes that failed because of one side.
type Outage struct {
	Class    ledger.Class
	Passes   int
	Since    time.Time
	Message  string
	Recorded bool
}

// OutageEvent returns the event that an outage began or ended.
func OutageEvent(with Side, o *Outage, status ledger.Status, detail, revision string, now time.Time) ledger.Event {
	now = now.UTC()
	e := ledger.Event{
		Schema: ledger.EventSchema, Time: now.Truncate(time.Millisecond), Operation: ledger.KindPass, Status: status, Reason: ledger.ReasonUnreachable,
		Subject: with.ID(), Detail: detail, Actor: "schedule", Cause: "schedule", Revision: revision, Class: o.Class, Message: o.Message,
	}
	// The ID has the start of the outage, so that two processes write one event.
	e.ID = ledger.EventID("outage", string(with), string(status), o.Since.UTC().Format(time.RFC3339))
	return e
}
