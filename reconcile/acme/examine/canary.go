package examine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/miekg/dns"

	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/publish"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Canary tests a dns-01 account: it writes a TXT record at a name's challenge, as for a
// real one, waits until it is visible, and removes it. It returns nil, a Finding, or, if
// interrupted, an error that unwraps to the context's. It removes a written record in
// every case.
//
// Canary calls report at each long step. report may be nil.
func (x *Examiner) Canary(ctx context.Context, account *spec.DNSAccount, name string, report func(step, detail string)) error {
	doing := "writing a canary for " + name + " through the DNS account " + account.Name
	err := x.canary(ctx, doing, account, name, publish.OneAtATime(report))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return problem.Interrupted(ctx, doing)
	}
	var f *problem.Finding
	if !errors.As(err, &f) {
		f = &problem.Finding{Level: ledger.SeverityError, Why: problem.AsError(doing, err)}
	}
	why := *f.Why
	why.DNSAccount = account.Name
	return problem.Strike(x.secrets, &problem.Finding{Level: f.Level, At: "dns." + account.Name, Touches: []string{name}, Why: &why})
}

// canary writes the record. A CNAME to a name that is not allowed is only a warning: the
// ledger may show that the CNAME led there before, so that the renewal succeeds all the
// same. The canary does not read the ledger.
func (x *Examiner) canary(ctx context.Context, doing string, account *spec.DNSAccount, name string, report func(step, detail string)) error {
	t := x.publisher.Try(ctx, doing, account, canaryProof(name), report)
	switch {
	case errors.Is(t.Err, dnsquery.ErrElsewhere):
		return &problem.Finding{Level: ledger.SeverityWarning, Why: problem.AsError(doing, t.Err)}
	case t.Occupied:
		return &problem.Finding{Level: ledger.SeverityInfo, Why: &problem.Error{
			OfClass: ledger.ClassConfig, Doing: doing, Said: "there is a TXT record at " + dnsquery.Plain(t.Name) + " already, which the provider would replace: a validation is under way, or the record was left there",
			Advice: "remove the record if it stays; the credential was not tried",
		}}
	case t.Stays != "":
		return &problem.Finding{Level: ledger.SeverityWarning, Why: &problem.Error{OfClass: ledger.ClassDNSOccupied, Doing: doing, Said: t.Stays}}
	case t.Left != nil:
		e := *problem.AsError(doing, t.Left)
		e.Advice = "remove the TXT record " + dnsquery.Plain(t.Name) + " by hand, and check that the credential may delete records"
		return &problem.Finding{Level: ledger.SeverityWarning, Why: &e}
	case t.Err == nil && len(t.Lame) > 0:
		return lameFinding(t.Name, t.Lame)
	}
	return t.Err
}

// canaryProof answers a made-up challenge.
func canaryProof(name string) dnsprovider.Proof {
	token := base64.RawURLEncoding.EncodeToString([]byte(rand.Text()))
	return dnsprovider.Proof{Domain: dnsquery.Plain(dns.Fqdn(dnsquery.TrimWildcard(name))), Token: token, KeyAuth: token + ".canary"}
}

// lameFinding warns about lame name servers. They block no certificate while others
// answer, but delay clients that query them.
func lameFinding(name string, servers []string) *problem.Finding {
	return &problem.Finding{Level: ledger.SeverityWarning, Why: &problem.Error{
		OfClass: ledger.ClassDNSPropagation, Doing: "looking for the TXT record " + dnsquery.Plain(name) + " at the name servers of its zone",
		Said:   "the record was seen, but not by " + strings.Join(servers, ", "),
		Advice: "fix these name servers, or take them out of the zone's NS records (or out of propagation.nameservers); certroll and the CA pass them over",
	}}
}
