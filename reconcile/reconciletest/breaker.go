package reconciletest

import (
	"time"

	"certroll/reconcile/ledger"
)

// Failed is the event of a failed renewal.
func Failed(at time.Duration, certificate string, class ledger.Class, account, text string) ledger.Event {
	until := Start.Add(at + time.Minute)
	return ledger.Event{Time: Start.Add(at), Operation: ledger.KindRenew, Certificate: certificate, Names: []string{certificate + ".example.com"}, Status: ledger.Failed,
		Issuer: "ca", DNSAccount: account, Class: class, Message: text, Failures: 2, HoldUntil: &until}
}

func Succeeded(at time.Duration, certificate, account string) ledger.Event {
	return ledger.Event{Time: Start.Add(at), Operation: ledger.KindRenew, Certificate: certificate, Names: []string{certificate + ".example.com"}, Status: ledger.Success, Issuer: "ca", DNSAccount: account}
}
