package reconcile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"certroll/spec"
)

// breakAfter is how many certificates in a row an issuer or a DNS account
// fails for until it is held as a whole: one problem is not hundreds.
const breakAfter = 3

// askedSubjects are what an action has to do with besides its DNS accounts.
func askedSubjects(a *Action) []subject { return issuerSubjects(a.Issuer.Name, a.Spec.Names()) }

// known are the troubles that there are now.
func known(desired *spec.Spec, obs *Observed, history []Event) map[subject]*trouble {
	found, z := map[subject]*trouble{}, zonedBy(desired)
	for _, e := range history {
		addTrouble(found, z.fair(e))
	}
	mended(found, obs.Credentials)
	return found
}

// trouble is a run of equal failures of one subject, with no success since.
type trouble struct {
	class        Class
	message      string    // of the last one
	first, last  time.Time // failures
	certificates []string  // that failed, each once
	sources      []string  // of them, each once, see sourceOf
	owner        Owner     // of the last one
	probes       int       // that failed since it is held
	by           string    // the certificate of the last one
	until        time.Time // the other side's own word, zero where it gave none
	credentials  string    // of a DNS account: their versions at the last failure; "": not known
	asked        []asked   // by a person to try again since the last failure
	mends        bool      // what the last one failed with is something else now, in this plan
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
	return block + " " + strings.Join(sortedSet(registered(names)), " ")
}

// open tells whether the subject is held as a whole: it failed for breakAfter
// certificates of different sources. That an ACME account is refused is
// the CA's own word and needs to be heard once.
func (t *trouble) open() bool {
	return t != nil && len(t.sources) >= breakAfter || t.ofAccount()
}

// ofAccount tells whether it is the issuer's ACME account that is refused.
func (t *trouble) ofAccount() bool { return t != nil && t.owner == OwnerAccount }

// openFor tells whether the subject is held for a certificate: as a whole, or
// as breakAfter certificates of just its source have failed.
func (t *trouble) openFor(certificate string, names []string) bool {
	if t.open() || t.count() < breakAfter {
		return t.open()
	}
	return len(t.sources) == 1 && t.sources[0] == sourceOf(certificate, names)
}

// holdsAction tells whether the subject is held for this action.
func holdsAction(t *trouble, a *Action) bool { return t.openFor(a.Certificate, a.Spec.Names()) }

// count is how many certificates it failed for.
func (t *trouble) count() int {
	if t == nil {
		return 0
	}
	return len(t.certificates)
}

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

// mayBeMended tells whether a probe may go at once, as what the last one failed
// with is something else now.
func (t *trouble) mayBeMended(now time.Time) bool {
	return t.mends && (t.class != ClassRateLimited || !t.until.After(now))
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
		addTrouble(found, e)
	}
	return found
}

// addTrouble adds the next event to what is known. Plans and the gate of a pass
// both go by it, so that they never disagree about who is in trouble.
func addTrouble(found map[subject]*trouble, e Event) {
	if e.Operation == KindDoctor || e.Operation == KindProbe {
		return // a look held nobody up
	}
	for _, p := range e.PassedOver {
		if !p.Class.ofAccount() {
			continue // it does not hold the zone: the certificate's matter
		}
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
	case e.Status == Failed && e.Owner == OwnerAccount && e.Issuer != "":
		blame(found, issuerSubject(e.Issuer), e, e.Class, e.Message)
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

// worked are the subjects that a success speaks for.
func worked(e Event) []subject {
	list := append(issuerSubjects(e.Issuer, e.Names), accountSubject(e.DNSAccount))
	for _, name := range e.DNSAccounts {
		if name != e.DNSAccount {
			list = append(list, accountSubject(name))
		}
	}
	return list
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
	held := t.count() >= breakAfter || t.open()
	t.by, t.asked = e.Certificate, nil
	// One that went before its turn, and failed, puts nobody else off.
	if early := held && e.Unscheduled; !early {
		if held && e.Time.Sub(t.last) >= sameTry {
			t.probes++
		}
		t.last, t.message, t.owner = e.Time, message, e.Owner
	}
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
	if source := sourceOf(e.Certificate, e.Names); !slices.Contains(t.sources, source) {
		t.sources = append(t.sources, source)
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

// mayBeMended lets a trouble be probed at once where the certificate that met it
// last goes on before its own hold has ended: what it failed with is something
// else now, which may be the cure. The end of a rate limit stands.
func mayBeMended(found map[subject]*trouble, asking []*Action, now time.Time) {
	for _, a := range asking {
		r := a.Record
		if r == nil || r.Hold == nil || !r.Hold.Until.After(now) || r.LastFailure == nil || !r.LastFailure.Operation.Orders() || r.LastFailure.Issuer != a.Issuer.Name {
			continue
		}
		subjects := askedSubjects(a)
		for _, name := range a.serving() {
			subjects = append(subjects, accountSubject(name))
		}
		for _, s := range subjects {
			if t := found[s]; t != nil && t.by == a.Certificate {
				t.mends = true
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

// deadlineOf is when an action has to be done: when what is live expires.
// What was never there is taken to be wanted within some days, so that a
// thousand new certificates do not starve one that is about to expire.
func deadlineOf(a *Action, now time.Time) time.Time {
	if l := a.Secret.Live; l != nil && a.Secret.Owner == a.Certificate && a.Secret.Readable {
		return l.renewalEnd()
	}
	return now.Add(3 * day)
}

// byDeadline orders actions by urgency.
func byDeadline(now time.Time) func(a, b *Action) int {
	return func(a, b *Action) int {
		return cmp.Or(deadlineOf(a, now).Compare(deadlineOf(b, now)), cmp.Compare(a.Certificate, b.Certificate))
	}
}
