package notification

import (
	"cmp"
	"strings"
	"time"

	"certroll/reconcile"
	"certroll/spec/text"
)

// subjectOf is one line: who, and what is the matter.
func subjectOf(b reconcile.Bulletin, names []string, now time.Time) string {
	e := b.Notices[0].Event
	if b.Kind == reconcile.NoticeDigest {
		return "certroll: " + text.Counted(len(b.Notices), "notice") + ": " + kindCounts(b.Notices)
	}
	return "certroll: " + text.Clip(text.Line(headOf(b.Kind, b.Notices[0], who(names), b.Records, now)), 200) + classText(b.Kind, e)
}

// who is the certificate, or how many there are.
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

func classText(kind reconcile.NoticeKind, e reconcile.Event) string {
	if e.Class == "" || e.Operation == reconcile.KindPass || kind != reconcile.NoticeFailing && kind != reconcile.NoticePaging && kind != reconcile.NoticeProblem {
		return ""
	}
	return " (" + string(e.Class) + ")"
}

// headOf says in some words what a kind of notice is: the cause and how far it goes.
func headOf(kind reconcile.NoticeKind, n reconcile.Notice, who string, records map[string]*reconcile.Record, now time.Time) string {
	e, of := n.Event, ""
	if who != "" {
		of = " of " + who
	}
	switch kind {
	case reconcile.NoticeTampered:
		return tamperedHead(e, who)
	case reconcile.NoticePaging:
		return pagingHead(e, who)
	case reconcile.NoticeExpiring:
		return who + " " + expires(n, records, now) + " and is not renewed"
	case reconcile.NoticeFailing:
		return failedHead(e, who, "failed")
	case reconcile.NoticeHeld:
		return heldHead(n, who)
	case reconcile.NoticeProblem:
		return problemHead(n, of)
	case reconcile.NoticeRefused:
		return "a revision has mistakes and was refused"
	case reconcile.NoticeRevoked:
		return "a certificate" + of + " was revoked"
	case reconcile.NoticeRecovered:
		return who + recoveredText(e)
	case reconcile.NoticeResolved:
		return resolvedHead(n, of)
	case reconcile.NoticeIssued:
		return who + " issued"
	case reconcile.NoticeRenewed:
		return who + " renewed"
	}
	return string(kind)
}

// accountTroubles are what a class says of an issuer or a DNS account.
var accountTroubles = map[reconcile.Class]string{
	reconcile.ClassDNSUnauthorized: "refuses certroll's credentials",
	reconcile.ClassDNSUnavailable:  "does not answer",
	reconcile.ClassCAUnavailable:   "does not answer",
	reconcile.ClassRateLimited:     "refuses more orders for now",
}

