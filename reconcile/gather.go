package reconcile

import (
	"slices"
	"strings"
)

// Interest says what a destination wants to be told of.
type Interest struct {
	On []NoticeKind
	// Labels are those that a certificate has to have, all of them; none: it is
	// told of all, and of what concerns no certificate in particular too.
	Labels map[string]string
}

// wants is as what a notice is told to the destination; "" for not at all.
func (i Interest) wants(n Notice, records map[string]*Record) NoticeKind {
	at := slices.IndexFunc(n.Kinds, func(k NoticeKind) bool { return slices.Contains(i.On, k) })
	if at < 0 {
		return ""
	}
	// Of more than an event names, any may have the labels.
	all := len(n.Event.Certificates) >= mostConcerned
	if len(i.Labels) > 0 && !all && !slices.ContainsFunc(n.Certificates, func(name string) bool { return i.labelled(records[name]) }) {
		return ""
	}
	return n.Kinds[at]
}

func (i Interest) labelled(r *Record) bool {
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

// Bulletin is one message: all that came at the same time of one cause.
type Bulletin struct {
	ID      string     // the same whenever it is sent again
	Kind    NoticeKind // NoticeDigest where it is of several
	Notices []Notice   // the oldest first
	// Records are those of the certificates it is about, as they are now.
	Records map[string]*Record
}

// NoticeDigest is the kind of a bulletin that has all in it that came at the
// same time, which was too much for a message each.
const NoticeDigest = "digest"

// mostBulletins are told one by one of what came at the same time. A
// destination that was away for days is told of those in one.
const mostBulletins = 5

// gather makes bulletins of what a destination wants to be told of notices.
func gather(told []Notice, i Interest, records map[string]*Record) []Bulletin {
	var all []Bulletin
	at := map[string]int{}
	for _, n := range told {
		kind := i.wants(n, records)
		if kind == "" {
			continue
		}
		key := string(kind) + "\x00" + causeOf(kind, n)
		k, ok := at[key]
		if !ok {
			k = len(all)
			at[key] = k
			all = append(all, Bulletin{Kind: kind})
		}
		all[k].Notices = append(all[k].Notices, n)
	}
	if len(all) > mostBulletins {
		all = []Bulletin{digest(all)}
	}
	for k := range all {
		all[k].ID, all[k].Records = bulletinID(all[k]), recordsOf(all[k].Notices, records)
	}
	return all
}

// digest puts bulletins into one, the worst first.
func digest(all []Bulletin) Bulletin {
	slices.SortStableFunc(all, func(a, b Bulletin) int {
		return slices.Index(NoticeKinds, a.Kind) - slices.Index(NoticeKinds, b.Kind)
	})
	d := Bulletin{Kind: NoticeDigest}
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
		return string(e.Class) + " " + e.Issuer + " " + e.DNSAccount + " " + steady(e.Message)
	case NoticeHeld:
		if e.Operation != KindHold {
			return string(e.Reason)
		}
		return e.ID
	case NoticeIssued, NoticeRenewed, NoticeRecovered, NoticeExpiring, NoticeRevoked:
		return ""
	default:
		return e.ID + " " + n.Ends
	}
}

func bulletinID(b Bulletin) string {
	parts := []string{"bulletin", string(b.Kind)}
	for _, n := range b.Notices {
		parts = append(parts, n.Event.ID, n.Ends)
	}
	return eventID(parts...)
}

func recordsOf(told []Notice, records map[string]*Record) map[string]*Record {
	some := map[string]*Record{}
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
func (b *Bulletin) Certificates() []string {
	var names []string
	for _, n := range b.Notices {
		names = append(names, n.Certificates...)
	}
	return sortedSet(slices.DeleteFunc(names, func(name string) bool { return strings.TrimSpace(name) == "" }))
}
