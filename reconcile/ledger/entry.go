package ledger

// Entry is one line of the journal: what the ledger is to be told.
type Entry struct {
	Event  Event   `json:"event"`
	Record *Record `json:"record,omitempty"`
	// Drop names the certificate whose pending secret goes once this is told.
	Drop string `json:"drop,omitempty"`
	// Forget is a serial whose certificate was kept until it is revoked, and goes once
	// this is told.
	Forget string `json:"forget,omitempty"`
	// Held is what the brake began to hold.
	Held *HeldSet `json:"held,omitempty"`
	// Problems are those that examinations found and that are open after it.
	Problems *Problems `json:"problems,omitempty"`
}

// Newer tells whether a record is not older than another; nil is older than any.
func Newer(r, than *Record) bool { return than == nil || !r.UpdatedAt.Before(than.UpdatedAt) }
