package reconciletest

import (
	"fmt"
	"time"

	"certroll/reconcile/ledger"
)

// Failed is the event of a failed renewal.
func Failed(at time.Duration, certificate string, class ledger.Class, account, text string) ledger.Event {
	until := Start.Add(at + time.Minute)
	return ledger.Event{Time: Start.Add(at), Operation: ledger.KindRenew, Certificate: certificate, Names: []string{certificate + ".example.com"}, Status: ledger.Failed,
		Issuer: "ca", DNSAccount: account, Class: class, Message: text, Failures: 2, HoldUntil: &until}
}

// Succeeded is the event of a successful renewal.
func Succeeded(at time.Duration, certificate, account string) ledger.Event {
	return ledger.Event{Time: Start.Add(at), Operation: ledger.KindRenew, Certificate: certificate, Names: []string{certificate + ".example.com"}, Status: ledger.Success, Issuer: "ca", DNSAccount: account}
}

// NoticeAt is the time of the events in tests of notices.
var NoticeAt = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// Done is the event of a successful order.
func Done(at time.Duration, url string, free ledger.Exemption, names ...string) ledger.Event {
	return ledger.Event{Schema: ledger.EventSchema, ID: url, Time: Start.Add(at), Operation: ledger.KindRenew, Certificate: "x", Status: ledger.Success, Names: names,
		Issuer: "ca", Directory: "https://ca.example/dir", DNSAccount: "lab", OrderURL: url, Exempt: free}
}

// Repeat returns n such events.
func Repeat(n int, at time.Duration, free ledger.Exemption, name func(i int) string) []ledger.Event {
	var es []ledger.Event
	for i := range n {
		es = append(es, Done(at, fmt.Sprintf("https://ca.example/order/%d", i+1), free, name(i)))
	}
	return es
}
