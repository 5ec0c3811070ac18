package outbox

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec/text"
)

// NoticeKind classifies a notice.
type NoticeKind string

// The kinds of a notice, the most severe first.
const (
	NoticeTampered  NoticeKind = "tampered"  // another program changed certroll's secrets or ledger, or a revision fails its signature check
	NoticePaging    NoticeKind = "paging"    // the third failure in a row, or an endpoint serves an expired certificate
	NoticeExpiring  NoticeKind = "expiring"  // a certificate expires soon and is not renewed
	NoticeFailing   NoticeKind = "failing"   // the first failure in a row
	NoticeHeld      NoticeKind = "held"      // an action is due but waits, for a reason that a person can end
	NoticeProblem   NoticeKind = "problem"   // Git or Vault is unreachable, or a renewal will fail
	NoticeRefused   NoticeKind = "refused"   // a revision has errors
	NoticeRevoked   NoticeKind = "revoked"   // a certificate was revoked
	NoticeRecovered NoticeKind = "recovered" // a certificate has stopped failing
	NoticeResolved  NoticeKind = "resolved"  // a hold, rejection or problem is over
	NoticeIssued    NoticeKind = "issued"    // the first certificate, or one with other settings
	NoticeRenewed   NoticeKind = "renewed"   // any later certificate
)

// NoticeKinds lists all kinds, the most severe first.
var NoticeKinds = []NoticeKind{
	NoticeTampered, NoticePaging, NoticeExpiring, NoticeFailing, NoticeHeld, NoticeProblem, NoticeRefused, NoticeRevoked,
	NoticeRecovered, NoticeResolved, NoticeIssued, NoticeRenewed,
}

// UsualNotices returns the default kinds of a destination: all but routine successes.
func UsualNotices() []NoticeKind {
	return slices.DeleteFunc(slices.Clone(NoticeKinds), func(k NoticeKind) bool { return k == NoticeIssued || k == NoticeRenewed })
}

// Notice is one message candidate, made from one event.
type Notice struct {
	Kinds []NoticeKind // most severe first; a destination gets the first kind that it selects
	Event ledger.Event
	// Certificates are the certificates concerned, as far as the event names them.
	Certificates []string
	// Ends is the subject of a hold that this event ends, if that is not the event's own
	// certificate.
	Ends string
	// Foreseen is when the daily examination reported this problem; zero: it did not.
	Foreseen time.Time
}

// Bounds on the event in a notice. certroll's own events are smaller. Without the bounds,
// anyone who can push to the ledger could add an event that every receiver rejects.
// certroll would resend that message for ever, and deliver nothing after it.
const (
	MostEvent = 32 << 10 // bytes of the event in JSON
	mostWords = 4 << 10  // bytes of its message, and of its detail
	mostWord  = 300      // bytes of each field kept of a larger event
)

// newNotice makes a notice and cuts an oversized event down to its short fields.
func newNotice(kinds []NoticeKind, e ledger.Event) Notice {
	e.Message, e.Detail = text.Cut(e.Message, mostWords), text.Cut(e.Detail, mostWords)
	if b, err := json.Marshal(e); err != nil || len(b) > MostEvent {
		e = ledger.Event{
			Schema: e.Schema, ID: text.Cut(e.ID, mostWord), Time: e.Time, Operation: ledger.Kind(text.Cut(string(e.Operation), mostWord)),
			Certificate: text.Cut(e.Certificate, mostWord), Status: ledger.Status(text.Cut(string(e.Status), mostWord)), Reason: ledger.Reason(text.Cut(string(e.Reason), mostWord)),
			Class: ledger.Class(text.Cut(string(e.Class), mostWord)), Failures: e.Failures, Recovered: e.Recovered, Issuer: text.Cut(e.Issuer, mostWord),
			DNSAccount: text.Cut(e.DNSAccount, mostWord), Detail: "the event is larger than those that certroll writes: read it in the audit log and find out who wrote it",
		}
	}
	return Notice{Kinds: kinds, Event: e, Certificates: ledger.Concerned(&e)}
}

