package page

import (
	"slices"
	"time"

	"certroll/reconcile/ledger"
)

// mostEvents bounds the history on a certificate's page.
const mostEvents = 200

// History is a certificate's history in the audit log.
type History struct {
	Events []ledger.Event // newest first
	More   bool           // there are older ones
	Error  string         // why there is none, or an old one; ""
}

// detailView is the page of one certificate.
type detailView struct {
	head
	C       *Certificate
	History History
	Tales   []tale // the history's events
	Ticks   []tick
	Bar     bar
}

// tale is an event of the history. It refers to a message that already appears above.
type tale struct {
	ledger.Event
	Same string // where the message appears; "": only here
}

func (p *Page) tales(c *Certificate, events []ledger.Event) []tale {
	list := make([]tale, len(events))
	said := map[string]string{}
	if c.Message != "" {
		said[c.Message] = "the message above"
	}
	for i, e := range events {
		list[i] = tale{e, said[e.Message]}
		if list[i].Same == "" && e.Message != "" {
			said[e.Message] = "as " + stamp(e.Time)
		}
	}
	return list
}

// detail returns the view of one certificate.
func (p *Page) detail(l layout, c *Certificate, h History) detailView {
	s := newScale([]*Certificate{c}, p.Now)
	return detailView{head: head{l, c.Name, p}, C: c, History: h, Tales: p.tales(c, h.Events), Ticks: s.ticks(), Bar: s.bar(c)}
}

// Record returns the ledger's record; nil if there is none yet.
func (v *detailView) Record() *ledger.Record { return v.C.record }

// Live returns the live certificate; nil if none was issued.
func (v *detailView) Live() *ledger.Live {
	if v.C.record == nil {
		return nil
	}
	return v.C.record.Live
}

// KeyAge returns how long the key has been in use.
func (v *detailView) KeyAge() string { return span(max(0, v.Now.Sub(v.Live().KeySince))) }

// TLSA returns the data of a TLSA record for a key: DANE-EE, SubjectPublicKeyInfo,
// SHA-256 (RFC 7671 section 5.1).
func (v *detailView) TLSA(digest string) string { return "3 1 1 " + digest }

// Look is the state of an endpoint.
type Look struct {
	At      string
	Problem *ledger.Problem // nil: its last probe showed the live certificate
}

// Looks returns the probed endpoints.
func (v *detailView) Looks() []Look {
	var list []Look
	for _, at := range v.C.Probe {
		look := Look{At: at}
		for i := range v.C.Problems {
			if p := &v.C.Problems[i]; isProbe(*p) && p.About == at {
				look.Problem = p
			}
		}
		list = append(list, look)
	}
	return list
}

// Ahead returns the problems that the daily examination found.
func (v *detailView) Ahead() []ledger.Problem {
	return slices.DeleteFunc(slices.Clone(v.C.Problems), isProbe)
}

// RenewalRule names the rule that sets the renewal time.
func (v *detailView) RenewalRule() string {
	switch v.C.RenewBy {
	case ledger.ReasonWindow:
		return "in the window that the CA suggests (ARI)"
	case ledger.ReasonRevoking:
		return "at once: the CA wants it replaced (ARI)"
	case ledger.ReasonThreshold:
		return "by its threshold"
	default:
		return "when its pause ended"
	}
}

// HeldUntil returns the end of the hold; nil without one.
func (v *detailView) HeldUntil() *time.Time { return v.C.heldUntil() }

// Marked returns the facts of a row.
func (v *detailView) Marked() row { return row{Certificate: v.C, now: v.Now} }

// Unknown reports whether a time is unknown.
func (v *detailView) Unknown(t time.Time) bool { return t.IsZero() }
