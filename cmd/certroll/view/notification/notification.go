package notification

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/cmd/certroll/view"
	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
	"certroll/spec/text"
)

// Schema is the version of a Message's JSON.
const Schema = 1

// Message is the body of a webhook. The fields type, timestamp and data follow the
// Standard Webhooks specification. Arrays are never null.
type Message struct {
	Schema    int       `json:"schema"`
	ID        string    `json:"id"`
	Type      string    `json:"type"` // the kind, "digest" or "test"
	Timestamp time.Time `json:"timestamp"`
	Data      Data      `json:"data"`
}

// Data is the content of a Message.
type Data struct {
	Subject      string   `json:"subject"`      // one line
	Text         string   `json:"text"`         // as services show it
	Certificates []string `json:"certificates"` // the first affected certificates, by name
	Count        int      `json:"count"`        // number of notices
	Notices      []Notice `json:"notices"`      // the first ones, oldest first
}

// Notice is one event that a Message reports.
type Notice struct {
	Kind         string            `json:"kind"`
	Certificates []string          `json:"certificates"`
	Labels       map[string]string `json:"labels"`    // of the certificate, if exactly one is affected
	NotAfter     *time.Time        `json:"not_after"` // of the live certificate; null without exactly one
	DaysLeft     *int              `json:"days_left"` // until NotAfter; negative after expiry
	Ends         string            `json:"ends"`      // the hold that the event ends, "dns.NAME" or "issuer.NAME"; or ""
	// ForeseenAt is when the daily examination reported the same problem; null if it did
	// not.
	ForeseenAt *time.Time   `json:"foreseen_at"`
	Event      ledger.Event `json:"event"` // as in the audit log
}

const (
	mostNotices     = 50 // in a body
	mostNamed       = 20 // certificates, in a text
	mostDigestLines = 20
	mostWords       = 600 // of the upstream's words, in a text
)

// New builds the Message of a notification.
func New(b outbox.Notification, now time.Time) Message {
	names := b.Certificates()
	data := Data{
		Subject: subjectOf(b, names, now), Text: textOf(b, names, now), Certificates: append([]string{}, names[:min(len(names), mostNotices)]...),
		Count: len(b.Notices), Notices: []Notice{},
	}
	for _, n := range b.Notices[:min(len(b.Notices), mostNotices)] {
		data.Notices = append(data.Notices, newNotice(b, n, now))
	}
	return Message{Schema: Schema, ID: "msg_" + b.ID, Type: string(b.Kind), Timestamp: now.UTC().Truncate(time.Second), Data: data}
}

// Test builds the message of notify test.
func Test(id string, now time.Time) Message {
	return Message{
		Schema: Schema, ID: "msg_" + id, Type: "test", Timestamp: now.UTC().Truncate(time.Second),
		Data: Data{
			Subject: "certroll: a test", Text: "Somebody ran certroll notify test. Nothing is wrong, and nothing is to be done.",
			Certificates: []string{}, Notices: []Notice{},
		},
	}
}

// Body returns the JSON of a webhook.
func (n Message) Body() ([]byte, error) {
	var b bytes.Buffer
	err := view.JSON(&b, n)
	return b.Bytes(), err
}

func newNotice(b outbox.Notification, n outbox.Notice, now time.Time) Notice {
	kind := string(b.Kind)
	if b.Kind == outbox.NoticeDigest {
		kind = string(n.Kinds[0])
	}
	dto := Notice{Kind: kind, Certificates: append([]string{}, n.Certificates...), Labels: map[string]string{}, Ends: n.Ends, Event: n.Event}
	if !n.Foreseen.IsZero() {
		dto.ForeseenAt = &n.Foreseen
	}
	if len(n.Certificates) != 1 {
		return dto
	}
	if r := b.Records[n.Certificates[0]]; r != nil {
		if r.Labels != nil {
			dto.Labels = r.Labels
		}
		if r.Live != nil {
			end, left := r.Live.End().UTC(), daysLeft(r.Live.End(), now)
			dto.NotAfter, dto.DaysLeft = &end, &left
		}
	}
	return dto
}

func daysLeft(end, now time.Time) int {
	left := end.Sub(now)
	if left < 0 {
		return int(left/(24*time.Hour)) - 1
	}
	return int(left / (24 * time.Hour))
}

// textOf returns the message for people.
func textOf(b outbox.Notification, names []string, now time.Time) string {
	if b.Kind == outbox.NoticeDigest {
		return digestText(b, now)
	}
	n := b.Notices[0]
	var lines []string
	say := func(label, words string) {
		lines = append(lines, label+": "+text.Line(text.Clip(words, mostWords)))
	}
	if len(names) > 0 {
		lines = append(lines, "certificates: "+text.Line(text.Some(names, mostNamed)))
	}
	if label := detailLabel(b.Kind); label != "" && n.Event.Detail != "" && n.Ends == "" {
		say(label, n.Event.Detail)
	}
	if n.Event.Message != "" && n.Ends == "" {
		say("said", n.Event.Message)
	}
	if !n.Foreseen.IsZero() {
		say("known", "the daily examination reported this at "+text.Stamp(n.Foreseen)+"; now it blocks a certificate")
	}
	lines = append(lines, aboutLines(b, now)...)
	if advice := adviceOf(b.Kind, n, names); advice != "" {
		say("to do", advice)
	}
	return strings.Join(lines, "\n")
}