// Classifier reads events in the order of the ledger and returns notices. One problem
// gives one notice, however many events it has:
//
//	fail  fail  fail  fail  success     one certificate
//	failing     paging      recovered
//
//	held  held  held  success           a hold of many, one event per day
//	held              resolved
//
// A finding of an examination gives no notice if a certificate already fails for it.
type Classifier struct {
	Held     map[string]*OpenHold
	failed   map[string]ledger.Event // last failure, by certificate
	lastKind map[string]NoticeKind   // by certificate: kind of the last notice about its failures in a row
	hushed   map[string]bool         // problems without a notice
	gone     map[string]bool         // certificates with a notice about a deleted secret
	ahead    map[string]time.Time    // problems reported by an examination, by class, account and certificate
}

// OpenHold is a hold with a notice, not known to be over.
type OpenHold struct {
	last   time.Time
	event  ledger.Event
	paging bool // a certificate that it explains has a paging notice
}

// holdLasts is how long after its last event a hold counts as the same one. An open hold
// has one event per day, so that 36 hours allow for a late one.
const holdLasts = 36 * time.Hour

// lasts reports whether a hold at this time is the same one. An event from a fast clock,
// dated in the future, counts only until the clocks agree again.
func (o *OpenHold) lasts(at time.Time) bool { return at.Sub(o.last).Abs() < holdLasts }

// Notices returns the notices of the events from index fresh on. The earlier events
// provide the state; they need to reach back only as far as a hold lasts.
func Notices(events []ledger.Event, fresh int) []Notice {
	h := &Classifier{Held: map[string]*OpenHold{}, failed: map[string]ledger.Event{}, lastKind: map[string]NoticeKind{}, hushed: map[string]bool{}, gone: map[string]bool{}, ahead: map[string]time.Time{}}
	var notices []Notice
	for i, e := range events {
		n := h.read(e)
		if i >= fresh {
			notices = append(notices, n...)
		}
	}
	return notices
}

// read updates the state by one event and returns its notices.
func (h *Classifier) read(e ledger.Event) []Notice {
	var notices []Notice
	if kinds := h.kinds(e); len(kinds) > 0 {
		n := newNotice(kinds, e)
		n.Foreseen = h.foreseen(e)
		notices = append(notices, n)
	}
	if e.Status != ledger.Success || !e.Operation.Orders() {
		return notices
	}
	for _, s := range throttle.Worked(e) {
		if o := h.Held[string(s)]; o != nil {
			delete(h.Held, string(s))
			// A success ends the breaker of the issuers and accounts that it used.
			if o.event.Reason == ledger.ReasonBreaker && o.lasts(e.Time) {
				n := newNotice([]NoticeKind{NoticeResolved}, e)
				n.Certificates, n.Ends = newNotice(nil, o.event).Certificates, text.Cut(string(s), mostWord)
				notices = append(notices, n)
			}
		}
	}
	return notices
}

// kinds returns the kinds of an event's notice; none for most events.
func (h *Classifier) kinds(e ledger.Event) []NoticeKind {
	failed := e.Status == ledger.Failed || e.Status == ledger.Denied
	switch e.Operation {
	case ledger.KindRetry:
		return nil
	case ledger.KindHold:
		return h.OfHold(e)
	case ledger.KindConfig:
		if e.Reason == ledger.ReasonAccepted && e.Subject != "" { // the brake's held changes
			return h.OfHold(e)
		}
		return configKinds(e)
	case ledger.KindPass, ledger.KindDoctor, ledger.KindProbe:
		return h.problem(e, failed)
	}
	if e.Operation == ledger.KindNote && e.Reason == ledger.ReasonRevoked {
		if failed {
			return []NoticeKind{NoticePaging, NoticeRevoked}
		}
		return []NoticeKind{NoticeResolved}
	}
	if e.Operation == ledger.KindNote && e.Reason == ledger.ReasonDeleted && failed {
		h.gone[e.Certificate] = true
		return []NoticeKind{NoticeTampered, NoticePaging}
	}
	if failed {
		// problem compares an examination's findings with these failures.
		h.failed[e.Certificate] = e
	} else if e.Recovered > 0 { // a success such as new renewal information ends no failure
		delete(h.failed, e.Certificate)
		delete(h.lastKind, e.Certificate)
	}
	switch {
	case e.Reason == ledger.ReasonRewound:
		return []NoticeKind{NoticeTampered}
	case archive.IsLedgerAccepted(&e):
		return []NoticeKind{NoticeResolved}
	case failed:
		return h.failing(e)
	case e.Reason == ledger.ReasonExpiring:
		return []NoticeKind{NoticeExpiring}
	case e.Status == ledger.Held:
		return []NoticeKind{NoticeHeld}
	default:
		return h.succeeded(e)
	}
}

