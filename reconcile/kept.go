package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Message is a bulletin as it is sent: the same at each try, so that who gets it
// twice knows it again.
type Message struct {
	ID      string     `json:"id"` // of the bulletin
	Kind    NoticeKind `json:"kind"`
	Notices int        `json:"notices"`
	Body    []byte     `json:"body"` // as Compose made it
}

// kept is what a courier's destination was told, which outlives a process.
type kept struct {
	after    place
	upto     place     // where after moves once the messages were taken
	messages []Message // that are being sent; none: nothing is
	sent     int       // of them that were taken
	tries    int       // in vain, in a row
	retryAt  time.Time
}

// place is an event of the ledger.
type place struct {
	id string // "": none, it is before the first since at
	at time.Time
}

func placeOfEvent(e Event, now time.Time) place { return place{e.ID, sooner(e.Time, now)} }

// next is the index of the first event after a place, and whether the place is
// there. In a ledger that was made anew it may be gone: what is younger than it,
// less a day since a run tells what it did some time after it did it, is told
// once more rather than not.
func (p place) next(events []Event) (first int, found bool) {
	since := p.at
	if p.id != "" {
		for i := len(events) - 1; i >= 0; i-- {
			if events[i].ID == p.id {
				return i + 1, true
			}
		}
		since = since.Add(-day)
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
func (k kept) asOf(now time.Time) (_ kept, changed bool) {
	if k.after.at.After(now) {
		k.after.at, changed = now, true
	}
	if k.retryAt.Sub(now) > mostPatience {
		k.retryAt, changed = time.Time{}, true
	}
	return k, changed
}

const (
	keptTime = time.RFC3339Nano
	// mostKept bounds the messages that are kept, in bytes: half of what Vault
	// takes with Consul below it. Larger ones are made anew after a restart.
	mostKept = 256 << 10
)

func (k kept) fields() (map[string]string, error) {
	f := map[string]string{"after": k.after.id, "after_at": k.after.at.UTC().Format(keptTime), "tries": strconv.Itoa(k.tries)}
	if !k.retryAt.IsZero() {
		f["retry_at"] = k.retryAt.UTC().Format(keptTime)
	}
	if len(k.messages) == 0 {
		return f, nil
	}
	b, err := json.Marshal(k.messages)
	if err != nil {
		return nil, fmt.Errorf("encoding messages: %w", err)
	}
	if len(b) <= mostKept {
		f["messages"], f["sent"] = string(b), strconv.Itoa(k.sent)
		f["upto"], f["upto_at"] = k.upto.id, k.upto.at.UTC().Format(keptTime)
	}
	return f, nil
}

// keptOf reads what fields wrote.
func keptOf(f map[string]string) (kept, error) {
	k := kept{after: place{id: f["after"]}}
	var errs [6]error
	k.after.at, errs[0] = time.Parse(keptTime, f["after_at"])
	k.tries, errs[1] = strconv.Atoi(f["tries"])
	if at := f["retry_at"]; at != "" {
		k.retryAt, errs[2] = time.Parse(keptTime, at)
	}
	if text := f["messages"]; text != "" {
		errs[3] = json.Unmarshal([]byte(text), &k.messages)
		k.sent, errs[4] = strconv.Atoi(f["sent"])
		k.upto.id = f["upto"]
		k.upto.at, errs[5] = time.Parse(keptTime, f["upto_at"])
	}
	if err := errors.Join(errs[:]...); err != nil || k.sent < 0 {
		return kept{}, errNotOurs
	}
	return k, nil
}
