package ledger

// Entry is one line of the journal: an event and its changes for the ledger.
type Entry struct {
	Event  Event   `json:"event"`
	Record *Record `json:"record,omitempty"`
	// Drop names the certificate whose pending secret certroll deletes once the ledger has
	// the entry.
	Drop string `json:"drop,omitempty"`
	// Forget is the serial of a certificate that certroll kept until its revocation, and
	// deletes once the ledger has the entry.
	Forget string `json:"forget,omitempty"`
	// Held is the set that the brake began to hold.
	Held *HeldSet `json:"held,omitempty"`
	// Problems are the open problems after the examination.
	Problems *Problems `json:"problems,omitempty"`
}

// Newer reports whether r is at least as new as than; every record is newer than nil.
func Newer(r, than *Record) bool { return than == nil || !r.UpdatedAt.Before(than.UpdatedAt) }
