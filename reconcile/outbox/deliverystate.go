package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// Message is a bulletin as it is sent: the same at each try, so that who gets it
// twice knows it again.
type Message struct {
	ID      string     `json:"id"` // of the bulletin
	Kind    NoticeKind `json:"kind"`
	Notices int        `json:"notices"`
	Body    []byte     `json:"body"` // as Compose made it
}

// DeliveryState is what a courier's destination was told, which outlives a process.
type DeliveryState struct {
	after    cursor
	upto     cursor    // where after moves once the messages were taken
	Messages []Message // that are being sent; none: nothing is
	Sent     int       // of them that were taken
	Tries    int       // in vain, in a row
	RetryAt  time.Time
}

// cursor is an event of the ledger.
type cursor struct {
	id string // "": none, it is before the first since at
	at time.Time
}

func cursorOfEvent(e ledger.Event, now time.Time) cursor {
	return cursor{e.ID, times.Sooner(e.Time, now)}
}

// next is the index of the first event after a place, and whether the place is
// there. In a ledger that was made anew it may be gone: what is younger than it,
// less a day since a run tells what it did some time after it did it, is told
// once more rather than not.
func (p cursor) next(events []ledger.Event) (first int, found bool) {
	since := p.at
	if p.id != "" {
		for i := len(events) - 1; i >= 0; i-- {
			if events[i].ID == p.id {
				return i + 1, true
			}
		}
		since = since.Add(-times.Day)
	}
	for i, e := range events {
		if !e.Time.Before(since) {
			return i, p.id == ""
		}
	}
	return len(events), p.id == ""
}

// asOf is what is kept without what only a clock that ran ahead can have
// written: left as it is, nothing would be told until that time has come.
func (k DeliveryState) asOf(now time.Time) (_ DeliveryState, changed bool) {
	if k.after.at.After(now) {
		k.after.at, changed = now, true
	}
	if k.RetryAt.Sub(now) > mostPatience {
		k.RetryAt, changed = time.Time{}, true
	}
	return k, changed
}

const (
	// KeptTime is the format of the moments that are kept.
	KeptTime = time.RFC3339Nano
	// MostKept bounds the messages that are kept, in bytes: half of what Vault
	// takes with Consul below it. Larger ones are made anew after a restart.
	MostKept = 256 << 10
)

// Fields are the state as Vault keeps it.
func (k DeliveryState) Fields() (map[string]string, error) {
	f := map[string]string{"after": k.after.id, "after_at": k.after.at.UTC().Format(KeptTime), "tries": strconv.Itoa(k.Tries)}
	if !k.RetryAt.IsZero() {
		f["retry_at"] = k.RetryAt.UTC().Format(KeptTime)
	}
	if len(k.Messages) == 0 {
		return f, nil
	}
	b, err := json.Marshal(k.Messages)
	if err != nil {
		return nil, fmt.Errorf("encoding messages: %w", err)
	}
	if len(b) <= MostKept {
		f["messages"], f["sent"] = string(b), strconv.Itoa(k.Sent)
		f["upto"], f["upto_at"] = k.upto.id, k.upto.at.UTC().Format(KeptTime)
	}
	return f, nil
}

// DeliveryStateOf reads what Fields wrote.
func DeliveryStateOf(f map[string]string) (DeliveryState, error) {
	k := DeliveryState{after: cursor{id: f["after"]}}
	var errs [6]error
	k.after.at, errs[0] = time.Parse(KeptTime, f["after_at"])
	k.Tries, errs[1] = strconv.Atoi(f["tries"])
	if at := f["retry_at"]; at != "" {
		k.RetryAt, errs[2] = time.Parse(KeptTime, at)
	}
	if text := f["messages"]; text != "" {
		errs[3] = json.Unmarshal([]byte(text), &k.Messages)
		k.Sent, errs[4] = strconv.Atoi(f["sent"])
		k.upto.id = f["upto"]
		k.upto.at, errs[5] = time.Parse(KeptTime, f["upto_at"])
	}
	if err := errors.Join(errs[:]...); err != nil || k.Sent < 0 {
		return DeliveryState{}, audit.ErrNotOurs
	}
	return k, nil
}
