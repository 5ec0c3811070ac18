package reconcile

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// breakAfter is how many certificates in a row an issuer or a DNS account
// fails for until it is held as a whole: one problem is not hundreds.
const breakAfter = 3

// subject is what can be in trouble for many certificates at once:
// "issuer.NAME" or "dns.NAME".
type subject string

func issuerSubject(name string) subject  { return subject("issuer." + name) }
func accountSubject(name string) subject { return subject("dns." + name) }

// unreadableSubject is all that certificates have in Vault and nobody can look
// at: it is mostly one policy that leaves them out.
const unreadableSubject subject = "unreadable"

// limitSubject is a registered domain at an issuer. Most limits of a CA are
// about names: when they are spent others may still be issued for.
func limitSubject(issuer, domain string) subject {
	return subject("issuer." + issuer + " for " + domain)
}

// askedSubjects are what an action has to do with besides its DNS accounts.
func askedSubjects(a *Action) []subject { return issuerSubjects(a.Issuer.Name, a.Spec.Names()) }

// issuerSubjects are an issuer, and its limits on the domains of names.
func issuerSubjects(issuer string, names []string) []subject {
	list := []subject{issuerSubject(issuer)}
	for _, d := range registered(names) {
		list = append(list, limitSubject(issuer, d))
	}
	return list
}

// known are the troubles that there are now.
func known(obs *Observed, history []Event) map[subject]*trouble {
	found := troubles(history)
	mended(found, obs.Credentials)
	return found
}

// account is the DNS account that the subject is, if it is one.
func (s subject) account() (name string, ok bool) { return strings.CutPrefix(string(s), "dns.") }

// trouble is a run of equal failures of one subject, with no success since.
type trouble struct {
	class        Class
	message      string    // of the last one
	first, last  time.Time // failures
	certificates []string  // that failed, each once
	probes       int       // that failed since it is held
	by           string    // the certificate of the last one
	until        time.Time // the other side's own word, zero where it gave none
	credentials  string    // of a DNS account: their versions at the last failure; "": not known
	asked        []asked   // by a person to try again since the last failure
}

// asked is a certificate that a person wants tried again at once.
type asked struct {
	certificate string
	forced      bool // whatever the CA said of when to come back
}

// sameTry is how close together failures are one try: certificates that were
// under way side by side when the subject began to fail.
const sameTry = time.Minute

// open tells whether the subject is held as a whole.
func (t *trouble) open() bool { return t != nil && len(t.certificates) >= breakAfter }

// probeAt is when the next certificate may try. deadline is the nearest expiry
// among those that wait.
func (t *trouble) probeAt(s subject, deadline time.Time) time.Time {
	return backoff(string(s), t.probes+2, t.class, t.last, t.until, deadline)
}

// retried tells whether a person asked for this certificate to be tried, which
// makes it the next probe. The failure of any probe ends that: one retry, and
// as many as were asked for at once, is one probe at most.
func (t *trouble) retried(certificate string, now time.Time) bool {
	return slices.ContainsFunc(t.asked, func(a asked) bool {
		return a.certificate == certificate && (a.forced || t.class != ClassRateLimited || !t.until.After(now))
	})
}

// troubles reads from the events, oldest first, who is in trouble now. Their
// order is the ledger's, so that a retry counts by where it stands and not by
// the clock of the machine that it came from.
//
//	dns.a:  fail(x) fail(y) ok(z)                   no trouble: it works
//	dns.a:  fail(x) fail(y) fail(y) fail(z)         held: three certificates
//	dns.a:  fail(x) passed over for dns.b (y, z)    held too, though nothing failed for y and z
func troubles(events []Event) map[subject]*trouble {
	found := map[subject]*trouble{}
	for _, e := range events {
		if e.Operation == KindDoctor || e.Operation == KindProbe {
			continue // a look held nobody up
		}
		for _, p := range e.PassedOver {
			blame(found, accountSubject(p.Account), e, p.Class, p.Message)
		}
		switch {
		case e.Operation == KindRetry:
			for _, t := range found {
				t.asked = append(t.asked, asked{e.Certificate, e.Forced})
			}
		case e.Status == Success && e.Operation.Orders():
			for _, s := range worked(e) {
				delete(found, s)
			}
		case e.Status == Failed && e.Class.ofAccount() && e.DNSAccount != "":
			blame(found, accountSubject(e.DNSAccount), e, e.Class, e.Message)
		case e.Status == Failed && e.Class.ofIssuer() && e.Issuer != "":
			for _, s := range failedAtIssuer(e) {
				blame(found, s, e, e.Class, e.Message)
			}
		case e.Status == Failed && e.Operation.Orders() && e.Class == ClassValidation:
			// The CA answered: its service is there.
			if t := found[issuerSubject(e.Issuer)]; t != nil && t.class == ClassCAUnavailable {
				delete(found, issuerSubject(e.Issuer))
			}
		}
	}
	return found
}

