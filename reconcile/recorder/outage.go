package recorder

import (
	"time"

	"certroll/reconcile/ledger"
)

// LastOutage is the last event about one of the other sides.
func LastOutage(history []ledger.Event, with Side) (last ledger.Event) {
	for _, e := range history {
		if e.Operation == ledger.KindPass && e.Subject == with.ID() {
			last = e
		}
	}
	return last
}

// SideDisk is the state directory: what happens is noted there before it is told.
const SideDisk Side = "the state directory"

// Words are what is said of a side's outage: while it lasts, and once it is over.
func (s Side) Words() (lasts, over string) {
	if s == SideDisk {
		return "the state directory cannot be written", "the state directory can be written again; it could not"
	}
	return "nothing can be done with " + string(s), string(s) + " can be reached again; it could not"
}

// Side is one that a pass cannot do without. The config repo and the ledger may
// be on different hosts: one that answers says nothing of the other.
type Side string

// The sides, but for SideDisk.
const (
	SideRepo   Side = "the config repo"
	SideLedger Side = "the ledger"
	SideLooked Side = "Vault" // or the ledger, where it was never seen yet
)

// ID is its name for machines.
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

// Outage is a run of passes that failed because of one of the other sides.
type Outage struct {
	Class   ledger.Class
	Passes  int
	Since   time.Time
	Message string
	Told    bool
}

// OutageEvent is the event of an outage that begins, or ends.
func OutageEvent(with Side, o *Outage, status ledger.Status, detail, revision string, now time.Time) ledger.Event {
	now = now.UTC()
	e := ledger.Event{
		Schema: ledger.EventSchema, Time: now.Truncate(time.Millisecond), Operation: ledger.KindPass, Status: status, Reason: ledger.ReasonUnreachable,
		Subject: with.ID(), Detail: detail, Actor: "schedule", Cause: "schedule", Revision: revision, Class: o.Class, Message: o.Message,
	}
	e.ID = ledger.EventID("outage", string(with), string(status), o.Since.UTC().Format(time.RFC3339))
	return e
}
