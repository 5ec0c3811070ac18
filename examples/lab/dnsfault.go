package lab

import (
	"time"

	"github.com/miekg/dns"
)

// Fault is a failure of the DNS server.
type Fault int

// The faults.
const (
	None     Fault = iota // no fault
	Refuse                // answers REFUSED
	ServFail              // answers SERVFAIL
	Drop                  // sends no answer; the client times out
	Swallow               // answers an empty NOERROR and stores nothing
)

// apply fills in the reply for a fault. It returns false for None.
func (f Fault) apply(reply *dns.Msg) bool {
	switch f {
	case Refuse:
		reply.Rcode = dns.RcodeRefused
	case ServFail:
		reply.Rcode = dns.RcodeServerFailure
	}
	return f != None
}

// FailQueries sets the fault of all queries; None ends it.
func (d *DNS) FailQueries(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onQuery = f
}

// FailUpdates sets the fault of all updates; None ends it.
func (d *DNS) FailUpdates(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onWrite = f
}

// SetLag delays the visibility of updated records in queries, like a provider whose
// servers copy the zone from each other.
func (d *DNS) SetLag(lag time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lag = lag
}