// succeeded returns the kinds of a success. A restored secret resolves the notice of its
// deletion.
func (h *Classifier) succeeded(e ledger.Event) []NoticeKind {
	kinds := successKinds(e)
	if h.gone[e.Certificate] && (e.Operation.Orders() || e.Reason == ledger.ReasonBehind) {
		delete(h.gone, e.Certificate)
		kinds = slices.DeleteFunc(kinds, func(k NoticeKind) bool { return k == NoticeTampered })
		kinds = append([]NoticeKind{NoticeResolved}, kinds...)
	}
	return kinds
}

// problem returns the kinds for a problem that came or went. It stays quiet if a
// certificate fails for the same reason.
func (h *Classifier) problem(e ledger.Event, came bool) []NoticeKind {
	key := strings.Join(append([]string{string(e.Class), e.DNSAccount}, ledger.Concerned(&e)...), "\x00")
	hush := came && e.Operation == ledger.KindDoctor && h.fails(e)
	for _, k := range aheadKeys(e) {
		if delete(h.ahead, k); came && !hush && e.Operation == ledger.KindDoctor {
			h.ahead[k] = e.Time
		}
	}
	switch {
	case hush:
		h.hushed[key] = true
		return nil
	case came && e.Severity == ledger.SeverityPage:
		return []NoticeKind{NoticePaging, NoticeProblem}
	case came:
		return []NoticeKind{NoticeProblem}
	case h.hushed[key]:
		delete(h.hushed, key)
		return nil
	}
	return []NoticeKind{NoticeResolved}
}

// aheadKeys returns the keys of a problem reported ahead of time: its DNS account if the
// account causes it, otherwise each certificate.
func aheadKeys(e ledger.Event) []string {
	account, ofSubject := ledger.Subject(e.Subject).Account()
	if !ofSubject {
		account = e.DNSAccount
	}
	if e.Class.OfAccount() && account != "" {
		return []string{string(e.Class) + "\x00" + account}
	}
	var keys []string
	for _, name := range ledger.Concerned(&e) {
		keys = append(keys, string(e.Class)+"\x00\x00"+name)
	}
	return keys
}

