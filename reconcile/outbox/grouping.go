package outbox

import (
	"slices"
	"strings"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// Interest selects the notices of a destination.
type Interest struct {
	On []NoticeKind
	// Labels are the labels that a certificate must have, all of them. Without labels the
	// destination gets all notices, including those about no particular certificate.
	Labels map[string]string
}

// Wants returns the kind under which a destination gets a notice; "": it does not get it.
func (i Interest) Wants(n Notice, records map[string]*ledger.Record) NoticeKind {
	at := slices.IndexFunc(n.Kinds, func(k NoticeKind) bool { return slices.Contains(i.On, k) })
	if at < 0 {
		return ""
	}
	// The event names only the first of its certificates: any other may have the labels.
	all := len(n.Event.Certificates) >= ledger.MostConcerned
	if len(i.Labels) > 0 && !all && !slices.ContainsFunc(n.Certificates, func(name string) bool { return i.labelled(records[name]) }) {
		return ""
	}
	return n.Kinds[at]
}

// labelled reports whether a record has all labels.
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

// Notification is one message: all simultaneous notices of one kind with one cause.
type Notification struct {
	ID      string     // the same at each try
	Kind    NoticeKind // NoticeDigest if it has several kinds
	Notices []Notice   // oldest first
	// Records are the current records of its certificates.
	Records map[string]*ledger.Record
}

// NoticeDigest is the kind of a notification that combines too many simultaneous ones.
const NoticeDigest = "digest"

// mostNotifications is how many simultaneous notifications are sent one by one. More
// become one digest, such as after an outage of days.
const mostNotifications = 5

// Group makes notifications of the notices that a destination wants.
func Group(notices []Notice, i Interest, records map[string]*ledger.Record) []Notification {
	var all []Notification
	at := map[string]int{}
	for _, n := range notices {
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

// digest combines notifications into one, the most severe first.
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

// causeOf returns the key by which notices of one kind share a notification.
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

// notificationID derives the ID from the events, so that it survives a restart.
func notificationID(b Notification) string {
	parts := []string{"bulletin", string(b.Kind)}
	for _, n := range b.Notices {
		parts = append(parts, n.Event.ID, n.Ends)
	}
	return ledger.EventID(parts...)
}

// recordsOf returns the records of the certificates in the notices.
func recordsOf(notices []Notice, records map[string]*ledger.Record) map[string]*ledger.Record {
	some := map[string]*ledger.Record{}
	for _, n := range notices {
		for _, name := range n.Certificates {
			if r := records[name]; r != nil {
				some[name] = r
			}
		}
	}
	return some
}

// Certificates returns the sorted names of the certificates concerned, each once.
func (b *Notification) Certificates() []string {
	var names []string
	for _, n := range b.Notices {
		names = append(names, n.Certificates...)
	}
	return text.SortedSet(slices.DeleteFunc(names, func(name string) bool { return strings.TrimSpace(name) == "" }))
}
