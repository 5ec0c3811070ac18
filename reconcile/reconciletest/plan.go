package reconciletest

import (
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// LiveSecret is a secret as certroll left it for c, issued at start for 90 days.
func LiveSecret(c *spec.Certificate, change func(*ledger.Live)) plan.Secret {
	l := &ledger.Live{
		Serial: "a1", NotBefore: Start, NotAfter: Start.Add(90 * times.Day), Names: c.Names(), NamesDigest: keypair.NamesDigest(c.Names()),
		KeyDigest: "k1", KeyShape: "ecdsa-P-256", KeySince: Start, Issuer: "ca", Directory: "https://ca.example/dir",
		Mount: "secret", Path: "tls/" + c.Name, Version: 1, Rotate: "", IssuedAt: Start,
	}
	if change != nil {
		change(l)
	}
	return plan.Secret{Version: 1, Readable: true, Owner: c.Name, Live: l}
}

// LiveRecord is the record of c as certroll left it.
func LiveRecord(c *spec.Certificate, s plan.Secret) *ledger.Record {
	r := ledger.NewRecord(c, nil, Start)
	r.State = ledger.StateLive
	if s.Live != nil {
		r.Live, r.RenewAt = s.Live, plan.RecordedRenewal(c, s.Live, nil, Start)
	}
	if !c.Renewal.Auto {
		r.Unmanaged = &ledger.Unmanaged{Since: Start, Overdue: true}
	}
	return r
}
