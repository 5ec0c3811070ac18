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

// NoticeKind says what a person is told of.
type NoticeKind string

// The kinds of a notice, the worst first.
const (
	NoticeTampered  NoticeKind = "tampered"  // somebody else changed what is certroll's, or was to be signed
	NoticePaging    NoticeKind = "paging"    // the third failure in a row, or what is served has expired
	NoticeExpiring  NoticeKind = "expiring"  // it expires soon, and is not renewed
	NoticeFailing   NoticeKind = "failing"   // the first failure in a row
	NoticeHeld      NoticeKind = "held"      // what is due waits, for a reason that a person may end
	NoticeProblem   NoticeKind = "problem"   // Git or Vault is away, or a renewal will fail
	NoticeRefused   NoticeKind = "refused"   // a revision has mistakes
	NoticeRevoked   NoticeKind = "revoked"   // a certificate was revoked
	NoticeRecovered NoticeKind = "recovered" // a certificate has stopped failing
	NoticeResolved  NoticeKind = "resolved"  // what held, was refused or was a problem is over
	NoticeIssued    NoticeKind = "issued"    // the first certificate, or one by other settings
	NoticeRenewed   NoticeKind = "renewed"   // the next one
)

// NoticeKinds are all of them, the worst first.
var NoticeKinds = []NoticeKind{
	NoticeTampered, NoticePaging, NoticeExpiring, NoticeFailing, NoticeHeld, NoticeProblem, NoticeRefused, NoticeRevoked,
	NoticeRecovered, NoticeResolved, NoticeIssued, NoticeRenewed,
}

// UsualNotices are those that a destination gets unless it says otherwise: all
// but what goes well by itself.
func UsualNotices() []NoticeKind {
	return slices.DeleteFunc(slices.Clone(NoticeKinds), func(k NoticeKind) bool { return k == NoticeIssued || k == NoticeRenewed })
}

// Notice is one thing that a person may be told of.
type Notice struct {
	Kinds []NoticeKind // what it is; a destination is told of the first that it asks for
	Event ledger.Event
	// Certificates are those that it is about, as far as the event names them.
	Certificates []string
	// Ends is what is over by the event, where that is not the event's own
	// certificate: the subject of a hold.
	Ends string
	// Foreseen is when the daily examination told of the problem that this is; zero:
	// it did not.
	Foreseen time.Time
}

// What a notice carries of an event at most. What certroll writes is smaller;
// whoever may push to the ledger could else put an event there that no receiver
// takes, which is then sent for ever, and nothing after it.
const (
	MostEvent = 32 << 10 // bytes of it in JSON
	mostWords = 4 << 10  // of its message and of its detail
	mostWord  = 300      // of the fields of one that is larger
)

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

// Classifier reads events in the order of the ledger and says what is to be told.
// One problem is one notice, however often the ledger is told of it:
//
//	fail  fail  fail  fail  success     certificate
//	failing     paging      recovered
//
//	held  held  held  success           what holds many, once a day
//	held              resolved
//
// What an examination finds of which a certificate fails already is no other
// problem.
type Classifier struct {
	Held   map[string]*OpenHold
	failed map[string]ledger.Event // by certificate, its last failure
	told   map[string]NoticeKind   // by certificate, as what its failures in a row were told last
	hushed map[string]bool         // problems that were not told
	gone   map[string]bool         // certificates whose secrets were told as deleted
	ahead  map[string]time.Time    // problems that an examination told of, by class, account and certificate
}

// OpenHold is a hold that was told and is not known to be over.
type OpenHold struct {
	last   time.Time
	event  ledger.Event
	paging bool // a certificate that it explains has been told as paging
}

// holdLasts is how long after it was told last a hold is taken for the same: it
// is told once a day.
const holdLasts = 36 * time.Hour

// lasts tells whether it is taken for the same at a moment. One that a clock
// which ran ahead has told is not for as long as the clock was ahead.
func (o *OpenHold) lasts(at time.Time) bool { return at.Sub(o.last).Abs() < holdLasts }

// Notices are what events from index fresh on are to be told as. Those before
// say what is known already; they need not reach back further than a hold lasts.
func Notices(events []ledger.Event, fresh int) []Notice {
	h := &Classifier{Held: map[string]*OpenHold{}, failed: map[string]ledger.Event{}, told: map[string]NoticeKind{}, hushed: map[string]bool{}, gone: map[string]bool{}, ahead: map[string]time.Time{}}
	var told []Notice
	for i, e := range events {
		n := h.read(e)
		if i >= fresh {
			told = append(told, n...)
		}
	}
	return told
}