// detailLabel returns the label of an event's detail. For a success the detail is why it
// was due.
func detailLabel(kind outbox.NoticeKind) string {
	switch kind {
	case outbox.NoticeRecovered:
		return ""
	case outbox.NoticeIssued, outbox.NoticeRenewed:
		return "why"
	default:
		return "what"
	}
}

// aboutLines describes the issuer and DNS account, the next step, and the remaining
// time.
func aboutLines(b outbox.Notification, now time.Time) []string {
	var lines []string
	e := b.Notices[0].Event
	var with []string
	for _, w := range [][2]string{{"issuer ", e.Issuer}, {"DNS account ", e.DNSAccount}, {"revision ", e.Revision}} {
		if w[1] != "" {
			with = append(with, w[0]+text.Line(w[1]))
		}
	}
	if len(with) > 0 {
		lines = append(lines, "at: "+strings.Join(with, ", "))
	}
	if e.HoldUntil != nil {
		lines = append(lines, "next: it is tried again at "+text.Stamp(*e.HoldUntil))
	}
	if first := firstExpiry(b); first != nil {
		left := "it has expired"
		if d := first.Live.End().Sub(now); d > 0 {
			left = text.TimeLeft(d) + " left"
		}
		lines = append(lines, "expires: "+first.Certificate+" "+text.Stamp(first.Live.End())+", "+left)
	}
	return lines
}

// firstExpiry returns the record of the first certificate to expire.
func firstExpiry(b outbox.Notification) *ledger.Record {
	var first *ledger.Record
	for _, r := range b.Records {
		if r.Live == nil || r.State == ledger.StateRetired {
			continue
		}
		if first == nil || r.Live.End().Before(first.Live.End()) || r.Live.End().Equal(first.Live.End()) && r.Certificate < first.Certificate {
			first = r
		}
	}
	return first
}

// adviceOf suggests a person's next step.
func adviceOf(kind outbox.NoticeKind, n outbox.Notice, names []string) string {
	name := "NAME"
	if len(names) == 1 {
		name = names[0]
	}
	switch kind {
	case outbox.NoticeFailing, outbox.NoticePaging:
		return "certroll explain " + name + " shows why; after you fix the cause, run certroll retry " + name
	case outbox.NoticeExpiring:
		return "certroll status " + name + " shows its history, certroll explain " + name + " what holds it back"
	case outbox.NoticeHeld:
		return "certroll explain " + name + " shows what holds it back and until when"
	case outbox.NoticeRefused:
		return "fix the config repo; certroll validate shows each mistake with its place. The last good revision stays in force"
	case outbox.NoticeProblem:
		if n.Event.Operation == ledger.KindDoctor {
			return "certroll doctor " + strings.Join(names[:min(len(names), 1)], "") + " looks again"
		}
	case outbox.NoticeTampered:
		return tamperedAdvice(n.Event)
	}
	return ""
}

// isDeletion reports whether an event is about a deleted secret that has not come back.
func isDeletion(e ledger.Event) bool {
	return e.Operation == ledger.KindNote && e.Reason == ledger.ReasonDeleted
}

func tamperedAdvice(e ledger.Event) string {
	switch {
	case e.Reason == ledger.ReasonRewound:
		return "certroll audit verify names the commit to push back, with the command; see who may push to the ledger's branch"
	case e.Operation == ledger.KindConfig:
		return "review the commit; certroll accept accepts a history that was rewritten on purpose"
	case isDeletion(e):
		return "see in Vault's audit log who deleted it; certroll issues it again unless a hold or renewal.auto = false keeps it from that"
	default:
		return "see in Vault's audit log who wrote there"
	}
}

// digestText has a line per notice, and counts by kind.
func digestText(b outbox.Notification, now time.Time) string {
	var lines []string
	for _, n := range b.Notices[:min(len(b.Notices), mostDigestLines)] {
		line := text.Stamp(n.Event.Time) + " " + headOf(n.Kinds[0], n, who(n.Certificates), b.Records, now) + classText(n.Kinds[0], n.Event)
		lines = append(lines, text.Clip(text.Line(line), 200))
	}
	if more := len(b.Notices) - mostDigestLines; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more: certroll audit shows them all", more))
	}
	return strings.Join(lines, "\n")
}

// kindCounts returns counts such as "2 failing, 1 recovered", worst first.
func kindCounts(notices []outbox.Notice) string {
	n := map[outbox.NoticeKind]int{}
	for _, one := range notices {
		n[one.Kinds[0]]++
	}
	var counts []string
	for _, k := range outbox.NoticeKinds {
		if n[k] > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n[k], k))
		}
	}
	return strings.Join(slices.Compact(counts), ", ")
}
