package notification

import (
	"cmp"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
	"certroll/spec/text"
)

// subjectOf returns one line: the certificate and its problem.
func subjectOf(b outbox.Notification, names []string, now time.Time) string {
	e := b.Notices[0].Event
	if b.Kind == outbox.NoticeDigest {
		return "certroll: " + text.Counted(len(b.Notices), "notice") + ": " + kindCounts(b.Notices)
	}
	return "certroll: " + text.Clip(text.Line(headOf(b.Kind, b.Notices[0], who(names), b.Records, now)), 200) + classText(b.Kind, e)
}

// who names the certificate, or gives the number of certificates.
func who(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return text.Counted(len(names), "certificate")
	}
}

func classText(kind outbox.NoticeKind, e ledger.Event) string {
	if e.Class == "" || e.Operation == ledger.KindPass || kind != outbox.NoticeFailing && kind != outbox.NoticePaging && kind != outbox.NoticeProblem {
		return ""
	}
	return " (" + string(e.Class) + ")"
}

// headOf summarizes a notice of one kind: the cause and its extent.
func headOf(kind outbox.NoticeKind, n outbox.Notice, who string, records map[string]*ledger.Record, now time.Time) string {
	e, of := n.Event, ""
	if who != "" {
		of = " of " + who
	}
	switch kind {
	case outbox.NoticeTampered:
		return tamperedHead(e, who)
	case outbox.NoticePaging:
		return pagingHead(e, who)
	case outbox.NoticeExpiring:
		return who + " " + expires(n, records, now) + " and is not renewed"
	case outbox.NoticeFailing:
		return failedHead(e, who, "failed")
	case outbox.NoticeHeld:
		return heldHead(n, who)
	case outbox.NoticeProblem:
		return problemHead(n, of)
	case outbox.NoticeRefused:
		return "a revision has mistakes and was refused"
	case outbox.NoticeRevoked:
		return "a certificate" + of + " was revoked"
	case outbox.NoticeRecovered:
		return who + recoveredText(e)
	case outbox.NoticeResolved:
		return resolvedHead(n, of)
	case outbox.NoticeIssued:
		return who + " issued"
	case outbox.NoticeRenewed:
		return who + " renewed"
	}
	return string(kind)
}

// accountFaults describes an issuer's or DNS account's failure by class.
var accountFaults = map[ledger.Class]string{
	ledger.ClassDNSUnauthorized: "refuses certroll's credentials",
	ledger.ClassDNSUnavailable:  "does not answer",
	ledger.ClassCAUnavailable:   "does not answer",
	ledger.ClassRateLimited:     "refuses more orders for now",
}

// accountFault describes the failure of an event's issuer or DNS account; "" if the
// event is about neither.
func accountFault(e ledger.Event) string {
	words := accountFaults[e.Class]
	account, isDNS := strings.CutPrefix(e.Subject, "dns.")
	issuer, isIssuer := strings.CutPrefix(e.Subject, "issuer.")
	ofDNS := strings.HasPrefix(string(e.Class), "dns_")
	switch {
	case isDNS:
		return "DNS account " + account + " " + cmp.Or(words, "fails")
	case isIssuer && e.Reason == ledger.ReasonLimit:
		return "a rate limit of issuer " + issuer + " is reached"
	case isIssuer:
		return "issuer " + issuer + " " + cmp.Or(words, "fails")
	case words != "" && ofDNS && e.DNSAccount != "":
		return "DNS account " + e.DNSAccount + " " + words
	case words != "" && !ofDNS && e.Issuer != "":
		return "issuer " + e.Issuer + " " + words
	}
	return ""
}

// because returns the last clause of the upstream's message, after a colon.
func because(e ledger.Event) string {
	if cause := ledger.Cause(e.Message); cause != "" {
		return ": " + cause
	}
	return ""
}

// failedHead names the failed account, or else quotes the upstream.
func failedHead(e ledger.Event, who, what string) string {
	if fault := accountFault(e); fault != "" {
		return fault + ": " + who + " " + what
	}
	return who + " " + what + because(e)
}

// pagingHead explains why a person is paged.
func pagingHead(e ledger.Event, who string) string {
	if e.Failures > 0 {
		return failedHead(e, who, "failed "+text.Counted(e.Failures, "time")+" in a row, look at it now")
	}
	return "look at " + cmp.Or(who, "certroll") + " now" + because(e)
}

