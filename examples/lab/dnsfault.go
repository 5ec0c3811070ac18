package lab

import (
	"time"

	"github.com/miekg/dns"
)

// Fault is a way for the DNS server to go wrong.
type Fault int

// The faults.
const (
	None     Fault = iota // works
	Refuse                // answers REFUSED
	ServFail              // answers SERVFAIL
	Drop                  // answers nothing; the client runs into its time-out
	Swallow               // answers NOERROR with nothing in it, and stores nothing
)

// apply fills in the reply of a server with this fault; false where there is
// none.
func (f Fault) apply(reply *dns.Msg) bool {
	switch f {
	case Refuse:
		reply.Rcode = dns.RcodeRefused
	case ServFail:
		reply.Rcode = dns.RcodeServerFailure
	}
	return f != None
}

// FailQueries switches a fault of every query on, or off with None.
func (d *DNS) FailQueries(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onQuery = f
}

// FailUpdates switches a fault of every update on, or off with None.
func (d *DNS) FailUpdates(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onWrite = f
}

// SetLag hides records that come by an update from queries for a while, as a
// provider does whose servers copy the zone from each other.
func (d *DNS) SetLag(lag time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lag = lag
}