func (h *Classifier) read(e ledger.Event) []Notice {
	var told []Notice
	if kinds := h.kinds(e); len(kinds) > 0 {
		n := newNotice(kinds, e)
		n.Foreseen = h.foreseen(e)
		told = append(told, n)
	}
	if e.Status != ledger.Success || !e.Operation.Orders() {
		return told
	}
	for _, s := range throttle.Worked(e) {
		if o := h.Held[string(s)]; o != nil {
			delete(h.Held, string(s))
			if o.event.Reason == ledger.ReasonBreaker && o.lasts(e.Time) {
				n := newNotice([]NoticeKind{NoticeResolved}, e)
				n.Certificates, n.Ends = newNotice(nil, o.event).Certificates, text.Cut(string(s), mostWord)
				told = append(told, n)
			}
		}
	}
	return told
}

// kinds is what an event is told as; nothing for most.
func (h *Classifier) kinds(e ledger.Event) []NoticeKind {
	failed := e.Status == ledger.Failed || e.Status == ledger.Denied
	switch e.Operation {
	case ledger.KindRetry:
		return nil
	case ledger.KindHold:
		return h.Holds(e)
	case ledger.KindConfig:
		if e.Reason == ledger.ReasonAccepted && e.Subject != "" { // what the brake held
			return h.Holds(e)
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
		h.failed[e.Certificate] = e
	} else if e.Recovered > 0 { // what the CA suggests, say, is a success that ends no failure
		delete(h.failed, e.Certificate)
		delete(h.told, e.Certificate)
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

// succeeded is what a success is told as. That a secret is there again ends what was
// told when it was deleted.
func (h *Classifier) succeeded(e ledger.Event) []NoticeKind {
	kinds := successKinds(e)
	if h.gone[e.Certificate] && (e.Operation.Orders() || e.Reason == ledger.ReasonBehind) {
		delete(h.gone, e.Certificate)
		kinds = slices.DeleteFunc(kinds, func(k NoticeKind) bool { return k == NoticeTampered })
		kinds = append([]NoticeKind{NoticeResolved}, kinds...)
	}
	return kinds
}

// problem tells that one came or is gone, unless a certificate fails of it.
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

// aheadKeys are by what a problem that was told ahead is known again: the account of
// those that are an account's, else each certificate.
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

// foreseen is when an examination told of what a failure or a hold is of.
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

// fails tells whether one of the certificates of a problem fails in that way.
func (h *Classifier) fails(e ledger.Event) bool {
	return slices.ContainsFunc(ledger.Concerned(&e), func(name string) bool {
		f, ok := h.failed[name]
		return ok && f.Class == e.Class && f.DNSAccount == e.DNSAccount
	})
}

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

// Holds tells of a hold unless the same was told a day ago.
func (h *Classifier) Holds(e ledger.Event) []NoticeKind {
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

// holdKey is by what a hold is known again. What cannot be looked at is another
// problem where it is other certificates.
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

// failing tells of the first failure in a row, and of the one at which a person
// is to be woken. Where the issuer or the DNS account is held for many, that was
// told, and so is the first of those that then page; of what goes on to fail for
// a reason of its own it is told then.
func (h *Classifier) failing(e ledger.Event) []NoticeKind {
	kind := NoticeFailing
	switch {
	case e.Failures < 1:
		return nil
	case e.Failures == 1:
		delete(h.told, e.Certificate)
	case e.Failures >= ledger.PageAfter:
		kind = NoticePaging
	}
	if was := h.told[e.Certificate]; was == kind || was == NoticePaging {
		return nil
	}
	if hold := h.explained(e); hold != nil {
		if kind != NoticePaging || hold.paging {
			return nil
		}
		hold.paging = true
	}
	h.told[e.Certificate] = kind
	return []NoticeKind{kind}
}

// explained is the hold that a failure is of; nil where it is the certificate's
// own.
func (h *Classifier) explained(e ledger.Event) *OpenHold {
	for _, s := range blamed(e) {
		if o := h.Held[string(s)]; o != nil && o.lasts(e.Time) {
			return o
		}
	}
	return nil
}

// blamed are the issuer or the DNS account that a failure is of, if it is.
func blamed(e ledger.Event) []ledger.Subject {
	switch {
	case e.Class.OfAccount() && e.DNSAccount != "":
		return []ledger.Subject{ledger.AccountSubject(e.DNSAccount)}
	case e.Class.OfIssuer() && e.Issuer != "":
		return throttle.FailedAtIssuer(e)
	}
	return nil
}
