package throttle

import (
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// BreakAfter is how many certificates in a row an issuer or a DNS account
// fails for until it is held as a whole: one problem is not hundreds.
const BreakAfter = 3

// Circuit is a run of equal failures of one subject, with no success since.
type Circuit struct {
	Class        ledger.Class
	Message      string       // of the last one
	First, Last  time.Time    // failures
	Certificates []string     // that failed, each once
	sources      []string     // of them, each once, see sourceOf
	owner        ledger.Owner // of the last one
	Probes       int          // that failed since it is held
	By           string       // the certificate of the last one
	until        time.Time    // the other side's own word, zero where it gave none
	credentials  string       // of a DNS account: their versions at the last failure; "": not known
	asked        []asked      // by a person to try again since the last failure
	Mends        bool         // what the last one failed with is something else now, in this plan
}

// asked is a certificate that a person wants tried again at once.
type asked struct {
	certificate string
	forced      bool // whatever the CA said of when to come back
}

// sameTry is how close together failures are one try: certificates that were
// under way side by side when the subject began to fail.
const sameTry = time.Minute

// sourceOf is where a failure comes from: the block of a certificate (instances
// of for_each are "block.key") and the registered domains of its names. What
// one block does wrong for one domain is no evidence against what others use.
func sourceOf(certificate string, names []string) string {
	block, _, _ := strings.Cut(certificate, ".")
	return block + " " + strings.Join(text.SortedSet(ledger.Registered(names)), " ")
}

// Open tells whether the subject is held as a whole: it failed for breakAfter
// certificates of different sources. That an ACME account is refused is
// the CA's own word and needs to be heard once.
func (t *Circuit) Open() bool {
	return t != nil && len(t.sources) >= BreakAfter || t.OfAccount()
}

// OfAccount tells whether it is the issuer's ACME account that is refused.
func (t *Circuit) OfAccount() bool { return t != nil && t.owner == ledger.OwnerAccount }

// OpenFor tells whether the subject is held for a certificate: as a whole, or
// as breakAfter certificates of just its source have failed.
func (t *Circuit) OpenFor(certificate string, names []string) bool {
	if t.Open() || t.Count() < BreakAfter {
		return t.Open()
	}
	return len(t.sources) == 1 && t.sources[0] == sourceOf(certificate, names)
}

// Count is how many certificates it failed for.
func (t *Circuit) Count() int {
	if t == nil {
		return 0
	}
	return len(t.Certificates)
}

// ProbeAt is when the next certificate may try. deadline is the nearest expiry
// among those that wait.
func (t *Circuit) ProbeAt(s ledger.Subject, deadline time.Time) time.Time {
	return Backoff(string(s), t.Probes+2, t.Class, t.Last, t.until, deadline)
}

// Retried tells whether a person asked for this certificate to be tried, which
// makes it the next probe. The failure of any probe ends that: one retry, and
// as many as were asked for at once, is one probe at most.
func (t *Circuit) Retried(certificate string, now time.Time) bool {
	return slices.ContainsFunc(t.asked, func(a asked) bool {
		return a.certificate == certificate && (a.forced || t.Class != ledger.ClassRateLimited || !t.until.After(now))
	})
}

// MayBeMended tells whether a probe may go at once, as what the last one failed
// with is something else now.
func (t *Circuit) MayBeMended(now time.Time) bool {
	return t.Mends && (t.Class != ledger.ClassRateLimited || !t.until.After(now))
}

// Circuits reads from the events, oldest first, who is in trouble now. Their
// order is the ledger's, so that a retry counts by where it stands and not by
// the clock of the machine that it came from.
//
//	dns.a:  fail(x) fail(y) ok(z)                   no trouble: it works
//	dns.a:  fail(x) fail(y) fail(y) fail(z)         held: three certificates
//	dns.a:  fail(x) passed over for dns.b (y, z)    held too, though nothing failed for y and z
func Circuits(events []ledger.Event) map[ledger.Subject]*Circuit {
	found := map[ledger.Subject]*Circuit{}
	for _, e := range events {
		AddToCircuit(found, e)
	}
	return found
}

// AddToCircuit adds the next event to what is known. Plans and the gate of a pass
// both go by it, so that they never disagree about who is in trouble.
func AddToCircuit(found map[ledger.Subject]*Circuit, e ledger.Event) {
	if e.Operation == ledger.KindDoctor || e.Operation == ledger.KindProbe {
		return // a look held nobody up
	}
	for _, p := range e.PassedOver {
		if !p.Class.OfAccount() {
			continue // it does not hold the zone: the certificate's matter
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
		// The CA answered: its service is there.
		if t := found[ledger.IssuerSubject(e.Issuer)]; t != nil && t.Class == ledger.ClassCAUnavailable {
			delete(found, ledger.IssuerSubject(e.Issuer))
		}
	}
}

// Worked are the subjects that a success speaks for.
func Worked(e ledger.Event) []ledger.Subject {
	list := append(ledger.IssuerSubjects(e.Issuer, e.Names), ledger.AccountSubject(e.DNSAccount))
	for _, name := range e.DNSAccounts {
		if name != e.DNSAccount {
			list = append(list, ledger.AccountSubject(name))
		}
	}
	return list
}

// FailedAtIssuer is whom a failure of the issuer's speaks against: a rate limit
// that names a domain of the certificate is that domain's, any other is the
// account's or the whole CA's.
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
	// One that went before its turn, and failed, puts nobody else off.
	if early := held && e.Unscheduled; !early {
		if held && e.Time.Sub(t.Last) >= sameTry {
			t.Probes++
		}
		t.Last, t.Message, t.owner = e.Time, message, e.Owner
	}
	if name, ok := s.Account(); ok {
		t.credentials = e.Credentials[name]
	}
	// The wait after a first failure is short unless the CA said otherwise.
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

// Mended drops the troubles of DNS accounts that have other credentials now
// than when they failed.
func Mended(found map[ledger.Subject]*Circuit, now map[string]string) {
	for s, t := range found {
		if name, ok := s.Account(); ok && OtherCredentials(t.credentials, now[name]) {
			delete(found, s)
		}
	}
}

// OtherCredentials tells that one of an account's versions, joined by commas,
// is known to have changed. One with an "@" is of the machine before that, and
// says nothing of another machine's: two replicas with a copy each of one file
// would otherwise end each other's holds without end.
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