// expires returns when the first of a notice's certificates expires.
func expires(n outbox.Notice, records map[string]*ledger.Record, now time.Time) string {
	some := outbox.Notification{Records: map[string]*ledger.Record{}}
	for _, name := range n.Certificates {
		if r := records[name]; r != nil {
			some.Records[name] = r
		}
	}
	first := firstExpiry(some)
	switch {
	case first == nil:
		return "expires soon"
	case !first.Live.End().After(now):
		return "has expired"
	default:
		return "expires in " + text.TimeLeft(first.Live.End().Sub(now))
	}
}

// heldHead names the cause of a hold and the number of certificates that wait.
func heldHead(n outbox.Notice, who string) string {
	waits := "certificates wait"
	if who != "" {
		waits = who + " wait"
		if len(n.Certificates) == 1 {
			waits += "s"
		}
	}
	e := n.Event
	switch fault := accountFault(e); {
	case fault != "":
		return fault + ": " + waits
	case e.Reason == ledger.ReasonUnreadable:
		return "what " + who + " has in Vault cannot be read" + because(e)
	case e.Reason == ledger.ReasonMass:
		return "a change waits until a person accepts it: " + who
	case e.Reason == ledger.ReasonOverdue:
		return who + " is due, and its renewal is off"
	default:
		return strings.TrimSpace(who+" held back") + subjectText(e.Subject)
	}
}

// recoveredText distinguishes a success from other ends of a failure.
func recoveredText(e ledger.Event) string {
	switch e.Reason {
	case ledger.ReasonPauseBegan:
		return " fails no longer: its renewal was turned off"
	case ledger.ReasonRemoved:
		return " fails no longer: its block is gone"
	default:
		return " recovered"
	}
}

func subjectText(subject string) string {
	if subject == "" {
		return ""
	}
	return ": " + subject
}

func tamperedHead(e ledger.Event, who string) string {
	switch {
	case e.Reason == ledger.ReasonRewound:
		return "the ledger was rewritten"
	case e.Operation == ledger.KindConfig:
		return "a revision is held back, " + string(e.Reason)
	case isDeletion(e):
		return "the secret of " + who + " was deleted by another program"
	default:
		return "the secret of " + who + " was changed by another program, and certroll restores it"
	}
}

func problemHead(n outbox.Notice, of string) string {
	e := n.Event
	if e.LeftBehind != "" {
		return "the secret" + of + " moved, and " + e.LeftBehind + " is no longer renewed"
	}
	switch e.Operation {
	case ledger.KindPass:
		return awayHead(e)
	case ledger.KindDoctor:
		if fault := accountFault(e); fault != "" {
			return fault + ": the next renewal" + of + " will fail"
		}
		return "the next renewal" + of + " will fail" + because(e)
	default:
		return "a problem" + of + because(e)
	}
}

// sides describes outages of the systems that certroll needs, by the event's subject.
var sides = map[string]struct{ away, back string }{
	"vault":       {"Vault cannot be used", "Vault works again"},
	"config_repo": {"the config repo cannot be reached", "the config repo can be reached again"},
	"ledger":      {"the ledger cannot be reached", "the ledger can be reached again"},
	"state_dir":   {"the state directory cannot be written", "the state directory can be written again"},
}

// awayHead names the unavailable system, and the cause.
func awayHead(e ledger.Event) string {
	if cause := ledger.Cause(e.Message); strings.HasPrefix(cause, "Vault ") {
		return cause // the cause names the system
	}
	return cmp.Or(sides[e.Subject].away, "Git or Vault cannot be reached") + because(e)
}

func resolvedHead(n outbox.Notice, of string) string {
	switch {
	case n.Ends != "":
		return n.Ends + " works again"
	case n.Event.Operation == ledger.KindConfig:
		return "the config repo is taken again"
	case n.Event.Operation == ledger.KindPass:
		return cmp.Or(sides[n.Event.Subject].back, "Git and Vault can be reached again")
	case n.Event.Reason == ledger.ReasonAccepted:
		return "the rewritten ledger was accepted"
	case n.Event.Reason == ledger.ReasonDeleted || n.Event.Reason == ledger.ReasonBehind:
		return "the secret" + of + " is there again"
	default:
		return "a problem" + of + " is gone"
	}
}
