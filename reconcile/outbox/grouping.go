package outbox

import (
	"slices"
	"strings"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// Interest says what a destination wants to be told of.
type Interest struct {
	On []NoticeKind
	// Labels are those that a certificate has to have, all of them; none: it is
	// told of all, and of what concerns no certificate in particular too.
	Labels map[string]string
}

// Wants is as what a notice is told to the destination; "" for not at all.
func (i Interest) Wants(n Notice, records map[string]*ledger.Record) NoticeKind {
	at := slices.IndexFunc(n.Kinds, func(k NoticeKind) bool { return slices.Contains(i.On, k) })
	if at < 0 {
		return ""
	}
	// Of more than an event names, any may have the labels.
	all := len(n.Event.Certificates) >= ledger.MostConcerned
	if len(i.Labels) > 0 && !all && !slices.ContainsFunc(n.Certificates, func(name string) bool { return i.labelled(records[name]) }) {
		return ""
	}
	return n.Kinds[at]
}

func (i Interest) labelled(r *ledger.Record) bool {
	if r == nil {
		return false
	}
	for key, value := range i.Labels {
		if r.Labels[key] != value {
			return false
		}
	}
	return true
}

// Notification is one message: all that came at the same time of one cause.
type Notification struct {
	ID      string     // the same whenever it is sent again
	Kind    NoticeKind // NoticeDigest where it is of several
	Notices []Notice   // the oldest first
	// Records are those of the certificates it is about, as they are now.
	Records map[string]*ledger.Record
}

// NoticeDigest is the kind of a bulletin that has all in it that came at the
// same time, which was too much for a message each.
const NoticeDigest = "digest"

// mostNotifications are told one by one of what came at the same time. A
// destination that was away for days is told of those in one.
const mostNotifications = 5

// Group makes bulletins of what a destination wants to be told of notices.
func Group(told []Notice, i Interest, records map[string]*ledger.Record) []Notification {
	var all []Notification
	at := map[string]int{}
	for _, n := range told {
		kind := i.Wants(n, records)
		if kind == "" {
			continue
		}
		key := string(kind) + "\x00" + causeOf(kind, n)
		k, ok := at[key]
		if !ok {
			k = len(all)
			at[key] = k
			all = append(all, Notification{Kind: kind})
		}
		all[k].Notices = append(all[k].Notices, n)
	}
	if len(all) > mostNotifications {
		all = []Notification{digest(all)}
	}
	for k := range all {
		all[k].ID, all[k].Records = notificationID(all[k]), recordsOf(all[k].Notices, records)
	}
	return all
}

// digest puts bulletins into one, the worst first.
func digest(all []Notification) Notification {
	slices.SortStableFunc(all, func(a, b Notification) int {
		return slices.Index(NoticeKinds, a.Kind) - slices.Index(NoticeKinds, b.Kind)
	})
	d := Notification{Kind: NoticeDigest}
	for _, b := range all {
		for _, n := range b.Notices {
			n.Kinds = []NoticeKind{b.Kind}
			d.Notices = append(d.Notices, n)
		}
	}
	return d
}

// causeOf is by what notices of one kind are told together.
func causeOf(kind NoticeKind, n Notice) string {
	e := n.Event
	switch kind {
	case NoticeFailing, NoticePaging:
		if s := blamed(e); len(s) > 0 {
			return string(e.Class) + " " + string(s[0])
		}
		return string(e.Class) + " " + e.Issuer + " " + e.DNSAccount + " " + ledger.Steady(e.Message)
	case NoticeHeld:
		if e.Operation != ledger.KindHold {
			return string(e.Reason)
		}
		return e.ID
	case NoticeIssued, NoticeRenewed, NoticeRecovered, NoticeExpiring, NoticeRevoked:
		return ""
	default:
		return e.ID + " " + n.Ends
	}
}

func notificationID(b Notification) string {
	parts := []string{"bulletin", string(b.Kind)}
	for _, n := range b.Notices {
		parts = append(parts, n.Event.ID, n.Ends)
	}
	return ledger.EventID(parts...)
}

func recordsOf(told []Notice, records map[string]*ledger.Record) map[string]*ledger.Record {
	some := map[string]*ledger.Record{}
	for _, n := range told {
		for _, name := range n.Certificates {
			if r := records[name]; r != nil {
				some[name] = r
			}
		}
	}
	return some
}

// Certificates are those that the bulletin is about, each once, sorted.
func (b *Notification) Certificates() []string {
	var names []string
	for _, n := range b.Notices {
		names = append(names, n.Certificates...)
	}
	return text.SortedSet(slices.DeleteFunc(names, func(name string) bool { return strings.TrimSpace(name) == "" }))
}
