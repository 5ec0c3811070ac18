package reconciletest

import (
	"fmt"
	"time"

	"certroll/reconcile/ledger"
)

// Done is the event of an order that worked.
func Done(at time.Duration, url string, free ledger.Exemption, names ...string) ledger.Event {
	return ledger.Event{Schema: ledger.EventSchema, ID: url, Time: Start.Add(at), Operation: ledger.KindRenew, Certificate: "x", Status: ledger.Success, Names: names,
		Issuer: "ca", Directory: "https://ca.example/dir", DNSAccount: "lab", OrderURL: url, Exempt: free}
}

// Repeat makes n of them.
func Repeat(n int, at time.Duration, free ledger.Exemption, name func(i int) string) []ledger.Event {
	var es []ledger.Event
	for i := range n {
		es = append(es, Done(at, fmt.Sprintf("https://ca.example/order/%d", i+1), free, name(i)))
	}
	return es
}