// worked are the subjects that a success speaks for.
func worked(e Event) []subject {
	return append(issuerSubjects(e.Issuer, e.Names), accountSubject(e.DNSAccount))
}

// failedAtIssuer is whom a failure of the issuer's speaks against: a rate limit
// that names a domain of the certificate is that domain's, any other is the
// account's or the whole CA's.
func failedAtIssuer(e Event) []subject {
	var list []subject
	if e.Class == ClassRateLimited {
		for _, d := range registered(e.Names) {
			if strings.Contains(e.Message, d) {
				list = append(list, limitSubject(e.Issuer, d))
			}
		}
	}
	if len(list) == 0 {
		list = append(list, issuerSubject(e.Issuer))
	}
	return list
}

func blame(found map[subject]*trouble, s subject, e Event, class Class, message string) {
	t := found[s]
	if t == nil || t.class != class {
		t = &trouble{class: class, first: e.Time}
		found[s] = t
	}
	if t.open() && e.Time.Sub(t.last) >= sameTry {
		t.probes++
	}
	t.last, t.message, t.by, t.asked = e.Time, message, e.Certificate, nil
	if name, ok := s.account(); ok {
		t.credentials = e.Credentials[name]
	}
	// The wait after a first failure is short unless the CA said otherwise.
	if e.HoldUntil != nil && (class == ClassRateLimited || class == ClassCAUnavailable && e.Failures == 1) && e.HoldUntil.After(t.until) {
		t.until = *e.HoldUntil
	}
	if !slices.Contains(t.certificates, e.Certificate) {
		t.certificates = append(t.certificates, e.Certificate)
	}
}

// mended drops the troubles of DNS accounts that have other credentials now
// than when they failed.
func mended(found map[subject]*trouble, now map[string]string) {
	for s, t := range found {
		if name, ok := s.account(); ok && otherCredentials(t.credentials, now[name]) {
			delete(found, s)
		}
	}
}

// mayBeMended lets a trouble be probed at once where the certificate that met
// it last goes on before its own hold has ended: what it failed with is
// something else now, which may be the cure. The end of a rate limit stands.
func mayBeMended(found map[subject]*trouble, asking []*Action, now time.Time) {
	for _, a := range asking {
		r := a.Record
		if r == nil || r.Hold == nil || !r.Hold.Until.After(now) || r.LastFailure == nil || !r.LastFailure.Operation.Orders() || r.LastFailure.Issuer != a.Issuer.Name {
			continue
		}
		subjects := askedSubjects(a)
		for _, name := range a.Spec.DNS {
			subjects = append(subjects, accountSubject(name))
		}
		for _, s := range subjects {
			if t := found[s]; t != nil && t.by == a.Certificate {
				t.last = time.Time{}
				if t.class != ClassRateLimited {
					t.until = time.Time{}
				}
			}
		}
	}
}

// otherCredentials tells that one of an account's versions, joined by commas,
// is known to have changed. One with an "@" is of the machine before that, and
// says nothing of another machine's: two replicas with a copy each of one file
// would otherwise end each other's holds without end.
func otherCredentials(was, is string) bool {
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

// ofAccount tells whether a failure of this class is the DNS account's, and
// not the certificate's.
func (c Class) ofAccount() bool { return c == ClassDNSUnauthorized || c == ClassDNSUnavailable }

// ofIssuer tells whether a failure of this class is the issuer's.
func (c Class) ofIssuer() bool { return c == ClassCAUnavailable || c == ClassRateLimited }

// deadlineOf is when an action has to be done: when what is live expires.
// What was never there is taken to be wanted within some days, so that a
// thousand new certificates do not starve one that is about to expire.
func deadlineOf(a *Action, now time.Time) time.Time {
	if l := a.Secret.Live; l != nil && a.Secret.Owner == a.Certificate && a.Secret.Readable {
		return l.NotAfter
	}
	return now.Add(3 * day)
}

// byDeadline orders actions by urgency.
func byDeadline(now time.Time) func(a, b *Action) int {
	return func(a, b *Action) int {
		return cmp.Or(deadlineOf(a, now).Compare(deadlineOf(b, now)), cmp.Compare(a.Certificate, b.Certificate))
	}
}