// accountTrouble is what is wrong with the issuer or the DNS account that an event
// is of; "" where it is of none.
func accountTrouble(e reconcile.Event) string {
	words := accountTroubles[e.Class]
	account, isDNS := strings.CutPrefix(e.Subject, "dns.")
	issuer, isIssuer := strings.CutPrefix(e.Subject, "issuer.")
	ofDNS := strings.HasPrefix(string(e.Class), "dns_")
	switch {
	case isDNS:
		return "DNS account " + account + " " + cmp.Or(words, "fails")
	case isIssuer && e.Reason == reconcile.ReasonLimit:
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

// because is the upstream's last clause, after a colon.
func because(e reconcile.Event) string {
	if cause := reconcile.Cause(e.Message); cause != "" {
		return ": " + cause
	}
	return ""
}

// failedHead names the account where that is what failed, else the upstream's words.
func failedHead(e reconcile.Event, who, what string) string {
	if trouble := accountTrouble(e); trouble != "" {
		return trouble + ": " + who + " " + what
	}
	return who + " " + what + because(e)
}

// pagingHead is why a person is woken.
func pagingHead(e reconcile.Event, who string) string {
	if e.Failures > 0 {
		return failedHead(e, who, "failed "+text.Counted(e.Failures, "time")+" in a row, look at it now")
	}
	return "look at " + cmp.Or(who, "certroll") + " now" + because(e)
}

// expires is when the first of a notice's certificates does.
func expires(n reconcile.Notice, records map[string]*reconcile.Record, now time.Time) string {
	some := reconcile.Bulletin{Records: map[string]*reconcile.Record{}}
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

// heldHead is what holds, and how many wait for it.
func heldHead(n reconcile.Notice, who string) string {
	waits := "certificates wait"
	if who != "" {
		waits = who + " wait"
		if len(n.Certificates) == 1 {
			waits += "s"
		}
	}
	e := n.Event
	switch trouble := accountTrouble(e); {
	case trouble != "":
		return trouble + ": " + waits
	case e.Reason == reconcile.ReasonUnreadable:
		return "what " + who + " has in Vault cannot be read" + because(e)
	case e.Reason == reconcile.ReasonMass:
		return "a change waits until a person accepts it: " + who
	case e.Reason == reconcile.ReasonOverdue:
		return who + " is due, and its renewal is off"
	default:
		return strings.TrimSpace(who+" held back") + subjectText(e.Subject)
	}
}

// recoveredText tells a success from what ends failures without one.
func recoveredText(e reconcile.Event) string {
	switch e.Reason {
	case reconcile.ReasonPauseBegan:
		return " fails no longer: its renewal was turned off"
	case reconcile.ReasonRemoved:
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

func tamperedHead(e reconcile.Event, who string) string {
	switch {
	case e.Reason == reconcile.ReasonRewound:
		return "the ledger was rewritten"
	case e.Operation == reconcile.KindConfig:
		return "a revision is held back, " + string(e.Reason)
	case isDeletion(e):
		return "the secret of " + who + " was deleted by somebody else"
	default:
		return "the secret of " + who + " was changed by somebody else, and is restored"
	}
}

func problemHead(n reconcile.Notice, of string) string {
	e := n.Event
	if e.LeftBehind != "" {
		return "the secret" + of + " moved, and " + e.LeftBehind + " is no longer renewed"
	}
	switch e.Operation {
	case reconcile.KindPass:
		return awayHead(e)
	case reconcile.KindDoctor:
		if trouble := accountTrouble(e); trouble != "" {
			return trouble + ": the next renewal" + of + " will fail"
		}
		return "the next renewal" + of + " will fail" + because(e)
	default:
		return "a problem" + of + because(e)
	}
}

// sides are what certroll cannot work without, by the subject of an event.
var sides = map[string]struct{ away, back string }{
	"vault":       {"Vault cannot be used", "Vault works again"},
	"config_repo": {"the config repo cannot be reached", "the config repo can be reached again"},
	"ledger":      {"the ledger cannot be reached", "the ledger can be reached again"},
	"state_dir":   {"the state directory cannot be written", "the state directory can be written again"},
}

// awayHead is which side is away, and why.
func awayHead(e reconcile.Event) string {
	if cause := reconcile.Cause(e.Message); strings.HasPrefix(cause, "Vault ") {
		return cause // which says whose it is
	}
	return cmp.Or(sides[e.Subject].away, "Git or Vault cannot be reached") + because(e)
}

func resolvedHead(n reconcile.Notice, of string) string {
	switch {
	case n.Ends != "":
		return n.Ends + " works again"
	case n.Event.Operation == reconcile.KindConfig:
		return "the config repo is taken again"
	case n.Event.Operation == reconcile.KindPass:
		return cmp.Or(sides[n.Event.Subject].back, "Git and Vault can be reached again")
	case n.Event.Reason == reconcile.ReasonAccepted:
		return "the rewritten ledger was accepted"
	case n.Event.Reason == reconcile.ReasonDeleted || n.Event.Reason == reconcile.ReasonBehind:
		return "the secret" + of + " is there again"
	default:
		return "a problem" + of + " is gone"
	}
}
