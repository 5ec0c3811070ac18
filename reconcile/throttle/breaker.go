package throttle

import (
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// BreakAfter is the number of certificates in a row that an issuer or a DNS account fails
// for before its breaker opens. One broken account should not cause hundreds of failures.
const BreakAfter = 3

// Circuit is a run of equal failures of one subject without a success since.
type Circuit struct {
	Class        ledger.Class
	Message      string       // of the last failure
	First, Last  time.Time    // times of the first and the last failure
	Certificates []string     // certificates that failed, without duplicates
	sources      []string     // sources of the failures, without duplicates, see sourceOf
	owner        ledger.Owner // of the last failure
	Probes       int          // failed probes since the breaker opened
	By           string       // certificate of the last failure
	until        time.Time    // end of the upstream's Retry-After; zero: none
	credentials  string       // of a DNS account: credential versions at the last failure; "": unknown
	asked        []asked      // certificates that a person retried since the last failure
	Mends        bool         // this plan's settings differ from those of the last failure
}

// asked is a certificate that a person wants to retry at once.
type asked struct {
	certificate string
	forced      bool // despite the CA's Retry-After
}

// sameTry is the time within which failures count as one try: certificates whose attempts
// ran side by side when the subject began to fail.
const sameTry = time.Minute

// sourceOf returns the source of a failure: the block of a certificate (instances of
// for_each are "block.key") and the registered domains of its names. A mistake in one block
// or one domain says nothing about other certificates.
func sourceOf(certificate string, names []string) string {
	block, _, _ := strings.Cut(certificate, ".")
	return block + " " + strings.Join(text.SortedSet(ledger.Registered(names)), " ")
}

// Open reports whether the breaker is open for all certificates: the subject failed for
// BreakAfter certificates of different sources. If the CA refuses the ACME account, one
// failure suffices, because the account is the same for all.
func (t *Circuit) Open() bool {
	return t != nil && len(t.sources) >= BreakAfter || t.OfAccount()
}

// OfAccount reports whether the CA refuses the issuer's ACME account.
func (t *Circuit) OfAccount() bool { return t != nil && t.owner == ledger.OwnerAccount }

// OpenFor reports whether the breaker is open for a certificate: for all certificates, or
// for its source alone if BreakAfter certificates of that source failed.
func (t *Circuit) OpenFor(certificate string, names []string) bool {
	if t.Open() || t.Count() < BreakAfter {
		return t.Open()
	}
	return len(t.sources) == 1 && t.sources[0] == sourceOf(certificate, names)
}

// Count returns the number of certificates that the subject failed for.
func (t *Circuit) Count() int {
	if t == nil {
		return 0
	}
	return len(t.Certificates)
}

// ProbeAt returns when the next certificate may try. deadline is the nearest expiry among
// the waiting certificates.
func (t *Circuit) ProbeAt(s ledger.Subject, deadline time.Time) time.Time {
	return Backoff(string(s), t.Probes+2, t.Class, t.Last, t.until, deadline)
}

// Retried reports whether a person ran certroll retry for this certificate, which makes it
// the next probe. A failed probe clears all retries, so that retrying a hundred
// certificates causes one probe.
func (t *Circuit) Retried(certificate string, now time.Time) bool {
	return slices.ContainsFunc(t.asked, func(a asked) bool {
		return a.certificate == certificate && (a.forced || t.Class != ledger.ClassRateLimited || !t.until.After(now))
	})
}

// MayBeMended reports whether a probe may go at once because the settings of the last
// failed certificate changed. The end of a rate limit still stands.
func (t *Circuit) MayBeMended(now time.Time) bool {
	return t.Mends && (t.Class != ledger.ClassRateLimited || !t.until.After(now))
}

// Circuits computes the circuits from the events, oldest first. Their order is that of the
// ledger, so that a retry counts by its place there and not by the clock of its machine.
//
//	dns.a:  fail(x) fail(y) ok(z)                   closed: a success
//	dns.a:  fail(x) fail(y) fail(y) fail(z)         open: three certificates
//	dns.a:  fail(x) passed over for dns.b (y, z)    open: y and z tried dns.a first, although their orders succeeded
func Circuits(events []ledger.Event) map[ledger.Subject]*Circuit {
	found := map[ledger.Subject]*Circuit{}
	for _, e := range events {
		AddToCircuit(found, e)
	}
	return found
}

// AddToCircuit adds the next event to the circuits. Plans and the check before each order
// of a pass both use it, so that they agree on which breakers are open.
func AddToCircuit(found map[ledger.Subject]*Circuit, e ledger.Event) {
	if e.Operation == ledger.KindDoctor || e.Operation == ledger.KindProbe {
		return // an examination delays no certificate
	}
	for _, p := range e.PassedOver {
		if !p.Class.OfAccount() {
			continue // the account does not serve the zone: a fault of this certificate
		}
		blame(found, ledger.AccountSubject(p.Account), e, p.Class, p.Message)
	}
	switch {
	case e.Operation == ledger.KindRetry:
		for _, t := range found {
			t.asked = append(t.asked, asked{e.Certificate, e.Forced})
		}
	case e.Status == ledger.Success && e.Operation.Orders():
		for _, s := range Worked(e) {
			delete(found, s)
		}
	case e.Status == ledger.Failed && e.Owner == ledger.OwnerAccount && e.Issuer != "":
		blame(found, ledger.IssuerSubject(e.Issuer), e, e.Class, e.Message)
	case e.Status == ledger.Failed && e.Class.OfAccount() && e.DNSAccount != "":
		blame(found, ledger.AccountSubject(e.DNSAccount), e, e.Class, e.Message)
	case e.Status == ledger.Failed && e.Class.OfIssuer() && e.Issuer != "":
		for _, s := range FailedAtIssuer(e) {
			blame(found, s, e, e.Class, e.Message)
		}
	case e.Status == ledger.Failed && e.Operation.Orders() && e.Class == ledger.ClassValidation:
		// The CA validated, so its service is up.
		if t := found[ledger.IssuerSubject(e.Issuer)]; t != nil && t.Class == ledger.ClassCAUnavailable {
			delete(found, ledger.IssuerSubject(e.Issuer))
		}
	}
}

// Worked returns the subjects that a successful order proves to work.
func Worked(e ledger.Event) []ledger.Subject {
	list := append(ledger.IssuerSubjects(e.Issuer, e.Names), ledger.AccountSubject(e.DNSAccount))
	for _, name := range e.DNSAccounts {
		if name != e.DNSAccount {
			list = append(list, ledger.AccountSubject(name))
		}
	}
	return list
}

// FailedAtIssuer returns the subjects that an issuer's failure counts against. A rate limit
// whose message names a registered domain counts against that domain, any other failure
// against the whole issuer.
func FailedAtIssuer(e ledger.Event) []ledger.Subject {
	var list []ledger.Subject
	if e.Class == ledger.ClassRateLimited {
		for _, d := range ledger.Registered(e.Names) {
			if strings.Contains(e.Message, d) {
				list = append(list, ledger.LimitSubject(e.Issuer, d))
			}
		}
	}
	if len(list) == 0 {
		list = append(list, ledger.IssuerSubject(e.Issuer))
	}
	return list
}

func blame(found map[ledger.Subject]*Circuit, s ledger.Subject, e ledger.Event, class ledger.Class, message string) {
	t := found[s]
	if t == nil || t.Class != class {
		t = &Circuit{Class: class, First: e.Time}
		found[s] = t
	}
	held := t.Count() >= BreakAfter || t.Open()
	t.By, t.asked = e.Certificate, nil
	// A probe before its time that fails does not delay the next scheduled probe.
	if early := held && e.Unscheduled; !early {
		if held && e.Time.Sub(t.Last) >= sameTry {
			t.Probes++
		}
		t.Last, t.Message, t.owner = e.Time, message, e.Owner
	}
	if name, ok := s.Account(); ok {
		t.credentials = e.Credentials[name]
	}
	// The hold after a first failure of an unreachable CA is its Retry-After or one step;
	// later holds contain certroll's own back-off, which the circuit computes itself.
	if e.HoldUntil != nil && (class == ledger.ClassRateLimited || class == ledger.ClassCAUnavailable && e.Failures == 1) && e.HoldUntil.After(t.until) {
		t.until = *e.HoldUntil
	}
	if !slices.Contains(t.Certificates, e.Certificate) {
		t.Certificates = append(t.Certificates, e.Certificate)
	}
	if source := sourceOf(e.Certificate, e.Names); !slices.Contains(t.sources, source) {
		t.sources = append(t.sources, source)
	}
}

// Mended drops the circuits of DNS accounts whose credentials changed since the last
// failure.
func Mended(found map[ledger.Subject]*Circuit, now map[string]string) {
	for s, t := range found {
		if name, ok := s.Account(); ok && OtherCredentials(t.credentials, now[name]) {
			delete(found, s)
		}
	}
}

// OtherCredentials reports whether one of an account's versions, joined by commas, is known
// to have changed. A version that begins with "HOST@" comes from a file of that host, and
// says nothing about another host: two replicas, each with its own copy of a file, would
// otherwise end each other's holds forever.
func OtherCredentials(was, is string) bool {
	if was == "" || is == "" {
		return false
	}
	before, now := strings.Split(was, ","), strings.Split(is, ",")
	if len(before) != len(now) {
		return true
	}
	for i := range before {
		where, _, local := strings.Cut(before[i], "@")
		here, _, localToo := strings.Cut(now[i], "@")
		if local == localToo && (!local || where == here) && before[i] != now[i] {
			return true
		}
	}
	return false
}