// foreseen returns when an examination reported the cause of a failure or hold; zero:
// never.
func (h *Classifier) foreseen(e ledger.Event) time.Time {
	if e.Class == "" || e.Operation == ledger.KindDoctor || e.Operation == ledger.KindProbe || e.Status == ledger.Success {
		return time.Time{}
	}
	for _, k := range aheadKeys(e) {
		if at := h.ahead[k]; !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// fails reports whether one of a problem's certificates already fails for it.
func (h *Classifier) fails(e ledger.Event) bool {
	return slices.ContainsFunc(ledger.Concerned(&e), func(name string) bool {
		f, ok := h.failed[name]
		return ok && f.Class == e.Class && f.DNSAccount == e.DNSAccount
	})
}

// configKinds returns the kinds of an event about a revision.
func configKinds(e ledger.Event) []NoticeKind {
	switch {
	case e.Status == ledger.Denied:
		return []NoticeKind{NoticeTampered}
	case e.Status == ledger.Failed:
		return []NoticeKind{NoticeRefused}
	case e.Reason == ledger.ReasonTaken:
		return []NoticeKind{NoticeResolved}
	}
	return nil
}

// successKinds returns the kinds of a successful action; several if it is news in several
// ways.
func successKinds(e ledger.Event) []NoticeKind {
	var kinds []NoticeKind
	if e.Reason == ledger.ReasonDrifted || e.Reason == ledger.ReasonLeftAlone || e.Reason == ledger.ReasonDeleted {
		kinds = append(kinds, NoticeTampered)
	}
	if e.Revoked != "" {
		kinds = append(kinds, NoticeRevoked)
	}
	if e.LeftBehind != "" {
		kinds = append(kinds, NoticeProblem)
	}
	if e.Recovered > 0 {
		kinds = append(kinds, NoticeRecovered)
	}
	switch e.Operation {
	case ledger.KindIssue, ledger.KindReissue:
		kinds = append(kinds, NoticeIssued)
	case ledger.KindRenew, ledger.KindRotate:
		kinds = append(kinds, NoticeRenewed)
	}
	return kinds
}

// OfHold returns the kinds of a hold, unless the same hold had an event within holdLasts.
func (h *Classifier) OfHold(e ledger.Event) []NoticeKind {
	if e.Status == ledger.Success {
		if h.Held[holdKey(e)] == nil {
			return nil
		}
		delete(h.Held, holdKey(e))
		return []NoticeKind{NoticeResolved}
	}
	o := h.Held[holdKey(e)]
	if o != nil && o.lasts(e.Time) {
		o.last = e.Time
		return nil
	}
	h.Held[holdKey(e)] = &OpenHold{last: e.Time, event: e}
	if e.Reason == ledger.ReasonUndone {
		return []NoticeKind{NoticeTampered, NoticePaging, NoticeHeld}
	}
	if e.Severity == ledger.SeverityPage {
		return []NoticeKind{NoticePaging, NoticeHeld}
	}
	return []NoticeKind{NoticeHeld}
}

// holdKey identifies a hold. An unreadable place is another problem if it concerns other
// certificates.
func holdKey(e ledger.Event) string {
	switch {
	case e.Subject == "":
		return e.ID
	case e.Reason == ledger.ReasonUnreadable:
		return e.Subject + "\x00" + e.Certificate + strings.Join(e.Certificates, "\x00")
	default:
		return e.Subject
	}
}

// failing returns a kind for the first failure in a row, and for the one that pages. If a
// hold of the issuer or DNS account explains the failures, the notice of that hold and
// the first paging one stand for all. A certificate that fails on for a reason of its own
// gets its notice then.
func (h *Classifier) failing(e ledger.Event) []NoticeKind {
	kind := NoticeFailing
	switch {
	case e.Failures < 1:
		return nil
	case e.Failures == 1:
		delete(h.lastKind, e.Certificate)
	case e.Failures >= ledger.PageAfter:
		kind = NoticePaging
	}
	if was := h.lastKind[e.Certificate]; was == kind || was == NoticePaging {
		return nil
	}
	if hold := h.explained(e); hold != nil {
		if kind != NoticePaging || hold.paging {
			return nil
		}
		hold.paging = true
	}
	h.lastKind[e.Certificate] = kind
	return []NoticeKind{kind}
}

// explained returns the open hold that explains a failure; nil if the failure is the
// certificate's own.
func (h *Classifier) explained(e ledger.Event) *OpenHold {
	for _, s := range blamed(e) {
		if o := h.Held[string(s)]; o != nil && o.lasts(e.Time) {
			return o
		}
	}
	return nil
}

// blamed returns the issuer or DNS account that a failure blames, if any.
func blamed(e ledger.Event) []ledger.Subject {
	switch {
	case e.Class.OfAccount() && e.DNSAccount != "":
		return []ledger.Subject{ledger.AccountSubject(e.DNSAccount)}
	case e.Class.OfIssuer() && e.Issuer != "":
		return throttle.FailedAtIssuer(e)
	}
	return nil
}
