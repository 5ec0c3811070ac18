package acme

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"

	"certroll/spec"

	"github.com/miekg/dns"
)

// Canary writes a TXT record where the challenge for a name is answered,
// through a dns-01 account and as a real one would be, waits until it can be
// seen, and removes it. It returns nil, a Finding, or an error that unwraps to
// the context's where it was interrupted. A record that was written is removed
// in any case.
//
// report is told of each long step and may be nil.
func (x *Examiner) Canary(ctx context.Context, account *spec.DNSAccount, name string, report func(step, detail string)) error {
	doing := "writing a canary for " + name + " through the DNS account " + account.Name
	err := x.canary(ctx, doing, account, name, oneAtATime(report))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return interrupted(ctx, doing)
	}
	var f *Finding
	if !errors.As(err, &f) {
		f = &Finding{severity: SeverityError, why: asError(doing, err)}
	}
	why := *f.why
	why.account = account.Name
	return struck(x.secrets, &Finding{severity: f.severity, about: "dns." + account.Name, names: []string{name}, why: &why})
}

// canary writes the record. A certificate that was issued through a CNAME before is
// renewed all the same: the ledger knows where it led, and the canary does not.
func (x *Examiner) canary(ctx context.Context, doing string, account *spec.DNSAccount, name string, report func(step, detail string)) error {
	t := x.publisher.try(ctx, doing, account, canaryProof(name), report)
	switch {
	case errors.Is(t.err, errElsewhere):
		return &Finding{severity: SeverityWarning, why: asError(doing, t.err)}
	case t.occupied:
		return &Finding{severity: SeverityInfo, why: &Error{
			class: ClassConfig, doing: doing, said: "there is a TXT record at " + plain(t.name) + " already, which the provider would replace: a name is being proven now, or the record was left there",
			advice: "remove the record if it stays; the credential was not tried",
		}}
	case t.stays != "":
		return &Finding{severity: SeverityWarning, why: &Error{class: ClassDNSOccupied, doing: doing, said: t.stays}}
	case t.left != nil:
		e := *asError(doing, t.left)
		e.advice = "remove the TXT record " + plain(t.name) + " by hand, and see that the credential may delete records"
		return &Finding{severity: SeverityWarning, why: &e}
	case t.err == nil && len(t.lame) > 0:
		return lameFinding(t.name, t.lame)
	}
	return t.err
}

// canaryProof answers a challenge that no CA has set.
func canaryProof(name string) proof {
	token := base64.RawURLEncoding.EncodeToString([]byte(rand.Text()))
	return proof{domain: plain(dns.Fqdn(trimWildcard(name))), token: token, keyAuth: token + ".canary"}
}

// lameFinding warns of name servers that hold up no certificate, as long as others
// answer: those who look the name up may wait for them.
func lameFinding(name string, servers []string) *Finding {
	return &Finding{severity: SeverityWarning, why: &Error{
		class: ClassDNSPropagation, doing: "looking for the TXT record " + plain(name) + " at the name servers of its zone",
		said:   "the record was seen, but not by " + strings.Join(servers, ", "),
		advice: "mend these name servers, or take them out of the zone's NS records (or out of propagation.nameservers); certroll and the CA pass them over",
	}}
}
