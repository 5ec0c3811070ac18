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

// Message is a notification as it is sent: byte for byte the same at each try, so that a
// receiver can recognize a duplicate by its ID.
type Message struct {
	ID      string     `json:"id"` // ID of the notification
	Kind    NoticeKind `json:"kind"`
	Notices int        `json:"notices"`
	Body    []byte     `json:"body"` // as composed
}

// DeliveryState is the progress of one destination. It is stored in Vault.
type DeliveryState struct {
	after    cursor
	upto     cursor    // position once the messages are delivered
	Messages []Message // messages in delivery; none: nothing is
	Sent     int       // number of delivered messages
	Tries    int       // failed tries in a row
	RetryAt  time.Time
}

// cursor is a position in the ledger: the last delivered event.
type cursor struct {
	id string // "": before the first event since at
	at time.Time
}

// cursorOfEvent returns the position of an event. An event from the future counts as now.
func cursorOfEvent(e ledger.Event, now time.Time) cursor {
	return cursor{e.ID, times.Sooner(e.Time, now)}
}

// next returns the index of the first event after a position, and whether the position's
// event exists. In a rebuilt ledger it may be gone. next then goes back one day before
// the position, because events reach the ledger later than they happen: it is better to
// deliver an event twice than never.
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

// asOf returns the state without times that only a fast clock can have stored. Otherwise
// nothing would be delivered until those times.
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
	// StoredTime is the format of stored times.
	StoredTime = time.RFC3339Nano
	// MostStored bounds the stored messages, in bytes: half of the 512 KiB that Vault
	// accepts with Consul as storage. Larger ones are composed again after a restart.
	MostStored = 256 << 10
)

// Fields returns the state's fields in Vault.
func (k DeliveryState) Fields() (map[string]string, error) {
	f := map[string]string{"after": k.after.id, "after_at": k.after.at.UTC().Format(StoredTime), "tries": strconv.Itoa(k.Tries)}
	if !k.RetryAt.IsZero() {
		f["retry_at"] = k.RetryAt.UTC().Format(StoredTime)
	}
	if len(k.Messages) == 0 {
		return f, nil
	}
	b, err := json.Marshal(k.Messages)
	if err != nil {
		return nil, fmt.Errorf("encoding messages: %w", err)
	}
	// Messages beyond the bound are not stored. The position stays, so that a restart
	// composes them again.
	if len(b) <= MostStored {
		f["messages"], f["sent"] = string(b), strconv.Itoa(k.Sent)
		f["upto"], f["upto_at"] = k.upto.id, k.upto.at.UTC().Format(StoredTime)
	}
	return f, nil
}

// DeliveryStateOf parses the result of Fields.
func DeliveryStateOf(f map[string]string) (DeliveryState, error) {
	k := DeliveryState{after: cursor{id: f["after"]}}
	var errs [6]error
	k.after.at, errs[0] = time.Parse(StoredTime, f["after_at"])
	k.Tries, errs[1] = strconv.Atoi(f["tries"])
	if at := f["retry_at"]; at != "" {
		k.RetryAt, errs[2] = time.Parse(StoredTime, at)
	}
	if text := f["messages"]; text != "" {
		errs[3] = json.Unmarshal([]byte(text), &k.Messages)
		k.Sent, errs[4] = strconv.Atoi(f["sent"])
		k.upto.id = f["upto"]
		k.upto.at, errs[5] = time.Parse(StoredTime, f["upto_at"])
	}
	if err := errors.Join(errs[:]...); err != nil || k.Sent < 0 {
		return DeliveryState{}, audit.ErrNotOurs
	}
	return k, nil
}
